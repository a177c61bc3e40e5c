"""A host whose servers are rows in memory, and that can be told to go offline, to lie, to be slow or to be stubborn."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobs.hosts.base import (
    BackupInfo,
    BackupMissing,
    Download,
    HostUnavailable,
    LaunchFailed,
    Observation,
    Observed,
    ServerMissing,
    ServerSpec,
    StillRunning,
    Tenant,
)


def _nothing() -> None:
    """What happens before a command, unless a test says otherwise."""


MADE_AT = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class HostDouble:
    """The lifecycle, backups and a silent console of the host contract. `calls` lists what was asked, in order."""

    name: str = "double"
    running: dict[str, bool] = field(default_factory=dict)
    autostart: dict[str, bool] = field(default_factory=dict)
    backups: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    files: dict[str, bytes] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    """Where servers that run are reached."""
    packages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    suspended_at: dict[str, datetime] = field(default_factory=dict)
    """Since when servers are stopped; those that are not named here, `MADE_AT`."""
    offline: bool = False
    stubborn: set[str] = field(default_factory=set)
    """Servers that accept a stop and go on running."""
    broken: set[str] = field(default_factory=set)
    """Servers that cannot be launched."""
    hidden: set[str] = field(default_factory=set)
    """Servers that the host does not list."""
    before: dict[str, Callable[[], object]] = field(default_factory=lambda: defaultdict(lambda: _nothing))
    """What happens just before a command takes effect, by its name."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def _ask(self, verb: str, server_id: str) -> None:
        self.calls.append((verb, server_id))
        if self.offline:
            raise HostUnavailable(self.name, "it is offline")
        self.before[verb]()

    def _see(self, server_id: str) -> Observation:
        if server_id not in self.running or server_id in self.hidden:
            return Observation("missing", None, "not known")
        observed: Observed = "running" if self.running[server_id] else "stopped"
        port = self.ports.get(server_id) if self.running[server_id] else None
        return Observation(observed, self.autostart.get(server_id, False), "seen", port)

    def made(self, verb: str) -> list[str]:
        """Server ids that `verb` was asked for, in order."""
        return [server_id for name, server_id in self.calls if name == verb]

    def observe_all(self) -> Mapping[str, Observation]:
        """List every server, or fail as a whole."""
        self._ask("observe_all", "-")
        with self.lock:
            return {server_id: self._see(server_id) for server_id in self.running if server_id not in self.hidden}

    def observe(self, spec: ServerSpec) -> Observation:
        """See one server."""
        self._ask("observe", spec.server_id)
        return self._see(spec.server_id)

    def create(self, spec: ServerSpec) -> Observation:
        """Make a server, once."""
        self._ask("create", spec.server_id)
        with self.lock:
            self.running.setdefault(spec.server_id, False)
            self.autostart.setdefault(spec.server_id, False)
            self.files.setdefault(spec.server_id, b"world")
        return self._see(spec.server_id)

    def start(self, spec: ServerSpec) -> Observation:
        """Start it unless it runs."""
        self._ask("start", spec.server_id)
        if spec.server_id not in self.running:
            raise ServerMissing(spec.server_id)
        if spec.server_id in self.broken:
            raise LaunchFailed(spec.server_id, "it is broken")
        self.running[spec.server_id] = True
        return self._see(spec.server_id)

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        """Stop it, unless it is stubborn."""
        self._ask("stop", spec.server_id)
        if spec.server_id in self.running and spec.server_id not in self.stubborn:
            self.running[spec.server_id] = False
        return self._see(spec.server_id)

    def kill(self, spec: ServerSpec) -> Observation:
        """End it, stubborn or not."""
        self._ask("kill", spec.server_id)
        if spec.server_id in self.running:
            self.running[spec.server_id] = False
        return self._see(spec.server_id)

    def set_autostart(self, spec: ServerSpec, on: bool) -> None:
        """Remember the choice."""
        self._ask("autostart_on" if on else "autostart_off", spec.server_id)
        if spec.server_id not in self.running:
            raise ServerMissing(spec.server_id)
        self.autostart[spec.server_id] = on

    def destroy(self, spec: ServerSpec) -> None:
        """Forget the server; its backups stay."""
        self._ask("destroy", spec.server_id)
        self.running.pop(spec.server_id, None)

    def create_backup(self, spec: ServerSpec, backup_id: str) -> BackupInfo:
        """Copy the files, once per id."""
        self._ask("create_backup", spec.server_id)
        self.backups[spec.server_id].setdefault(backup_id, self.files[spec.server_id])
        return self._info(spec.server_id, backup_id)

    def restore_backup(self, spec: ServerSpec, backup_id: str, safety_id: str | None = None) -> BackupInfo:
        """Put the copy back, keeping a safety copy."""
        self._ask("restore_backup", spec.server_id)
        if self.running.get(spec.server_id):
            raise StillRunning(spec.server_id)
        if backup_id not in self.backups[spec.server_id]:
            raise BackupMissing(backup_id)
        safety = safety_id or f"safety-{len(self.backups[spec.server_id])}"
        self.backups[spec.server_id].setdefault(safety, self.files[spec.server_id])
        self.files[spec.server_id] = self.backups[spec.server_id][backup_id]
        return self._info(spec.server_id, safety)

    def delete_backup(self, spec: ServerSpec, backup_id: str) -> None:
        """Forget a copy."""
        self._ask("delete_backup", spec.server_id)
        self.backups[spec.server_id].pop(backup_id, None)

    def open_backup(self, spec: ServerSpec, backup_id: str) -> Download:
        """Open a copy."""
        self._ask("open_backup", spec.server_id)
        content = self.backups[spec.server_id][backup_id]
        return Download(f"{backup_id}.tar.gz", len(content), io.BytesIO(content))

    def list_backups(self, spec: ServerSpec) -> Sequence[BackupInfo]:
        """List the copies."""
        self._ask("list_backups", spec.server_id)
        return [self._info(spec.server_id, backup_id) for backup_id in self.backups[spec.server_id]]

    def tenants(self) -> Sequence[Tenant]:
        """List what is not destroyed."""
        self._ask("tenants", "-")
        return [self._tenant(server_id) for server_id in sorted(self.running) if server_id not in self.hidden]

    def tenant(self, spec: ServerSpec) -> Tenant:
        """Read one."""
        self._ask("tenant", spec.server_id)
        if spec.server_id not in self.running:
            raise ServerMissing(spec.server_id)
        return self._tenant(spec.server_id)

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> Tenant:
        """Remember them."""
        self._ask("set_packages", spec.server_id)
        if spec.server_id not in self.running:
            raise ServerMissing(spec.server_id)
        self.packages[spec.server_id] = tuple(sorted(set(packages)))
        return self._tenant(spec.server_id)

    def read_console(self, spec: ServerSpec, after_offset: int | None) -> tuple[int, list[str]]:
        """Show that nothing was printed."""
        self._ask("read_console", spec.server_id)
        return after_offset or 0, []

    def _info(self, server_id: str, backup_id: str) -> BackupInfo:
        content = self.backups[server_id][backup_id]
        return BackupInfo(backup_id, len(content), hashlib.sha256(content).hexdigest(), MADE_AT)

    def _tenant(self, server_id: str) -> Tenant:
        since = None if self.running[server_id] else self.suspended_at.get(server_id, MADE_AT)
        return Tenant(server_id, server_id, MADE_AT, self.packages.get(server_id, ()), since)
