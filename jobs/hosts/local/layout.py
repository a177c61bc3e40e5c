"""Where the local host keeps things: one directory per server, one per server's backups, and the locks between them.

DATA/servers/SERVER/files      the customer's root
                    run        process record, pipes, console log, locks
                    versions   what was overwritten or deleted
                    incoming   uploads on their way in
                    spec.json  what was created;  autostart   present when the host starts it at its own boot
                    created    since when there is a server;  packages.json   what is switched on besides it
                    suspended  present since it was stopped as it was told to
DATA/backups/SERVER/BACKUP.tar.gz and BACKUP.json
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.hosts.base import HostError, ServerMissing, ServerSpec
from jobs.hosts.local.trees import remove_tree

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class IdRefused(HostError):
    """An id that cannot name a directory. Ids are made by us, so this is a fault of the caller."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"that is not the id of a {what}")


def safe_id(text: str, what: str) -> str:
    """Return `text` when it can name a directory entry and nothing else. Raises IdRefused."""
    if not _SAFE_ID.fullmatch(text):
        raise IdRefused(what)
    return text


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """The directories and files of one server."""

    home: Path

    @property
    def server_id(self) -> str:
        return self.home.name

    @property
    def files(self) -> Path:
        return self.home / "files"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def versions(self) -> Path:
        return self.home / "versions"

    @property
    def incoming(self) -> Path:
        return self.home / "incoming"

    @property
    def autostart(self) -> Path:
        return self.home / "autostart"

    @property
    def spec(self) -> Path:
        return self.home / "spec.json"

    @property
    def created(self) -> Path:
        return self.home / "created"

    @property
    def packages(self) -> Path:
        return self.home / "packages.json"

    @property
    def suspended(self) -> Path:
        return self.home / "suspended"

    @property
    def command_lock(self) -> Path:
        """Held while the server is started, stopped, restored or destroyed."""
        return self.run / "command.lock"

    @property
    def files_lock(self) -> Path:
        """Held while a name in the customer's files changes what it stands for."""
        return self.run / "files.lock"

    @property
    def backups_lock(self) -> Path:
        """Held while a backup is made or restored."""
        return self.run / "backups.lock"

    def required(self) -> ServerPlace:
        """Return this place when the server exists. Raises ServerMissing."""
        if not self.home.is_dir():
            raise ServerMissing(self.server_id)
        return self

    def read_spec(self) -> ServerSpec:
        """Return what the server was created or last started as."""
        return ServerSpec(**json.loads(self.spec.read_text(encoding="utf-8")))

    def write_spec(self, spec: ServerSpec) -> None:
        """Remember `spec`, for a start at the host's own boot."""
        write_whole(self.spec, json.dumps(asdict(spec)).encode())


@dataclass(frozen=True, slots=True)
class Layout:
    """The local host's directories below its data directory."""

    data_dir: Path

    @property
    def servers(self) -> Path:
        return self.data_dir / "servers"

    @property
    def backups(self) -> Path:
        return self.data_dir / "backups"

    def place(self, server_id: str) -> ServerPlace:
        return ServerPlace(self.servers / safe_id(server_id, "server"))

    def backups_of(self, server_id: str) -> Path:
        return self.backups / safe_id(server_id, "server")

    def all_places(self) -> list[ServerPlace]:
        """Return every server's place. Raises OSError when the directory cannot be listed."""
        with os.scandir(self.servers) as entries:
            names = sorted(entry.name for entry in entries if _SAFE_ID.fullmatch(entry.name))
        return [ServerPlace(self.servers / name) for name in names]

    def make(self, spec: ServerSpec) -> ServerPlace:
        """Make the server's directories unless they exist. A half-made server never has its final name."""
        place = self.place(spec.server_id)
        self.servers.mkdir(parents=True, exist_ok=True)
        if place.home.is_dir():
            return place
        draft = ServerPlace(Path(tempfile.mkdtemp(prefix=".new-", dir=self.servers)))
        try:
            for directory in (draft.files, draft.run, draft.versions, draft.incoming):
                directory.mkdir()
            draft.write_spec(spec)
            for stamp in (draft.created, draft.suspended):  # a new server is stopped
                write_whole(stamp, datetime.now(UTC).isoformat().encode())
            draft.home.rename(place.home)
        except OSError:
            remove_tree(draft.home)
            if not place.home.is_dir():  # otherwise another worker made it first, which is as good
                raise
        sync_directory(self.servers)
        return place


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that a reader, or a crash, finds the old content or the new, never a part."""
    descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
