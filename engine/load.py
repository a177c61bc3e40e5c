"""Loads a policy: from a folder or from texts, with the environment's overrides resolved. All faults at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from engine.builders.policy import build
from engine.builders.settings import OVERRIDE
from engine.faults import Faults, PolicyUnreadable, listed, shown
from engine.model import Place, Policy
from engine.shape import NOUNS, check_shapes
from engine.source import MOST_BYTES, Node, decode, parse

MOST_FILES = 64
MOST_KEPT = 8  # policies in memory: the one in force, and those that are compared with it
NOTHING: Mapping[str, str] = MappingProxyType({})


def load_policy(folder: Path, env: Mapping[str, str] = NOTHING) -> Policy:
    """Return the policy in a folder. env: where `BILLING_…` overrides are looked up, once.

    Raises PolicyFaults with every fault, PolicyUnreadable when there is no such folder or nothing in it.
    """
    faults = Faults()
    contents = _read_folder(folder, faults)
    texts = {file: text for file, content in contents.items() if (text := decode(file, content, faults)) is not None}
    if len(faults) == 0:
        return load_texts(texts, env)
    return _load(texts, frozenset(faults_files(faults)), env, faults)


def load_texts(texts: Mapping[str, str], env: Mapping[str, str] = NOTHING, *, judging: bool = True) -> Policy:
    """Return the policy that these texts are, by file name. Raises PolicyFaults with every fault.

    judging: False for what was deployed before: it was judged then, by the version of then.
    """
    overrides = ((name, value) for name, value in env.items() if name.startswith(OVERRIDE))
    return _loaded(tuple(sorted(texts.items())), tuple(sorted(overrides)), judging)


@lru_cache(maxsize=MOST_KEPT)
def _loaded(texts: tuple[tuple[str, str], ...], env: tuple[tuple[str, str], ...], judging: bool) -> Policy:
    """Return a policy, from memory if it was loaded lately. Nothing changes one once it is built."""
    return _load(dict(texts), frozenset(), dict(env), Faults(judging=judging))


def bundle(folder: Path) -> dict[str, str]:
    """Return the texts of a folder's files by name, as `load_texts` takes them. Raises as `load_policy` does."""
    faults = Faults()
    contents = _read_folder(folder, faults)
    texts = {file: text for file, content in contents.items() if (text := decode(file, content, faults)) is not None}
    faults.raise_if_any()
    return texts


def faults_files(faults: Faults) -> set[str]:
    """Return the files that have faults."""
    return {fault.place.file for fault in faults.in_order()}


def _load(texts: Mapping[str, str], unread: frozenset[str], env: Mapping[str, str], faults: Faults) -> Policy:
    trees: dict[str, Node] = {}
    lost = set(unread)
    for file in sorted(texts):
        root = _read(file, texts[file], faults)
        if root is None:
            lost.add(file)
        else:
            trees[file] = root
    for noun in NOUNS:
        file = f"{noun}.yaml"
        if file not in trees and file not in lost:
            faults.add(
                "S211",
                Place(file, 1, 1),
                f"the policy has no `{file}`",
                "copy it from the policy that ships and change it",
            )
            lost.add(file)
    return build(trees, env, faults, frozenset(lost))


def _read(file: str, text: str, faults: Faults) -> Node | None:
    """Return the tree of a file, with a fault for each wrong shape in it; None when it cannot be read at all."""
    if (sound := _sound(file, text)) is not None:
        faults.sources[file] = tuple(text.splitlines())
        return sound
    root = parse(file, text, faults)
    if root is not None:
        check_shapes({file: root}, faults)
    return root


@lru_cache(maxsize=MOST_FILES)
def _sound(file: str, text: str) -> Node | None:
    """Return the tree of a file whose shape is right; None when there is a fault in it.

    Kept, because whoever compares, mutates or replays policies loads many that differ in one file. INVARIANT: nothing
    changes a tree without faults; what marks one as hurt notes a fault.
    """
    faults = Faults()
    root = parse(file, text, faults)
    if root is not None:
        check_shapes({file: root}, faults)
    return root if len(faults) == 0 else None


def _read_folder(folder: Path, faults: Faults) -> dict[str, bytes]:
    """Return the content of each YAML file of a folder, in the order of their names; what cannot be read is a fault."""
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except NotADirectoryError as error:
        raise PolicyUnreadable(str(folder), "is no folder; name the folder that holds the policy's files") from error
    except FileNotFoundError as error:
        raise PolicyUnreadable(str(folder), "does not exist") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PolicyUnreadable(str(folder), f"cannot be read: {reason.lower()}") from error
    files = [name for name in found if name.endswith(".yaml")]
    misnamed(found, faults)
    if not files:
        raise PolicyUnreadable(str(folder), "holds no policy: no file in it ends in `.yaml`")
    if len(files) > MOST_FILES:
        raise PolicyUnreadable(
            str(folder),
            f"holds {len(files)} files, more than {MOST_FILES}; is it a policy? It begins with {listed(files[:3])}",
        )
    return read_files(folder, files, faults)


def misnamed(found: Iterable[str], faults: Faults) -> None:
    """Note each file that nothing reads although it is meant to be: half a policy would pass for all of it."""
    for name in found:
        if name.endswith(".yml"):
            faults.add(
                "S212",
                Place(name, 1, 1),
                "the file is not read: its name ends in `.yml`",
                f"rename it to `{shown(name[:-4])}.yaml`",
            )


def read_files(folder: Path, names: Iterable[str], faults: Faults) -> dict[str, bytes]:
    """Return the content of files, by their names below a folder; what cannot be read is a fault."""
    contents = {}
    for name in names:
        try:
            contents[name] = _read_file(folder / name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            faults.add(
                "P116",
                Place(name, 1, 1),
                f"the file cannot be read: {reason.lower()}",
                "check the file and its permissions",
            )
    return contents


def _read_file(path: Path) -> bytes:
    """Return the first bytes of a file, one more than are allowed. Never waits: a pipe or device is refused."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no regular file")
        content = b""
        while len(content) <= MOST_BYTES and (part := os.read(handle, MOST_BYTES + 1 - len(content))):
            content += part
        return content
    finally:
        os.close(handle)
