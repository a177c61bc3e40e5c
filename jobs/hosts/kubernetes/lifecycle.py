"""Making, suspending, resuming and removing resources: something is asked for, and what its operator says is read."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobs.hosts.errors import HostBusy, HostFailed, HostMisconfigured, HostUnavailable, ServerMissing
from jobs.hosts.kubernetes.client import CONFLICT, NOT_FOUND, Refused
from jobs.hosts.kubernetes.resources import NAME_MARK, Resource, checked_id, locate, name_of, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.hosts.base import Observation, ServerSpec
    from jobs.hosts.kubernetes.client import Client

CHANGE_TRIES = 5
DELETION_PATIENCE = timedelta(minutes=10)


def create(client: Client, spec: ServerSpec) -> Observation:
    """Make a server, suspended, unless it is there. Raises HostBusy, HostFailed."""
    template = client.options.kinds.get(spec.kind)
    if template is None:
        raise HostMisconfigured(client.host, f"nothing for servers of kind `{spec.kind}` under `kinds`")
    found = locate(client, checked_id(spec.server_id))
    if found is None:
        options = client.options
        body = {
            "apiVersion": f"{options.group}/{options.version}",
            "kind": options.kind,
            "metadata": {
                "name": name_of(spec.server_id),
                "labels": {options.label: spec.server_id},
                "annotations": {NAME_MARK: spec.name},
            },
            "spec": {**template, "suspend": True, "packages": []},
        }
        try:
            found = read(client, client.create(body))
        except Refused as error:
            found = locate(client, spec.server_id) if error.status == CONFLICT else None  # another made it meanwhile
            if found is None:
                raise HostFailed(client.host, f"make {name_of(spec.server_id)}", error.reason) from None
        if found is None or not found.suspend:
            raise _not_so(client, name_of(spec.server_id), "suspend")
    refuse_deleted(client, found)
    return _shown(spec, await_(client, found, lambda one: one.is_known, client.options.timeouts.create))


def resume(client: Client, spec: ServerSpec) -> Observation:
    """Let a server run, and wait until it is said to. Raises ServerMissing, HostBusy, HostFailed."""
    found = change(client, spec.server_id, {"suspend": False}, lambda one: not one.suspend)
    if found is None:
        raise ServerMissing(spec.server_id)
    refuse_deleted(client, found)
    is_up = await_(client, found, lambda one: one.observed == "running", client.options.timeouts.start)
    return _shown(spec, is_up)


def suspend_(client: Client, server_id: str, seconds: float) -> Observation | None:
    """Suspend a server and wait until it is said to be; `None`: there is none. Raises HostFailed, HostUnavailable."""
    found = change(client, server_id, {"suspend": True}, lambda one: one.suspend)
    if found is None:
        return None
    seen = await_(client, found, lambda one: one.observed == "stopped", seconds)
    if seen is None:
        return None
    is_down = seen.observed == "stopped"
    return seen.shown(None if is_down else "it was asked to be suspended, and its operator has not said that it is")


def remove(client: Client, server_id: str) -> None:
    """Remove a server with everything that it owns, and see that it is gone. Raises HostBusy while it goes on."""
    found = locate(client, server_id)
    if found is None:
        return
    if found.deleted_at is None:
        try:
            client.delete(found.name, found.uid)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise HostFailed(client.host, f"delete {found.name}", error.reason) from None
    if (left := await_(client, found, lambda _: False, client.options.timeouts.delete)) is not None:
        refuse_deleted(client, left)
        raise HostBusy(server_id, "deletion")


def change(client: Client, server_id: str, spec: dict[str, Any], is_so: Callable[[Resource], bool]) -> Resource | None:
    """Write something under `spec` unless it is so; return what the cluster then holds. `None`: no such server.

    INVARIANT: the version that was read goes along, so that nothing is written on another's resource of that name.
    """
    for tries in range(CHANGE_TRIES):
        found = locate(client, checked_id(server_id))
        if found is None or is_so(found):
            return found
        try:
            body = {"metadata": {"resourceVersion": found.version}, "spec": spec}
            taken = read(client, client.patch(found.name, body))
        except Refused as error:
            if error.status not in {CONFLICT, NOT_FOUND}:
                raise HostFailed(client.host, f"change {found.name}", error.reason) from None
            time.sleep(client.options.timeouts.look * tries / CHANGE_TRIES)
            continue
        if taken is None or not is_so(taken):
            raise _not_so(client, found.name, " and ".join(spec))
        return taken
    raise HostFailed(client.host, f"change server `{server_id}`", "something else changes it all the time")


def await_(client: Client, found: Resource, is_so: Callable[[Resource], bool], seconds: float) -> Resource | None:
    """Follow a resource until it is so or the time is over; return what was read of it last, `None`: it is gone.

    Raises HostUnavailable when the last look failed.
    """
    ends_at = time.monotonic() + seconds
    trouble: HostUnavailable | None = None
    while not is_so(found):
        left = ends_at - time.monotonic()
        if left <= 0:
            if trouble is not None:
                raise trouble
            return found
        began = time.monotonic()
        with suppress(Refused, HostUnavailable):  # too old a version, or cut off: it is read anew
            _follow(client, found, is_so, left)
        try:
            again = client.get(found.name)
        except HostUnavailable as error:
            trouble = error
        else:
            trouble = None
            now = None if again is None else read(client, again)
            if now is None or now.uid != found.uid:
                return None  # the name may be another's by now: ours is gone
            found = now
        pause = client.options.timeouts.look - (time.monotonic() - began)
        if not is_so(found):
            time.sleep(max(0.0, min(pause, ends_at - time.monotonic())))
    return found


def _follow(client: Client, found: Resource, is_so: Callable[[Resource], bool], seconds: float) -> None:
    """Return once something is seen after which a look is worth while."""
    for kind, told in client.watch(found.name, found.version, seconds):
        if kind == "DELETED":
            return
        now = read(client, told) if kind in {"ADDED", "MODIFIED"} else found
        if now is None or now.uid != found.uid or is_so(now):
            return


def refuse_deleted(client: Client, found: Resource) -> None:
    """Raise HostBusy while a server is being deleted; HostFailed when that does not come to an end."""
    if found.deleted_at is None:
        return
    if datetime.now(UTC) - found.deleted_at > DELETION_PATIENCE:
        doing = f"command {found.name}, which is being deleted"
        raise HostFailed(client.host, doing, "that does not come to an end; see to its finalizers")
    raise HostBusy(found.server_id, "deletion")


def _not_so(client: Client, name: str, what: str) -> HostFailed:
    reason = f"`{what}` was taken and is not so; does the schema of `{client.options.kind}` know it"
    return HostFailed(client.host, f"change {name}", reason)


def _shown(spec: ServerSpec, seen: Resource | None) -> Observation:
    if seen is None:
        raise ServerMissing(spec.server_id)
    return seen.shown()
