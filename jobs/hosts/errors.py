"""How a host says no. Each error keeps its facts as attributes and builds a sentence that a customer may read.

No sentence holds a path of the machine; what a customer typed is quoted, shortened and stripped of control characters.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

QUOTE_CHARACTERS = 120

RefusalReason = Literal["outside", "link", "special", "malformed", "too_long", "root", "unreadable"]

_REFUSALS: dict[str, str] = {
    "outside": "is not among the server's own files; give a path below its root",
    "link": "goes through a link, and links are not followed",
    "special": "is not an ordinary file or directory",
    "malformed": "holds characters that a path cannot have",
    "too_long": "is too long for a path",
    "root": "is the server's root itself",
    "unreadable": "cannot be opened",
}


def quoted(text: str) -> str:
    """Quote what somebody typed, harmless in a log, a mail and a page."""
    safe = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if len(safe) > QUOTE_CHARACTERS:
        safe = safe[:QUOTE_CHARACTERS] + "…"
    return f"`{safe.replace('`', chr(39))}`"


class HostError(Exception):
    """A host could not do what it was asked."""


class HostUnavailable(HostError):
    """The host cannot be asked, or its answer is not whole. Nothing follows about its servers."""

    def __init__(self, host: str, reason: str) -> None:
        self.host = host
        self.reason = reason
        super().__init__(f"host `{host}` cannot be reached: {reason}")


class HostMisconfigured(HostError):
    """The host lacks something that an operator has to provide."""

    def __init__(self, host: str, missing: str) -> None:
        self.host = host
        self.missing = missing
        super().__init__(f"host `{host}` is not set up: {missing}")


class NotOffered(HostError):
    """Hosts of this kind have no way to do it, now or later. `what` is a plural, such as `files`."""

    def __init__(self, host: str, what: str) -> None:
        self.host = host
        self.what = what
        super().__init__(f"{what} are not offered for servers on this kind of host; write to us if you need them")


class HostFailed(HostError):
    """The host was asked, and could not do it. `reason` is for operators and may name its machines."""

    def __init__(self, host: str, doing: str, reason: str) -> None:
        self.host = host
        self.doing = doing
        self.reason = reason
        super().__init__(f"host `{host}` could not {doing}: {reason}")


class HostFull(HostError):
    """The host has no space left for what it was asked to store."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(f"host `{host}` has no space left")


class HostBusy(HostError):
    """Another command holds the server; the same call can succeed in a moment."""

    def __init__(self, server_id: str, doing: str) -> None:
        self.server_id = server_id
        self.doing = doing
        super().__init__(f"the server is busy: another {doing} has not ended; try again in a moment")


class ServerMissing(HostError):
    """The host knows no such server."""

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        super().__init__(f"there is no server {quoted(server_id)} on its host")


class LaunchFailed(HostError):
    """The server's process could not be started. `detail` is for operators and may name paths."""

    def __init__(self, server_id: str, reason: str, detail: str = "") -> None:
        self.server_id = server_id
        self.reason = reason
        self.detail = detail
        super().__init__(f"the server could not be started: {reason}")


class NotRunning(HostError):
    """The command needs a running server."""

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        super().__init__("the server is not running")


class StillRunning(HostError):
    """The command needs a stopped server."""

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        super().__init__("the server is still running; stop it first")


class PathRefused(HostError):
    """A path names nothing that a customer may reach. Says nothing about what exists elsewhere."""

    def __init__(self, path: str, reason: RefusalReason) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{quoted(path)} {_REFUSALS[reason]}")


class FileMissing(HostError):
    """Nothing stands at the path."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is no file {quoted(path)}")


class NothingToRevert(FileMissing):
    """The path has no earlier version, or not the one that was asked for."""

    def __init__(self, path: str, version: int | None = None) -> None:
        super().__init__(path)
        self.version = version
        which = "earlier version" if version is None else f"version {version}"
        self.args = (f"{quoted(path)} has no {which} to go back to",)


class WrongFileKind(HostError):
    """A file was named where a directory is needed, or the reverse."""

    def __init__(self, path: str, expected: Literal["file", "directory"]) -> None:
        self.path = path
        self.expected = expected
        super().__init__(f"{quoted(path)} is not a {expected}")


class TooLarge(HostError):
    """More bytes than the command takes. `size_bytes` is how many were seen before it stopped counting."""

    def __init__(self, path: str, size_bytes: int, limit_bytes: int, instead: str) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        self.instead = instead
        super().__init__(f"{quoted(path)} is larger than {limit_bytes:,} bytes; {instead}")


class NotText(HostError):
    """The file is not UTF-8 text."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{quoted(path)} is not UTF-8 text; download or upload it as a file instead")


class ConsoleLineRefused(HostError):
    """The line cannot be typed on a console."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the console takes one line of text: {reason}")


class ConsoleBusy(HostError):
    """The server does not read its console, and what was typed before is still waiting."""

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        super().__init__("the server does not read its console at the moment; try again later")


class TooDeep(HostError):
    """The server's directories are nested deeper than anything can use. Nothing was backed up, nothing was restored."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the server's directories are nested more than {limit:,} deep; remove the deepest ones first")


class BackupMissing(HostError):
    """There is no finished backup of that id."""

    def __init__(self, backup_id: str) -> None:
        self.backup_id = backup_id
        super().__init__(f"there is no backup {quoted(backup_id)}")


class BackupDamaged(HostError):
    """The archive is not what was stored, or holds what no backup of ours holds. Nothing was restored."""

    def __init__(self, backup_id: str, reason: str) -> None:
        self.backup_id = backup_id
        self.reason = reason
        super().__init__(f"backup {quoted(backup_id)} is damaged: {reason}; nothing was restored")


@contextmanager
def machine_trouble_of(host: str) -> Iterator[None]:
    """Turn what the operating system refuses into a host's own words. Raises HostFull, HostUnavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostFull(host) from error
        reason = os.strerror(error.errno).lower() if error.errno else "input or output failed"
        raise HostUnavailable(host, reason) from error
    except json.JSONDecodeError as error:  # a record of ours that cannot be read back
        raise HostUnavailable(host, "one of its records is damaged") from error
