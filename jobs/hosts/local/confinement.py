"""The one way from a path that a customer typed to a file: walked name by name below the server's root.

INVARIANT: nothing outside the root is ever opened, whatever the server does to its files meanwhile. Each step opens one
name in a directory that is already open, and refuses links; a resolved path is never handed to a second call.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from jobs.hosts.base import FileMissing, PathRefused, WrongFileKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH_BYTES = 1_024
NAME_BYTES = 255
DEPTH = 64

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# not blocking: opening a pipe that nobody writes to would otherwise hang the caller
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class CustomerPath:
    """A path as a customer typed it, taken apart. Knows nothing of the disk."""

    text: str
    parts: tuple[str, ...]
    absolute: bool
    """Typed with a leading `/`, which stands for the server's root. Such a path is taken only where it really leads
    somewhere below that root: a customer, or a script, that means the machine's `/etc` is told so."""

    @classmethod
    def parse(cls, text: str) -> CustomerPath:
        """Take a path apart. Raises PathRefused when no disk could make it lead below the root."""
        # a backslash is no separator here, but somewhere on the way it may become one
        if "\\" in text or any(ord(character) < 32 or ord(character) == 127 for character in text):
            raise PathRefused(text, "malformed")
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise PathRefused(text, "malformed") from None
        parts = tuple(part for part in text.split("/") if part not in ("", "."))
        if ".." in parts:
            raise PathRefused(text, "outside")
        if len(encoded) > PATH_BYTES or len(parts) > DEPTH or any(len(part.encode()) > NAME_BYTES for part in parts):
            raise PathRefused(text, "too_long")
        return cls(text, parts, text.startswith("/"))

    @property
    def is_root(self) -> bool:
        return not self.parts

    @property
    def name(self) -> str:
        """The last name. Raises PathRefused for the root."""
        if not self.parts:
            raise PathRefused(self.text, "root")
        return self.parts[-1]

    def missing(self) -> FileMissing | PathRefused:
        """Build the error for a path at which nothing stands."""
        return PathRefused(self.text, "outside") if self.absolute else FileMissing(self.text)


@contextmanager
def opened_directory(root: Path, path: CustomerPath) -> Iterator[int]:
    """Open the directory at `path`. Raises FileMissing, PathRefused, WrongFileKind."""
    descriptor = _walk(root, path, path.parts, make=False)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_parent(root: Path, path: CustomerPath, *, make: bool = False) -> Iterator[int]:
    """Open the directory that holds `path`'s last name; with `make`, also make the directories on the way.

    None is made for an absolute path: there the parent has to exist. Raises FileMissing, PathRefused.
    """
    _ = path.name
    try:
        descriptor = _walk(root, path, path.parts[:-1], make=make and not path.absolute)
    except WrongFileKind:
        raise path.missing() from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular(parent: int, path: CustomerPath) -> tuple[int, os.stat_result]:
    """Open the ordinary file named last in `path` for reading. Raises FileMissing, PathRefused, WrongFileKind."""
    seen = entry_at(parent, path.name)
    if seen is not None and not (
        stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode) or stat.S_ISLNK(seen.st_mode)
    ):
        raise PathRefused(path.text, "special")  # opening a device can already do something
    try:
        descriptor = os.open(path.name, _FILE_FLAGS, dir_fd=parent)
    except OSError as error:
        _refuse(error, parent, path, path.name)
    try:
        seen = os.fstat(descriptor)
        if stat.S_ISDIR(seen.st_mode):
            raise WrongFileKind(path.text, "file")
        if not stat.S_ISREG(seen.st_mode):
            raise PathRefused(path.text, "special")
    except BaseException:
        os.close(descriptor)
        raise
    os.set_blocking(descriptor, True)
    return descriptor, seen


def entry_at(parent: int, name: str) -> os.stat_result | None:
    """Look at a name without following it; `None` when nothing stands there."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _walk(root: Path, path: CustomerPath, parts: tuple[str, ...], *, make: bool) -> int:
    descriptor = os.open(root, _DIRECTORY_FLAGS)
    try:
        for part in parts:
            following = _step(descriptor, path, part, make=make)
            os.close(descriptor)
            descriptor = following
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _step(directory: int, path: CustomerPath, part: str, *, make: bool) -> int:
    if make:
        _make(directory, path, part)
    try:
        return os.open(part, _DIRECTORY_FLAGS, dir_fd=directory)
    except OSError as error:
        _refuse(error, directory, path, part)


def _make(directory: int, path: CustomerPath, part: str) -> None:
    try:
        with suppress(FileExistsError):  # whatever stands there, opening it will tell
            os.mkdir(part, dir_fd=directory)
    except OSError as error:
        _refuse(error, directory, path, part)


def _refuse(error: OSError, directory: int, path: CustomerPath, part: str) -> NoReturn:
    """Turn a failed step into what it means to a customer; what it does not explain stays the host's own fault."""
    if error.errno == errno.ENOENT:
        raise path.missing() from None
    if error.errno == errno.ENAMETOOLONG:
        raise PathRefused(path.text, "too_long") from None
    if error.errno in (errno.EACCES, errno.EPERM):
        raise PathRefused(path.text, "unreadable") from None
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        # only the wording depends on this second look
        seen = entry_at(directory, part)
        if seen is not None and stat.S_ISLNK(seen.st_mode):
            raise PathRefused(path.text, "link") from None
        if seen is not None and not stat.S_ISREG(seen.st_mode):
            raise PathRefused(path.text, "special") from None
        raise WrongFileKind(path.text, "directory") from None
    if error.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):
        raise PathRefused(path.text, "special") from None
    raise error
