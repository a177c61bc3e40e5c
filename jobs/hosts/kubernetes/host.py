"""The Kubernetes host: puts the parts of this folder together behind the contract.

A custom resource says nothing of files, consoles or copies of what is in it, so that none of these is offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.hosts.base import Observation, ServerMissing
from jobs.hosts.errors import HostFailed
from jobs.hosts.kubernetes import lifecycle
from jobs.hosts.kubernetes.client import Client
from jobs.hosts.kubernetes.options import KubernetesOptions
from jobs.hosts.kubernetes.resources import everything, locate
from jobs.hosts.refusals import NoFilesNorConsoles

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobs.hosts.base import BackupInfo, Download, ServerSpec, Tenant

MISSING = Observation("missing", None, "no resource has its label")


class KubernetesHost(NoFilesNorConsoles):
    """Servers in one namespace. Any number of threads and processes may use it at the same time."""

    def __init__(self, name: str, options: KubernetesOptions) -> None:
        self._name = name
        self._client = Client(name, options)

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, object]) -> KubernetesHost:
        """Make the host that a hosts file describes; opens no connection yet. Raises HostMisconfigured."""
        return cls(name, KubernetesOptions.checked(name, options))

    @property
    def name(self) -> str:
        return self._name

    # lifecycle

    def observe_all(self) -> Mapping[str, Observation]:
        seen: dict[str, Observation] = {}
        for server_id, found in everything(self._client).items():
            if len(found) > 1:
                seen[server_id] = Observation("unknown", None, "two resources say that they are this server")
            else:
                seen[server_id] = found[0].shown()
        return seen

    def observe(self, spec: ServerSpec) -> Observation:
        found = locate(self._client, spec.server_id)
        return MISSING if found is None else found.shown()

    def create(self, spec: ServerSpec) -> Observation:
        return lifecycle.create(self._client, spec)

    def start(self, spec: ServerSpec) -> Observation:
        return lifecycle.resume(self._client, spec)

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        return lifecycle.suspend_(self._client, spec.server_id, timeout_seconds) or MISSING

    def kill(self, spec: ServerSpec) -> Observation:
        return self.stop(spec, self._client.options.timeouts.force)

    def set_autostart(self, spec: ServerSpec, on: bool) -> None:
        """Nothing starts what is to be suspended, and everything else; so there is only one thing to put right.

        A server that is down, and would come up because nobody has asked for its suspension, stays down.
        """
        found = locate(self._client, spec.server_id)
        if found is None:
            raise ServerMissing(spec.server_id)
        if not on and found.observed != "running":
            lifecycle.change(self._client, spec.server_id, {"suspend": True}, lambda one: one.suspend)

    def destroy(self, spec: ServerSpec) -> None:
        lifecycle.remove(self._client, spec.server_id)

    # tenancy

    def tenants(self) -> Sequence[Tenant]:
        found = everything(self._client)
        for server_id, claiming in found.items():
            if len(claiming) > 1:
                reason = "two resources say that they are it; remove the label of the wrong one"
                raise HostFailed(self._name, f"tell which resource server `{server_id}` is", reason)
        live = (each for (each,) in found.values() if each.deleted_at is None)
        return sorted((each.tenant() for each in live), key=lambda tenant: tenant.server_id)

    def tenant(self, spec: ServerSpec) -> Tenant:
        found = locate(self._client, spec.server_id)
        if found is None or found.deleted_at is not None:
            raise ServerMissing(spec.server_id)
        return found.tenant()

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> Tenant:
        wanted = tuple(sorted(set(packages)))
        is_so = lambda one: one.deleted_at is not None or one.packages == wanted  # noqa: E731 - one line, used once
        found = lifecycle.change(self._client, spec.server_id, {"packages": list(wanted)}, is_so)
        if found is None or found.deleted_at is not None:
            raise ServerMissing(spec.server_id)
        return found.tenant()

    # backups

    def create_backup(self, spec: ServerSpec, backup_id: str) -> BackupInfo:
        self._refuse("backups")

    def restore_backup(self, spec: ServerSpec, backup_id: str, safety_id: str | None = None) -> BackupInfo:
        self._refuse("backups")

    def delete_backup(self, spec: ServerSpec, backup_id: str) -> None:
        self._refuse("backups")

    def list_backups(self, spec: ServerSpec) -> Sequence[BackupInfo]:
        self._refuse("backups")

    def open_backup(self, spec: ServerSpec, backup_id: str) -> Download:
        self._refuse("backups")
