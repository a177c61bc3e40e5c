"""Archives at their edges: all kinds of files, files that change meanwhile, and archives that are hostile."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from jobs.hosts.base import TooDeep
from jobs.hosts.local.archive import ArchiveRefused, HashingWriter, link_stays_inside, pack, unpack
from jobs.hosts.local.trees import entries_below, remove_tree
from tests.jobs.hosts.local.conftest import SPEC

if TYPE_CHECKING:
    from jobs.hosts.local.host import LocalHost

MIB = 1024 * 1024


def packed(root: Path) -> bytes:
    target = io.BytesIO()
    pack(root, HashingWriter(target))
    return target.getvalue()


def tree(root: Path) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", None)
        else:
            found[name] = (oct(path.stat().st_mode & 0o777), path.read_bytes())
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def test_everything_that_belongs_to_a_server_comes_back_the_same(root: Path, target: Path) -> None:
    (root / "empty directory" / "in it another").mkdir(parents=True)
    (root / "program").write_bytes(os.urandom(100_000))
    (root / "program").chmod(0o755)
    (root / "read only").write_text("x")
    (root / "read only").chmod(0o444)
    (root / ("long" * 60)).write_text("a name too long for old archives")
    (root / "line\nbreak \\ Grüße 世界").write_text("odd names are names")
    (root / "link").symlink_to("empty directory")
    (root / "empty directory" / "up").symlink_to("../program")
    with open(os.fsencode(root) + b"/not-utf8-\xff", "wb") as stream:  # noqa: PTH123 - the name is no text
        stream.write(b"\xff")
    unpack(io.BytesIO(packed(root)), target, 10 * MIB)
    assert tree(target) == tree(root)
    assert (target / "program").stat().st_mtime == int((root / "program").stat().st_mtime)


def test_the_same_files_give_the_same_archive_and_nothing_of_the_machine_is_in_it(root: Path) -> None:
    (root / "world").write_text("world")
    os.utime(root / "world", (1_000_000, 1_000_000))
    first = packed(root)
    assert packed(root) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        (member,) = archive.getmembers()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")


def dig(root: Path, depth: int, name: str) -> None:
    """Make directories in each other, deeper than a path may be long."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_a_tree_deeper_than_a_path_may_be_long_comes_back(root: Path, target: Path) -> None:
    dig(root, 100, "a name of some length that goes on" * 3)
    unpack(io.BytesIO(packed(root)), target, MIB)
    found = [[parts for parts, _, _ in entries_below(folder)] for folder in (root, target)]
    assert found[0] == found[1]
    assert found[0][-1][-1] == "bottom"
    for folder in (root, target):
        remove_tree(folder)
        assert not folder.exists()


def test_a_tree_too_deep_to_walk_is_refused_before_anything_is_touched_and_can_be_removed(
    host: LocalHost, files: Path
) -> None:
    host.write_file(SPEC, "world", "old")
    host.create_backup(SPEC, "b-1")
    dig(files, 1_500, "d")
    with pytest.raises(TooDeep):
        host.create_backup(SPEC, "b-2")
    with pytest.raises(TooDeep):
        host.restore_backup(SPEC, "b-1")
    assert [info.backup_id for info in host.list_backups(SPEC)] == ["b-1"]
    host.delete_file(SPEC, "d")
    host.create_backup(SPEC, "b-2")
    host.destroy(SPEC)
    assert list(files.parent.parent.iterdir()) == []


def test_a_tree_that_forbids_everything_can_be_removed(root: Path) -> None:
    (root / "closed" / "inner").mkdir(parents=True)
    (root / "closed" / "inner" / "file").touch()
    (root / "away").symlink_to("/etc")
    (root / "closed" / "inner").chmod(0)
    (root / "closed").chmod(0o500)
    root.chmod(0o500)
    remove_tree(root)
    remove_tree(root)
    assert not root.exists()
    assert Path("/etc").is_dir()


def test_pipes_sockets_and_links_that_lead_out_are_left_out_and_counted(root: Path, target: Path) -> None:
    os.mkfifo(root / "pipe")
    for name, leads_to in [("a", "/etc/passwd"), ("b", "../x"), ("c", "in/../../x"), ("d", "/"), ("e", "..")]:
        (root / name).symlink_to(leads_to)
    (root / "good").symlink_to("./world")
    (root / "world").write_text("world")
    stream = io.BytesIO()
    assert pack(root, HashingWriter(stream)).skipped_entries == 6
    unpack(io.BytesIO(stream.getvalue()), target, MIB)
    assert sorted(path.name for path in target.iterdir()) == ["good", "world"]


@pytest.mark.parametrize(
    ("parts", "linkname", "inside"),
    [
        (("a",), "b", True),
        (("a",), "b/c", True),
        (("a",), ".", True),
        (("a",), "..", False),
        (("a",), "../b", False),
        (("d", "a"), "..", True),
        (("d", "a"), "../b", True),
        (("d", "a"), "../../b", False),
        (("d", "a"), "../b/../../c", False),
        (("d", "a"), "b/..", False),
        (("d", "a"), "/b", False),
        (("d", "a"), ".//../b", True),
    ],
)
def test_a_link_stays_inside_when_it_goes_up_first_and_not_too_far(
    parts: tuple[str, ...], linkname: str, *, inside: bool
) -> None:
    assert link_stays_inside(parts, linkname) is inside


def test_a_world_saved_by_renaming_is_whole_in_a_backup_made_meanwhile(root: Path, target: Path) -> None:
    (root / "world").write_bytes(b"0" * MIB)
    done = threading.Event()

    def save() -> None:
        for number in range(100_000):
            (root / ".draft").write_bytes(str(number % 10).encode() * MIB)
            (root / ".draft").rename(root / "world")
            if done.is_set():
                return

    saver = threading.Thread(target=save)
    saver.start()
    try:
        archives = [packed(root) for _ in range(5)]
    finally:
        done.set()
        saver.join()
    for number, content in enumerate(archives):
        place = target / str(number)
        place.mkdir()
        unpack(io.BytesIO(content), place, 100 * MIB)
        world = (place / "world").read_bytes()
        assert len(world) == MIB
        assert len(set(world)) == 1


def test_a_file_written_in_place_while_it_is_read_is_read_again_until_it_is_whole(root: Path, target: Path) -> None:
    """The writer stops after a moment, so the last take finds the file at rest."""
    size = 8 * MIB
    with (root / "world").open("wb") as world:
        world.write(os.urandom(size))
    begun = threading.Event()

    def scribble() -> None:
        with (root / "world").open("r+b") as stream:
            for _ in range(40):
                stream.seek(0)
                stream.write(b"\1" * 10)
                stream.seek(size - 10)
                stream.write(b"\2" * 10)
                stream.flush()
                begun.set()
            stream.truncate(size - 1_000_000)

    writer = threading.Thread(target=scribble)
    writer.start()
    begun.wait()
    stream = io.BytesIO()
    result = pack(root, HashingWriter(stream))
    writer.join()
    assert result.unsettled_files == 0
    unpack(io.BytesIO(stream.getvalue()), target, result.content_bytes)
    assert tree(target) == tree(root)


class _Shrinking(HashingWriter):
    """Cuts a file short as soon as the first bytes of its content come out of the archive."""

    def __init__(self, stream: BinaryIO, path: Path, size_bytes: int) -> None:
        super().__init__(stream)
        self._path = path
        self._to_bytes = size_bytes

    def write(self, data: bytes) -> int:
        if self.size_bytes > 100 and self._path.stat().st_size > self._to_bytes:
            os.truncate(self._path, self._to_bytes)
        return super().write(data)


def test_a_file_that_is_cut_short_while_it_is_read_is_taken_again_as_it_then_is(root: Path, target: Path) -> None:
    (root / "world").write_bytes(os.urandom(MIB))
    (root / "world, later").write_text("not harmed by the one before")
    stream = io.BytesIO()
    result = pack(root, _Shrinking(stream, root / "world", 700_001))
    assert result.unsettled_files == 0
    unpack(io.BytesIO(stream.getvalue()), target, result.content_bytes)
    assert len((target / "world").read_bytes()) == 700_001
    assert tree(target) == tree(root)


class _Growing(HashingWriter):
    """Appends to a file whenever some of its content comes out of the archive."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        super().__init__(stream)
        self._path = path

    def write(self, data: bytes) -> int:
        with self._path.open("ab") as stream:
            stream.write(b"x")
        return super().write(data)


def test_a_file_that_never_rests_is_backed_up_and_counted(root: Path, target: Path) -> None:
    (root / "log").write_bytes(os.urandom(MIB))  # which does not compress: each take of it comes out in pieces
    stream = io.BytesIO()
    result = pack(root, _Growing(stream, root / "log"))
    assert result.unsettled_files == 1
    unpack(io.BytesIO(stream.getvalue()), target, result.content_bytes)
    backed_up = (target / "log").read_bytes()
    assert len(backed_up) > MIB
    assert (root / "log").read_bytes().startswith(backed_up)


def test_files_that_vanish_while_they_are_read_do_not_spoil_the_backup(root: Path, target: Path) -> None:
    for number in range(300):
        (root / f"{number:03d}").write_text("x")
        (root / f"d{number:03d}").mkdir()

    def vanish() -> None:
        for number in reversed(range(300)):
            (root / f"{number:03d}").unlink()
            (root / f"d{number:03d}").rmdir()

    remover = threading.Thread(target=vanish)
    remover.start()
    content = packed(root)
    remover.join()
    unpack(io.BytesIO(content), target, MIB)


def hostile(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = linkname
    return made


HOSTILE = {
    "a name that goes up": hostile((member("../out"), b"x")),
    "a name from the root": hostile((member("/etc/out"), b"x")),
    "a name that goes down and up": hostile((member("a/../../out"), b"x")),
    "a name with an empty part": hostile((member("a//b"), b"x")),
    "the directory itself": hostile((member("."), b"")),
    "a link to the root": hostile((member("link", tarfile.SYMTYPE, "/etc"), b"")),
    "a link that goes up": hostile((member("link", tarfile.SYMTYPE, "../.."), b"")),
    "a link that goes down and up": hostile((member("link", tarfile.SYMTYPE, "a/../.."), b"")),
    "a second name of the machine's file": hostile((member("hard", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "a second name of an outer file": hostile((member("hard", tarfile.LNKTYPE, "../out"), b"")),
    "a pipe": hostile((member("pipe", tarfile.FIFOTYPE), b"")),
    "a device": hostile((member("device", tarfile.CHRTYPE), b"")),
    "more than was backed up": hostile((member("bomb"), b"0" * 2 * MIB)),
    "half of an archive": hostile((member("cut short"), os.urandom(50_000)))[:-20_000],
    "nothing": b"",
    "no archive": b"no archive at all",
    "something else compressed": gzip.compress(b"nor this" * 1_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_that_is_none_of_ours_is_refused_and_reaches_nothing(target: Path, content: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        unpack(io.BytesIO(content), target, MIB)
    assert not (target.parent / "out").exists()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_nothing_is_written_through_a_link_of_the_archive_itself(target: Path) -> None:
    content = hostile((member("d/link", tarfile.SYMTYPE, ".."), b""), (member("d/link/x"), b"x"))
    with suppress(ArchiveRefused, OSError):
        unpack(io.BytesIO(content), target, MIB)
    assert not (target / "x").exists()
