"""The Proxmox host: puts the parts of this folder together behind the contract.

Guests have no files and no console that an API token could reach well, so that neither is offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.hosts.base import Observation, ServerMissing
from jobs.hosts.errors import HostFailed
from jobs.hosts.proxmox import backups, creation, power
from jobs.hosts.proxmox.client import Client, Refused
from jobs.hosts.proxmox.guests import Located, is_true, locate
from jobs.hosts.proxmox.options import ProxmoxOptions
from jobs.hosts.proxmox.overview import Overview
from jobs.hosts.refusals import NoFilesNorConsoles

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobs.hosts.base import BackupInfo, Download, ServerSpec, Tenant

MISSING = Observation("missing", None, "no guest has its tag")
DESTROY_GRACE_SECONDS = 8.0


class ProxmoxHost(NoFilesNorConsoles):
    """Servers on one cluster. Any number of threads and processes may use it at the same time."""

    def __init__(self, name: str, options: ProxmoxOptions) -> None:
        self._name = name
        self._client = Client(name, options)
        self._overview = Overview(self._client)

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, object]) -> ProxmoxHost:
        """Make the host that a hosts file describes; opens no connection yet. Raises HostMisconfigured."""
        return cls(name, ProxmoxOptions.checked(name, options))

    @property
    def name(self) -> str:
        return self._name

    # lifecycle

    def observe_all(self) -> Mapping[str, Observation]:
        return self._overview.all()

    def observe(self, spec: ServerSpec) -> Observation:
        found = self._find(spec)
        return MISSING if found is None else power.shown(found, power.live(self._client, spec.server_id, found))

    def create(self, spec: ServerSpec) -> Observation:
        found = creation.create(self._client, spec)
        return power.shown(found, power.live(self._client, spec.server_id, found))

    def start(self, spec: ServerSpec) -> Observation:
        return power.start(self._client, spec.server_id, self._required(spec))

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        found = self._find(spec)
        return MISSING if found is None else power.stop(self._client, spec.server_id, found, timeout_seconds)

    def kill(self, spec: ServerSpec) -> Observation:
        return self.stop(spec, 0)

    def set_autostart(self, spec: ServerSpec, on: bool) -> None:
        found = self._required(spec)
        power.set_autostart(self._client, spec.server_id, found, on)
        self._overview.learn(found.guest, on)

    def destroy(self, spec: ServerSpec) -> None:
        found = self._find(spec)
        if found is None:
            return
        doing = f"destroy guest {found.guest.vmid}"
        if is_true(found.config.get("protection")):
            raise HostFailed(self._name, doing, "somebody has protected it there; lift that first")
        if power.stop(self._client, spec.server_id, found, DESTROY_GRACE_SECONDS).observed != "stopped":
            raise HostFailed(self._name, doing, "it could not be stopped")
        found = self._required(spec)
        try:
            task = self._client.task("delete", found.guest.path, purge=1)
        except Refused as error:
            raise power.in_words(self._client, spec.server_id, doing, error) from None
        power.finish(self._client, spec.server_id, doing, task, self._client.options.timeouts.create)

    # backups

    def create_backup(self, spec: ServerSpec, backup_id: str) -> BackupInfo:
        return backups.create(self._client, spec.server_id, self._required(spec), backup_id)

    def restore_backup(self, spec: ServerSpec, backup_id: str, safety_id: str | None = None) -> BackupInfo:
        return backups.restore(self._client, spec.server_id, self._required(spec), backup_id, safety_id)

    def delete_backup(self, spec: ServerSpec, backup_id: str) -> None:
        backups.delete(self._client, spec.server_id, backup_id)

    def list_backups(self, spec: ServerSpec) -> Sequence[BackupInfo]:
        return backups.listed(self._client, spec.server_id)

    def open_backup(self, spec: ServerSpec, backup_id: str) -> Download:
        self._refuse("downloads of backups")

    # tenancy

    def tenants(self) -> Sequence[Tenant]:
        self._refuse("records of tenants")

    def tenant(self, spec: ServerSpec) -> Tenant:
        self._refuse("records of tenants")

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> Tenant:
        self._refuse("packages")

    def _find(self, spec: ServerSpec) -> Located | None:
        return locate(self._client, spec.server_id)

    def _required(self, spec: ServerSpec) -> Located:
        found = self._find(spec)
        if found is None:
            raise ServerMissing(spec.server_id)
        return found
