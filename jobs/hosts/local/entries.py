"""What a directory entry looks like to a customer."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime

from jobs.hosts.base import FileEntry, FileKind

_LAST_SECOND = 253_402_300_799  # 9999-12-31; file systems can hold later ones, and servers can set them


def kind_of(mode: int) -> FileKind:
    """Name what a stat mode stands for."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def instant_of(seconds: float) -> datetime:
    """Turn a file's time into an instant, within what a date can show."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC)


def entry_of(name: str, seen: os.stat_result) -> FileEntry:
    """Describe one entry. Bytes of a name that are no UTF-8 are shown escaped."""
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    return FileEntry(shown, kind_of(seen.st_mode), seen.st_size, instant_of(seen.st_mtime))
