"""The local host: a directory and a real child process per server on this very machine, with real files and backups.

Puts the parts of this folder together behind the contract; each part is a module of its own.
"""

from __future__ import annotations

import functools
import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from jobs.hosts.base import FileBounds, HostError, HostMisconfigured, HostUnavailable, Observation, ServerMissing
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local import console, locks, process, tenancy
from jobs.hosts.local.backups import LocalBackups
from jobs.hosts.local.files import LocalFiles
from jobs.hosts.local.identity import launched_processes
from jobs.hosts.local.layout import Layout, ServerPlace, sync_directory
from jobs.hosts.local.restore import finish_interrupted_swap, restore
from jobs.hosts.local.trees import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from jobs.hosts.base import BackupInfo, Download, FileEntry, FileVersion, Listing, ServerSpec, Tenant
    from jobs.hosts.local.uploads import LocalUpload

STOP_ALL_GRACE_SECONDS = 8.0

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def default_commands() -> dict[str, list[str]]:
    """Return the command per kind of server: those of the project's examples. Raises HostMisconfigured."""
    examples = Path(__file__).resolve().parents[3] / "examples"
    commands = {}
    for kind in ("game", "dev"):
        program = examples / f"{kind}_server" / "server.py"
        if not program.is_file():
            raise HostMisconfigured("local", f"no program for servers of kind `{kind}`: expected {program}")
        commands[kind] = [sys.executable, "-s", "-u", str(program)]
    return commands


def stop_everything(data_dir: Path) -> int:
    """Stop every server below `data_dir`, all at the same time, and return how many ran. Leaves no process behind.

    Raises HostUnavailable when one cannot be stopped, after all others are.
    """
    try:
        places = Layout(data_dir.absolute()).all_places()
    except FileNotFoundError:
        return 0
    asked = [place for place in places if process.ask_to_stop(place, STOP_ALL_GRACE_SECONDS)]
    ends_at = time.monotonic() + STOP_ALL_GRACE_SECONDS
    unstopped = 0
    for place in places:
        try:
            seen = process.await_end(place, max(0.0, ends_at - time.monotonic()), asked=place in asked)
            unstopped += seen.observed == "running"
        except (OSError, ValueError):  # its records cannot be read; the others must be stopped all the same
            unstopped += 1
    if unstopped:
        raise HostUnavailable("local", f"{unstopped} of its servers could not be stopped")
    return len(asked)


def _seen(place: ServerPlace, launched: process.Launched = launched_processes) -> Observation:
    seen = process.observe(place, launched)
    return replace(seen, port=process.port_of(place, launched)) if seen.observed == "running" else seen


def _machine_trouble(
    method: Callable[Concatenate[LocalHost, _Asked], _Answer],
) -> Callable[Concatenate[LocalHost, _Asked], _Answer]:
    """Let a method fail with a host's errors only."""

    @functools.wraps(method)
    def asked(self: LocalHost, /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        with machine_trouble_of(self.name):
            return method(self, *args, **kwargs)

    return asked


class LocalHost:
    """Servers on this machine. Any number of processes may use one data directory at the same time."""

    def __init__(
        self,
        data_dir: Path,
        commands: Mapping[str, Sequence[str]],
        *,
        name: str = "local",
        bounds: FileBounds | None = None,
        lock_seconds: float = 30.0,
    ) -> None:
        self._layout = Layout(data_dir.absolute())
        self._commands = commands
        self._name = name
        self._files = LocalFiles(name, bounds or FileBounds())
        self._backups = LocalBackups(self._layout)
        self._lock_seconds = lock_seconds
        with machine_trouble_of(name):
            self._layout.servers.mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        return self._name

    # lifecycle

    @_machine_trouble
    def observe_all(self) -> Mapping[str, Observation]:
        launched = functools.cache(launched_processes)
        seen = {place.server_id: _seen(place, launched) for place in self._layout.all_places()}
        if not self._layout.servers.is_dir():  # taken away in the middle: what was seen is not the whole
            raise HostUnavailable(self._name, "its servers' directory is gone")
        return {server_id: one for server_id, one in seen.items() if one.observed != "missing"}

    @_machine_trouble
    def observe(self, spec: ServerSpec) -> Observation:
        return _seen(self._layout.place(spec.server_id))

    @_machine_trouble
    def create(self, spec: ServerSpec) -> Observation:
        return process.observe(self._layout.make(spec))

    @_machine_trouble
    def start(self, spec: ServerSpec) -> Observation:
        command = self._commands.get(spec.kind)
        if command is None:
            raise HostMisconfigured(self._name, f"no program for servers of kind `{spec.kind}`")
        place = self._place(spec)
        with locks.held(place.command_lock, spec.server_id, "command", self._lock_seconds):
            if not process.is_supervised(place):
                if place.read_spec() != spec:
                    place.write_spec(spec)
                process.launch(place, spec, command)
                tenancy.resumed(place)
            return _seen(place)

    @_machine_trouble
    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        place = self._layout.place(spec.server_id)
        if not place.home.is_dir():
            return process.observe(place)
        # behind a start that is under way, so that the server is not up again after this says `stopped`
        with locks.held(place.command_lock, spec.server_id, "command", self._lock_seconds):
            return self._ended(place, timeout_seconds)

    @_machine_trouble
    def kill(self, spec: ServerSpec) -> Observation:
        place = self._layout.place(spec.server_id)
        if not place.home.is_dir():
            return process.observe(place)
        process.ask_to_stop(place, 0)  # cuts a patient stop short, which holds the lock
        with locks.held(place.command_lock, spec.server_id, "command", self._lock_seconds):
            return self._ended(place, 0)

    @_machine_trouble
    def set_autostart(self, spec: ServerSpec, on: bool) -> None:
        place = self._place(spec)
        if on:
            place.autostart.touch()
        else:
            place.autostart.unlink(missing_ok=True)
        sync_directory(place.home)

    @_machine_trouble
    def destroy(self, spec: ServerSpec) -> None:
        place = self._layout.place(spec.server_id)
        if not place.home.is_dir():
            return
        gone = place.home.with_name(f".gone-{spec.server_id}-{secrets.token_hex(4)}")
        with (
            locks.held(place.backups_lock, spec.server_id, "backup", self._lock_seconds),
            locks.held(place.command_lock, spec.server_id, "command", self._lock_seconds),
        ):
            if process.await_end(place, STOP_ALL_GRACE_SECONDS).observed != "stopped":
                raise HostUnavailable(self._name, "the server could not be stopped")
            place.home.rename(gone)  # in one step: no half of a server keeps its name
            sync_directory(gone.parent)
            remove_tree(gone)

    def boot(self) -> list[str]:
        """Start every server whose autostart is on, as a machine does at its own boot; return the ids of those started.

        One that cannot be started stays stopped, for whoever watches servers to see.
        """
        started = []
        with machine_trouble_of(self._name):
            places = [place for place in self._layout.all_places() if place.autostart.exists()]
        for place in places:
            try:
                if self.start(place.read_spec()).observed == "running":
                    started.append(place.server_id)
            except HostError:
                continue
        return started

    # files

    @_machine_trouble
    def list_files(self, spec: ServerSpec, path: str) -> Listing:
        return self._files.list_directory(self._place(spec), path)

    @_machine_trouble
    def read_file(self, spec: ServerSpec, path: str) -> str:
        return self._files.read(self._place(spec), path)

    @_machine_trouble
    def open_download(self, spec: ServerSpec, path: str) -> Download:
        return self._files.open(self._place(spec), path)

    @_machine_trouble
    def write_file(self, spec: ServerSpec, path: str, content: str | bytes) -> FileEntry:
        return self._files.write(self._place(spec), path, content)

    @_machine_trouble
    def open_upload(self, spec: ServerSpec, path: str) -> LocalUpload:
        return self._files.upload(self._place(spec), path)

    @_machine_trouble
    def delete_file(self, spec: ServerSpec, path: str) -> None:
        self._files.delete(self._place(spec), path)

    @_machine_trouble
    def revert_file(self, spec: ServerSpec, path: str, version: int | None = None) -> FileEntry:
        return self._files.revert(self._place(spec), path, version)

    @_machine_trouble
    def file_versions(self, spec: ServerSpec, path: str) -> list[FileVersion]:
        return self._files.history(self._place(spec), path)

    # console

    @_machine_trouble
    def send(self, spec: ServerSpec, line: str) -> None:
        console.send(self._place(spec).run, spec.server_id, line)

    @_machine_trouble
    def read_console(self, spec: ServerSpec, after_offset: int | None) -> tuple[int, list[str]]:
        return console.read_console(self._place(spec).run, after_offset)

    # backups

    @_machine_trouble
    def create_backup(self, spec: ServerSpec, backup_id: str) -> BackupInfo:
        return self._backups.create(self._place(spec), backup_id)

    @_machine_trouble
    def restore_backup(self, spec: ServerSpec, backup_id: str, safety_id: str | None = None) -> BackupInfo:
        return restore(self._backups, self._place(spec), backup_id, safety_id)

    @_machine_trouble
    def delete_backup(self, spec: ServerSpec, backup_id: str) -> None:
        self._backups.delete(spec.server_id, backup_id)

    @_machine_trouble
    def open_backup(self, spec: ServerSpec, backup_id: str) -> Download:
        return self._backups.open(spec.server_id, backup_id)

    @_machine_trouble
    def list_backups(self, spec: ServerSpec) -> list[BackupInfo]:
        return self._backups.list_all(spec.server_id)

    # tenancy

    @_machine_trouble
    def tenants(self) -> list[Tenant]:
        launched = functools.cache(launched_processes)
        found = (tenancy.read(place, launched) for place in self._layout.all_places())
        return [tenant for tenant in found if tenant is not None]

    @_machine_trouble
    def tenant(self, spec: ServerSpec) -> Tenant:
        tenant = tenancy.read(self._layout.place(spec.server_id))
        if tenant is None:
            raise ServerMissing(spec.server_id)
        return tenant

    @_machine_trouble
    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> Tenant:
        tenancy.write_packages(self._layout.place(spec.server_id).required(), packages)
        return self.tenant(spec)

    def _ended(self, place: ServerPlace, timeout_seconds: float) -> Observation:
        ran = process.is_running(place)
        seen = process.await_end(place, timeout_seconds)
        if seen.observed == "stopped":
            tenancy.suspended(place, anew=ran)
        return seen

    def _place(self, spec: ServerSpec) -> ServerPlace:
        place = self._layout.place(spec.server_id).required()
        finish_interrupted_swap(place)
        return place
