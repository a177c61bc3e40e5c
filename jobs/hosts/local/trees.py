"""Whole directory trees: walked and removed through open directories, without following links and without recursion.

What a server leaves on disk is of its own making: paths longer than any call takes, directories that nobody may enter.
"""

from __future__ import annotations

import itertools
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from jobs.hosts.base import TooDeep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPTH = 500
"""No ordinary program nests deeper; walking costs the square of the depth, so it has a bound."""

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

Parts = tuple[str, ...]


def open_below(root: int, parts: Parts, *, make: bool = False) -> int:
    """Open the directory at `parts` below an open one, with `make` making what is missing. Raises OSError."""
    descriptor = os.dup(root)
    for part in parts:
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            following = os.open(part, DIRECTORY_FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


def entries_below(root: Path) -> Iterator[tuple[Parts, int, os.stat_result]]:
    """Yield every entry with its open directory, a directory's own entries before those further down.

    One directory is open at a time, so that depth costs no descriptors. What vanishes meanwhile is passed over.
    Raises TooDeep.
    """
    top = os.open(root, DIRECTORY_FLAGS)
    waiting: list[Parts] = [()]
    try:
        while waiting:
            above = waiting.pop()
            try:
                directory = open_below(top, above)
            except OSError:
                if not above:
                    raise
                continue  # the server removed it, or put something else there
            try:
                for name in sorted(os.listdir(directory)):  # noqa: PTH208 - a descriptor, not a path
                    with suppress(FileNotFoundError):
                        seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
                        yield (*above, name), directory, seen
                        if stat.S_ISDIR(seen.st_mode):
                            waiting.append((*above, name))
            finally:
                os.close(directory)
            if waiting and len(waiting[-1]) > DEPTH:
                raise TooDeep(DEPTH)
    finally:
        os.close(top)


def remove_tree(path: Path) -> None:
    """Remove a directory and all in it, however deep it is and whatever it forbids. A missing one is fine."""
    try:
        top = os.open(path, DIRECTORY_FLAGS)
    except FileNotFoundError:
        return
    try:
        # every directory is first moved up here and then emptied: none is ever more than one step away
        names = (f".{secrets.token_hex(8)}" for _ in itertools.count())
        waiting = _emptied(top, top, names)
        while waiting:
            name = waiting.pop()
            directory = os.open(name, DIRECTORY_FLAGS, dir_fd=top)
            try:
                waiting += _emptied(directory, top, names)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    path.rmdir()


def _emptied(directory: int, top: int, names: Iterator[str]) -> list[str]:
    """Remove the files of an open directory, move its directories to `top`, and return their names there."""
    os.fchmod(directory, stat.S_IRWXU)
    moved = []
    with os.scandir(directory) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            name = next(names)
            if os.geteuid() != 0:  # a directory that we may not write to cannot be moved; root may all
                os.chmod(entry.name, stat.S_IRWXU, dir_fd=directory)
            os.rename(entry.name, name, src_dir_fd=directory, dst_dir_fd=top)
            moved.append(name)
        else:
            os.unlink(entry.name, dir_fd=directory)
    return moved
