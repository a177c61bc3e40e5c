"""The Docker host: a container and a volume per server on one Engine, with backups and versions in a folder of ours.

Puts the parts of this folder together behind the contract; each part is a module of its own.
"""

from __future__ import annotations

import functools
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from jobs.hosts.base import FileBounds, HostBusy, NotOffered, Observation, ServerSpec, StillRunning
from jobs.hosts.docker import console
from jobs.hosts.docker.archive import TarStream, keep
from jobs.hosts.docker.client import Engine, engine_trouble_of
from jobs.hosts.docker.containers import MISSING, Containers
from jobs.hosts.docker.files import DockerFiles
from jobs.hosts.docker.lifecycle import Lifecycles
from jobs.hosts.docker.options import DockerOptions
from jobs.hosts.docker.places import Places
from jobs.hosts.docker.restore import Volumes, verified
from jobs.hosts.errors import HostUnavailable, machine_trouble_of
from jobs.hosts.local import locks
from jobs.hosts.local.backups import LocalBackups
from jobs.hosts.local.layout import Layout, sync_directory
from jobs.hosts.local.trees import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from jobs.hosts.base import BackupInfo, Download, FileEntry, FileVersion, Listing, Tenant
    from jobs.hosts.docker.transfers import DockerUpload
    from jobs.hosts.local.archive import HashingWriter, Packed
    from jobs.hosts.local.layout import ServerPlace

DESTROY_GRACE_SECONDS = 10.0

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def _in_own_words(
    method: Callable[Concatenate[DockerHost, _Asked], _Answer],
) -> Callable[Concatenate[DockerHost, _Asked], _Answer]:
    """Let a method fail with a host's errors only."""

    @functools.wraps(method)
    def asked(self: DockerHost, /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        about = args[0].server_id if args and isinstance(args[0], ServerSpec) else None
        with machine_trouble_of(self.name), engine_trouble_of(self.name, about):
            return method(self, *args, **kwargs)

    return asked


class DockerHost:
    """Servers on one Docker Engine. Any number of processes may use it at the same time."""

    def __init__(
        self, name: str, options: DockerOptions, *, bounds: FileBounds | None = None, lock_seconds: float = 30.0
    ) -> None:
        self._name = name
        self._options = options
        self._engine = Engine(name, options)
        self._containers = Containers(self._engine)
        self._lifecycles = Lifecycles(self._engine, self._containers)
        self._volumes = Volumes(self._engine, self._containers)
        self._files = DockerFiles(self._engine, Places(self._engine, self._containers), bounds or FileBounds())
        self._layout = Layout(options.folder.absolute())
        self._backups = LocalBackups(self._layout, self._packed)
        self._lock_seconds = lock_seconds

    @classmethod
    def from_options(cls, name: str, options: Mapping[str, Any]) -> Self:
        """Make a host as the hosts file describes it; opens no connection yet. Raises HostMisconfigured."""
        return cls(name, DockerOptions.checked(name, options))

    @property
    def name(self) -> str:
        return self._name

    # lifecycle

    @_in_own_words
    def observe_all(self) -> Mapping[str, Observation]:
        return self._lifecycles.observe_all()

    @_in_own_words
    def observe(self, spec: ServerSpec) -> Observation:
        return self._lifecycles.observe(spec.server_id)

    @_in_own_words
    def create(self, spec: ServerSpec) -> Observation:
        self._layout.make(spec)
        if self._containers.find(spec.server_id) is None:
            volume = self._volumes.make(spec.server_id, self._containers.name_of(spec.server_id))
            self._containers.create(spec, volume)
        return self._lifecycles.observe(spec.server_id)

    @_in_own_words
    def start(self, spec: ServerSpec) -> Observation:
        self._containers.required(spec.server_id)
        with self._command(spec):
            return self._lifecycles.start(spec)

    @_in_own_words
    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        if self._containers.find(spec.server_id) is None:
            return MISSING
        # behind a start that is under way, so that the server is not up again after this says `stopped`
        with self._command(spec):
            return self._lifecycles.stop(spec.server_id, timeout_seconds)

    @_in_own_words
    def kill(self, spec: ServerSpec) -> Observation:
        if self._containers.find(spec.server_id) is None:
            return MISSING
        self._lifecycles.send_kill(spec.server_id)  # cuts a patient stop short, which holds the lock
        with self._command(spec):
            return self._lifecycles.kill(spec.server_id)

    @_in_own_words
    def set_autostart(self, spec: ServerSpec, on: bool) -> None:
        self._lifecycles.set_autostart(spec.server_id, on)

    @_in_own_words
    def destroy(self, spec: ServerSpec) -> None:
        place = self._layout.make(spec)
        gone = place.home.with_name(f".gone-{spec.server_id}-{secrets.token_hex(4)}")
        with locks.held(place.backups_lock, spec.server_id, "backup", self._lock_seconds), self._command(spec):
            found = self._containers.find(spec.server_id)
            if found is not None:
                if self._lifecycles.stop(spec.server_id, DESTROY_GRACE_SECONDS).observed == "running":
                    raise HostUnavailable(self._name, "the server could not be stopped")
                self._lifecycles.remove(found)
            self._volumes.sweep(spec.server_id, keep=None)
            if self._containers.find(spec.server_id) is not None:
                raise HostUnavailable(self._name, "the Engine still shows a container that it was told to remove")
            place.home.rename(gone)
            sync_directory(gone.parent)
            remove_tree(gone)

    # files

    @_in_own_words
    def list_files(self, spec: ServerSpec, path: str) -> Listing:
        return self._files.list_directory(self._containers.required(spec.server_id), path)

    @_in_own_words
    def read_file(self, spec: ServerSpec, path: str) -> str:
        return self._files.read(self._containers.required(spec.server_id), path)

    @_in_own_words
    def open_download(self, spec: ServerSpec, path: str) -> Download:
        return self._files.open(self._containers.required(spec.server_id), path)

    @_in_own_words
    def write_file(self, spec: ServerSpec, path: str, content: str | bytes) -> FileEntry:
        found = self._containers.required(spec.server_id)
        return self._files.write(found, self._layout.make(spec), path, content)

    @_in_own_words
    def open_upload(self, spec: ServerSpec, path: str) -> DockerUpload:
        return self._files.upload(self._containers.required(spec.server_id), self._layout.make(spec), path)

    @_in_own_words
    def delete_file(self, spec: ServerSpec, path: str) -> None:
        self._files.delete(self._containers.required(spec.server_id), self._layout.make(spec), path)

    @_in_own_words
    def revert_file(self, spec: ServerSpec, path: str, version: int | None = None) -> FileEntry:
        return self._files.revert(self._containers.required(spec.server_id), self._layout.make(spec), path, version)

    @_in_own_words
    def file_versions(self, spec: ServerSpec, path: str) -> list[FileVersion]:
        self._containers.required(spec.server_id)
        return self._files.history(self._layout.make(spec), path)

    # console

    @_in_own_words
    def send(self, spec: ServerSpec, line: str) -> None:
        console.send(self._engine, self._containers.required(spec.server_id), line)

    @_in_own_words
    def read_console(self, spec: ServerSpec, after_offset: int | None) -> tuple[int, list[str]]:
        return console.read_console(self._engine, self._containers.required(spec.server_id), after_offset)

    # backups

    @_in_own_words
    def create_backup(self, spec: ServerSpec, backup_id: str) -> BackupInfo:
        self._containers.required(spec.server_id)
        return self._backups.create(self._layout.make(spec), backup_id)

    @_in_own_words
    def restore_backup(self, spec: ServerSpec, backup_id: str, safety_id: str | None = None) -> BackupInfo:
        info = self._backups.required(spec.server_id, backup_id)
        self._containers.required(spec.server_id)
        place = self._layout.make(spec)
        with (
            locks.held(place.backups_lock, spec.server_id, "backup"),
            self._command(spec),
            locks.held(place.files_lock, spec.server_id, "change of files"),
            self._backups.open(spec.server_id, backup_id) as download,
        ):
            seen = self._lifecycles.observe(spec.server_id)
            if seen.observed == "running":
                raise StillRunning(spec.server_id)
            if seen.observed != "stopped":
                raise HostBusy(spec.server_id, "operation of the Engine")
            verified(download.stream, info)
            name = safety_id or f"safety-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
            safety = self._backups.make(place, name)
            self._volumes.exchange(spec, download.stream)
        return safety

    @_in_own_words
    def delete_backup(self, spec: ServerSpec, backup_id: str) -> None:
        self._backups.delete(spec.server_id, backup_id)

    @_in_own_words
    def open_backup(self, spec: ServerSpec, backup_id: str) -> Download:
        return self._backups.open(spec.server_id, backup_id)

    @_in_own_words
    def list_backups(self, spec: ServerSpec) -> list[BackupInfo]:
        return self._backups.list_all(spec.server_id)

    # tenancy

    def tenants(self) -> list[Tenant]:
        raise NotOffered(self._name, "records of tenants")

    def tenant(self, spec: ServerSpec) -> Tenant:
        raise NotOffered(self._name, "records of tenants")

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> Tenant:
        raise NotOffered(self._name, "packages")

    @contextmanager
    def _command(self, spec: ServerSpec) -> Iterator[None]:
        """Keep others from starting, stopping, restoring or destroying the server meanwhile."""
        place = self._layout.make(spec)
        with locks.held(place.command_lock, spec.server_id, "command", self._lock_seconds):
            yield

    def _packed(self, place: ServerPlace, target: HashingWriter) -> Packed:
        found = self._containers.required(place.server_id)
        with self._engine.client.archive(found.id, found.data) as stream:
            return keep(TarStream(self._name, stream), target)
