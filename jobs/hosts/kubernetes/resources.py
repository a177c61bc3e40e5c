"""Resources, and which of them are servers of ours: those with our label, whatever their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.hosts.base import Observation, Observed, Tenant
from jobs.hosts.errors import HostFailed, HostUnavailable, ServerMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.hosts.kubernetes.client import Client, Found

SERVER_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,59}[a-z0-9])?")
NAME_MARK = "forbear/server-name"
"""The annotation that holds what the server is called."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One server as the cluster holds it."""

    server_id: str
    name: str
    uid: str
    version: str
    called: str
    suspend: bool
    """What its operator is asked for."""
    packages: tuple[str, ...]
    created_at: datetime
    deleted_at: datetime | None
    """Since when it is being deleted."""
    suspended_at: datetime | None
    """What its operator has said."""
    is_answered: bool
    """Whether its operator has said anything, and that about what it is asked for now."""
    is_known: bool
    """Whether its operator has ever said anything."""

    @property
    def observed(self) -> Observed:
        """Tell what the operator has seen. It stays `running` until it is said to be suspended.

        A suspension that was said before something else was asked for proves nothing: it may have ended meanwhile.
        """
        if not self.is_known:
            return "unknown"
        if self.suspended_at is None:
            return "running"
        return "stopped" if self.suspend and self.is_answered else "unknown"

    def shown(self, trouble: str | None = None) -> Observation:
        """Return what was seen. What is not asked to be suspended comes up by itself."""
        words = self.name if self.deleted_at is None else f"{self.name}, which is being deleted"
        if not self.is_known:
            words = f"{words}; its operator has not said anything of it"
        return Observation(self.observed, not self.suspend, f"{words}; {trouble}" if trouble else words)

    def tenant(self) -> Tenant:
        """Return what metering believes."""
        return Tenant(self.server_id, self.called, self.created_at, self.packages, self.suspended_at)


def checked_id(server_id: str) -> str:
    """Return an id that can stand in a label and a name. Raises ServerMissing: no resource can have any other."""
    if SERVER_ID.fullmatch(server_id) is None:
        raise ServerMissing(server_id)
    return server_id


def name_of(server_id: str) -> str:
    """Return what a new server's resource is called: two that make the same server ask for the same name."""
    return f"s-{server_id}"


def everything(client: Client) -> dict[str, list[Resource]]:
    """See every server in one list. Raises HostUnavailable."""
    found: dict[str, list[Resource]] = {}
    for each in client.listed(client.options.label):
        if (resource := read(client, each)) is not None:
            found.setdefault(resource.server_id, []).append(resource)
    return found


def locate(client: Client, server_id: str) -> Resource | None:
    """Find a server; `None`: there is none. Raises HostUnavailable, HostFailed when two claim to be it."""
    listed = client.listed(f"{client.options.label}={checked_id(server_id)}")
    if not listed and (named := client.get(name_of(server_id))) is not None:
        listed = [named]  # a list may be short; what bears the name and not the label is none of ours all the same
    found = [each for each in (read(client, one) for one in listed) if each is not None and each.server_id == server_id]
    if len(found) > 1:
        names = " and ".join(sorted(each.name for each in found)[:2])
        reason = f"{names} both say that they are it; remove the label of the wrong one"
        raise HostFailed(client.host, f"tell which resource server `{server_id}` is", reason)
    return found[0] if found else None


def read(client: Client, found: Found) -> Resource | None:
    """Read a resource; `None`: it is no server of ours. Raises HostUnavailable when it is none at all."""
    try:
        told = found["metadata"]
        server_id = _map(told.get("labels")).get(client.options.label)
        if server_id is None:
            return None
        spec, status = _map(found.get("spec")), _map(found.get("status"))
        name, answered = str(told["name"]), status.get("observedGeneration")
        return Resource(
            server_id=str(server_id),
            name=name,
            uid=str(told["uid"]),
            version=str(told["resourceVersion"]),
            called=str(_map(told.get("annotations")).get(NAME_MARK) or name),
            suspend=spec.get("suspend") is True,
            packages=tuple(sorted({str(each) for each in spec.get("packages") or ()})),
            created_at=_instant(told["creationTimestamp"]),
            deleted_at=_instant(told["deletionTimestamp"]) if told.get("deletionTimestamp") else None,
            suspended_at=_instant(status["suspendedAt"]) if status.get("suspendedAt") else None,
            # operators that do not say what they speak of are believed
            is_answered=answered is None or int(answered) >= int(told.get("generation") or 0),
            is_known=bool(status),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise HostUnavailable(client.host, "its answer holds a resource that is not whole") from None


def _map(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError
    return value


def _instant(told: Any) -> datetime:
    at = datetime.fromisoformat(str(told))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
