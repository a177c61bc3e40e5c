"""Volumes: made, filled from a backup, and exchanged under a server.

INVARIANT: a server has its old files or the backup's, whole: the backup goes into a new volume, and only when all of it
is there does a new container with that volume take the server's name. The old volume stays until then.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from jobs.hosts.base import BackupDamaged, BackupInfo
from jobs.hosts.docker.archive import below, tar_of, verify
from jobs.hosts.docker.client import CONFLICT, APIError, NotFound
from jobs.hosts.docker.containers import DRAFT_OF, NAMESPACE, REPLACED, SERVER, Containers
from jobs.hosts.errors import HostMisconfigured, HostUnavailable
from jobs.hosts.local.archive import ArchiveRefused

if TYPE_CHECKING:
    from jobs.hosts.base import ServerSpec
    from jobs.hosts.docker.client import Engine

_CHUNK_BYTES = 1024 * 1024


class Volumes:
    """The volumes that hold servers' files."""

    def __init__(self, engine: Engine, containers: Containers) -> None:
        self._engine = engine
        self._containers = containers

    def make(self, server_id: str, name: str) -> str:
        """Make a volume unless it is there, and return its name. Raises HostMisconfigured for somebody else's."""
        labels = {NAMESPACE: self._engine.options.namespace, SERVER: server_id}
        made = self._engine.client.create_volume(name, driver="local", labels=labels)
        found = made.get("Labels") or {}
        if any(found.get(key) != value for key, value in labels.items()):
            raise HostMisconfigured(
                self._engine.host, f"a volume `{name}` stands there that is not ours; rename it, or remove it"
            )
        return name

    def exchange(self, spec: ServerSpec, archive: BinaryIO) -> None:
        """Put the archive's files in place of the server's. The caller has checked both, and keeps starts out."""
        client = self._engine.client
        old = self._containers.required(spec.server_id)
        self.sweep(spec.server_id, keep=old.volume)
        token = secrets.token_hex(4)
        volume = self.make(spec.server_id, f"{self._containers.name_of(spec.server_id)}-{token}")
        draft = self._containers.create_draft(spec, volume, f"{volume}-draft")
        try:
            above, _, top = old.data.rpartition("/")
            # from the directory above: so the owner of the data directory itself comes back too
            client.unpack(draft, above or "/", tar_of(below(top, archive)))
        finally:
            client.remove_container(draft, v=False, force=True)
        main = self._containers.name_of(spec.server_id)
        client.rename(old.id, f"{main}{REPLACED}{token}")
        try:
            new = self._containers.create(spec, volume, restart=old.restart, filled=True)
        except BaseException:
            with suppress(APIError):  # it may have been made all the same; then it holds the whole backup
                client.rename(old.id, main)
            raise
        if new.volume != volume:
            raise HostUnavailable(self._engine.host, "the Engine made a container on another volume")
        self.sweep(spec.server_id, keep=volume)

    def sweep(self, server_id: str, *, keep: str | None) -> None:
        """Remove what restores have replaced, or left when they died. keep: the volume in use; `None`: none is."""
        client = self._engine.client
        main = self._containers.name_of(server_id)
        if keep is None or any(row[1] == main for row in self._containers.rows(server_id)):
            for container, name, *_ in self._containers.rows(server_id):
                if name != main:
                    client.remove_container(container, v=False, force=False)
        namespace = f"{NAMESPACE}={self._engine.options.namespace}"
        for row in client.containers(all=True, filters={"label": [namespace, f"{DRAFT_OF}={server_id}"]}):
            client.remove_container(row["Id"], v=False, force=True)
        found = client.volumes(filters={"label": [namespace, f"{SERVER}={server_id}"]})
        names = [str(row["Name"]) for row in found.get("Volumes") or []]
        if keep is None or keep in names:  # otherwise something is not as we made it, and nothing is removed
            for name in names:
                if name != keep:
                    self._remove(name, needed=keep is None)

    def _remove(self, name: str, *, needed: bool) -> None:
        """Remove a volume. needed: one that somebody else's container uses is told, and not left for another time."""
        try:
            self._engine.client.remove_volume(name)
        except NotFound:
            return
        except APIError as error:
            if needed or error.status_code != CONFLICT:
                raise


def verified(stream: BinaryIO, info: BackupInfo) -> None:
    """Check an archive's digest and every name in it. Raises BackupDamaged."""
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
    if (size_bytes, digest.hexdigest()) != (info.size_bytes, info.sha256):
        raise BackupDamaged(info.backup_id, "its content is not what was stored")
    stream.seek(0)
    try:
        verify(stream, info.content_bytes)
    except ArchiveRefused as refusal:
        raise BackupDamaged(info.backup_id, refusal.reason) from None
    stream.seek(0)  # the very file that was checked is the one that is unpacked
