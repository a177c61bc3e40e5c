"""The contract that every host obeys: what a server is to a host, what may be asked of it, and how it says no.

Callers treat every host alike. Billing, gates and desired state are not a host's business: it does what it is told
and reports what it *observed*, never what it accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, Self, runtime_checkable

from jobs.hosts.errors import (
    BackupDamaged,
    BackupMissing,
    ConsoleBusy,
    ConsoleLineRefused,
    FileMissing,
    HostBusy,
    HostError,
    HostFailed,
    HostFull,
    HostMisconfigured,
    HostUnavailable,
    LaunchFailed,
    NothingToRevert,
    NotOffered,
    NotRunning,
    NotText,
    PathRefused,
    ServerMissing,
    StillRunning,
    TooDeep,
    TooLarge,
    WrongFileKind,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

__all__ = [
    "BackupDamaged",
    "BackupInfo",
    "BackupMissing",
    "ConsoleBusy",
    "ConsoleLineRefused",
    "Download",
    "FileBounds",
    "FileEntry",
    "FileMissing",
    "FileVersion",
    "Host",
    "HostBusy",
    "HostError",
    "HostFailed",
    "HostFull",
    "HostMisconfigured",
    "HostUnavailable",
    "LaunchFailed",
    "Listing",
    "NotOffered",
    "NotRunning",
    "NotText",
    "NothingToRevert",
    "Observation",
    "Observed",
    "PathRefused",
    "ServerMissing",
    "ServerSpec",
    "StillRunning",
    "Tenancy",
    "Tenant",
    "TooDeep",
    "TooLarge",
    "Upload",
    "WrongFileKind",
]

MIB = 1024 * 1024

Observed = Literal["running", "stopped", "unknown", "missing"]
FileKind = Literal["file", "directory", "link", "other"]


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What a host needs to know of a server."""

    server_id: str
    name: str
    kind: str
    """`game` or `dev`; picks the command or image that the host runs."""
    port: int
    """TCP port on the loopback side of the host; 0 lets the server choose a free one."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a host saw of one server at one moment."""

    observed: Observed
    """`stopped` only when nothing of the server runs; `missing` when the host knows no such server."""
    autostart: bool | None
    """Whether the host would start it at its own boot; `None` when it cannot tell or the server is missing."""
    detail: str
    """A few words for an operator: why it stopped, or how it runs. Free of machine paths."""
    port: int | None = field(default=None, compare=False)
    """The TCP port on which it is reached at its host; `None` while the host does not know one.

    It is no part of how a server is: one that has just been started is the same before and after it listens.
    """


@dataclass(frozen=True, slots=True)
class FileBounds:
    """Limits on what one request may move through a host's file access."""

    list_entries: int = 2_000
    read_bytes: int = 1 * MIB
    write_bytes: int = 10 * MIB
    upload_bytes: int = 4_096 * MIB
    versions_kept: int = 10


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One name in a directory. Links are shown and never followed."""

    name: str
    kind: FileKind
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of one directory, by name."""

    entries: tuple[FileEntry, ...]
    truncated: bool
    """True when the directory holds more entries than the bound; then these are only some of them."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """An earlier content of a path, kept when it was overwritten or deleted."""

    version: int
    kind: FileKind
    size_bytes: int
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """An open file. It shows one state of the file: a later write replaces the file, not what is read here."""

    name: str
    size_bytes: int
    """Size when opened. A server that appends in place can make the stream longer."""
    stream: BinaryIO

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()


class Upload(Protocol):
    """A file on its way in. Nothing of it can be seen before `commit`; leaving the `with` block abandons it."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises TooLarge past the bound."""

    def commit(self) -> FileEntry:
        """Put the whole file into place at once, keeping what it replaces as a version."""

    def abandon(self) -> None:
        """Forget what was sent. Harmless after `commit`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """A finished backup. Half-made ones are never listed."""

    backup_id: str
    size_bytes: int
    sha256: str
    """Of the archive as stored, checked before anything is restored from it. Empty where the host keeps its own."""
    created_at: datetime
    content_bytes: int = 0
    """Sum of the files' sizes inside."""
    skipped_entries: int = 0
    """Pipes, sockets, devices and links that lead out of the server's files: not backed up."""
    unsettled_files: int = 0
    """Files that kept changing in place during every try to read them."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A live server as its host holds it: what was committed there, which metering believes."""

    server_id: str
    name: str
    created_at: datetime
    packages: tuple[str, ...]
    """What is switched on besides the server itself, by name."""
    suspended_at: datetime | None
    """Since when it is stopped because it was told to be; `None` while it runs, or ended by itself."""


class Lifecycle(Protocol):
    """Servers as the host sees them. Every command may be repeated."""

    @property
    def name(self) -> str:
        """Name of this host in records and alerts."""

    def observe_all(self) -> Mapping[str, Observation]:
        """See every server of this host, by server id, in one go.

        A server absent from the answer is missing. Raises HostUnavailable when the host cannot be asked, or answers
        for only some of its servers: the caller then knows nothing about any of them.
        """

    def observe(self, spec: ServerSpec) -> Observation:
        """See one server."""

    def create(self, spec: ServerSpec) -> Observation:
        """Make the server, stopped, with autostart off. One that exists keeps its files."""

    def start(self, spec: ServerSpec) -> Observation:
        """Start the server unless it runs. Raises ServerMissing, LaunchFailed, HostBusy."""

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        """Ask the server to end, force it after `timeout_seconds`, and return what was then observed."""

    def kill(self, spec: ServerSpec) -> Observation:
        """End the server at once, without asking it."""

    def set_autostart(self, spec: ServerSpec, on: bool) -> None:
        """Choose whether the host starts the server at its own boot. Raises ServerMissing."""

    def destroy(self, spec: ServerSpec) -> None:
        """Stop the server and remove its files and versions for good. Its backups stay."""


class Files(Protocol):
    """The server's own files. `/` and the empty path are its root, and nothing outside can be named.

    Each raises PathRefused for a path that leaves the root, and ServerMissing. On a host without them each raises
    NotOffered.
    """

    def list_files(self, spec: ServerSpec, path: str) -> Listing:
        """List a directory. Raises FileMissing, WrongFileKind."""

    def read_file(self, spec: ServerSpec, path: str) -> str:
        """Read a small text file. Raises FileMissing, WrongFileKind, TooLarge, NotText."""

    def open_download(self, spec: ServerSpec, path: str) -> Download:
        """Open a file of any size. Raises FileMissing, WrongFileKind."""

    def write_file(self, spec: ServerSpec, path: str, content: str | bytes) -> FileEntry:
        """Replace or make a file at once. Raises TooLarge, WrongFileKind."""

    def open_upload(self, spec: ServerSpec, path: str) -> Upload:
        """Begin a file of any size. Raises WrongFileKind."""

    def delete_file(self, spec: ServerSpec, path: str) -> None:
        """Take a file or a whole directory away, keeping it as a version. Raises FileMissing."""

    def revert_file(self, spec: ServerSpec, path: str, version: int | None = None) -> FileEntry:
        """Bring a version back, by its number in `file_versions`; `None`: the newest.

        What stood there becomes the newest version. Raises NothingToRevert.
        """

    def file_versions(self, spec: ServerSpec, path: str) -> Sequence[FileVersion]:
        """List what `path` held earlier, newest first."""


class Console(Protocol):
    """The server's own console. On a host without them each method raises NotOffered."""

    def send(self, spec: ServerSpec, line: str) -> None:
        """Type one line. Raises NotRunning, ConsoleLineRefused, ConsoleBusy."""

    def read_console(self, spec: ServerSpec, after_offset: int | None) -> tuple[int, list[str]]:
        """Read whole lines printed after `after_offset`, and the offset to ask from next.

        `None` starts at the last screenful. An offset too old continues at the oldest line that is kept. One call
        returns a bounded amount; ask again until no line comes.
        """


class Backups(Protocol):
    """Copies of a server's files, kept apart from the server."""

    def create_backup(self, spec: ServerSpec, backup_id: str) -> BackupInfo:
        """Back the files up under `backup_id`. A finished one of that id is returned as it is."""

    def restore_backup(self, spec: ServerSpec, backup_id: str, safety_id: str | None = None) -> BackupInfo:
        """Replace the files by the backup's, all or nothing, and return the safety copy of what was there.

        `safety_id` names that copy, so that a restore done again does not save what the first try put there; `None`
        makes a name up.

        Raises BackupMissing, BackupDamaged, StillRunning.
        """

    def delete_backup(self, spec: ServerSpec, backup_id: str) -> None:
        """Remove a backup for good."""

    def open_backup(self, spec: ServerSpec, backup_id: str) -> Download:
        """Open the archive. Raises BackupMissing, NotOffered."""

    def list_backups(self, spec: ServerSpec) -> Sequence[BackupInfo]:
        """List finished backups, oldest first, also those of a server that is gone."""


class Tenancy(Protocol):
    """What metering asks of a host. On a host that cannot tell, each method raises NotOffered."""

    def tenants(self) -> Sequence[Tenant]:
        """List every live server, by server id. Raises HostUnavailable rather than list some of them."""

    def tenant(self, spec: ServerSpec) -> Tenant:
        """Read one server. Raises ServerMissing."""

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> Tenant:
        """Switch exactly these packages on, and return what the host then holds. Raises ServerMissing, HostBusy."""


@runtime_checkable
class Host(Lifecycle, Files, Console, Backups, Tenancy, Protocol):
    """Everything that the rest of the system may ask of a machine that runs servers."""
