"""Attacks on the confinement of paths: none leaves the server's files, by name, by link, by device, or by a race."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.hosts.base import FileMissing, HostError, PathRefused, WrongFileKind
from jobs.hosts.local.confinement import CustomerPath, opened_parent
from tests.jobs.hosts.local.conftest import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.hosts.local.host import LocalHost

SECRET = "a secret of the machine"


@pytest.fixture
def outside(data_dir: Path, files: Path) -> Path:
    """A directory next to the server's files, which links in those files lead to; some things in them are no files."""
    place = data_dir / "outside"
    place.mkdir()
    (place / "secret.txt").write_text(SECRET)
    (files / "world.txt").write_text("the world")
    (files / "mods").mkdir()
    (files / "mods" / "a.txt").write_text("a mod")
    (files / "link_to_outside").symlink_to(place)
    (files / "link_to_secret").symlink_to(place / "secret.txt")
    (files / "link_relative").symlink_to("../../../outside/secret.txt")
    (files / "link_up").symlink_to("..")
    (files / "link_to_etc").symlink_to("/etc")
    (files / "link_inside").symlink_to("mods")
    (files / "link_to_itself").symlink_to("link_to_itself")
    (files / "link_to_nothing").symlink_to("nothing")
    (files / "mods" / "link_to_root").symlink_to("/")
    (files / "link_to_proc").symlink_to("/proc/self")
    os.mkfifo(files / "pipe")
    held = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(files)  # a socket's path may have only some 100 bytes
    held.bind("socket")
    os.chdir(here)
    held.close()
    return place


def snapshot(folder: Path) -> dict[str, object]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted([folder, *folder.rglob("*")])
    }


def reading(host: LocalHost, path: str) -> dict[str, Callable[[], object]]:
    return {
        "list": lambda: host.list_files(SPEC, path),
        "read": lambda: host.read_file(SPEC, path),
        "download": lambda: host.open_download(SPEC, path),
    }


def writing(host: LocalHost, path: str) -> dict[str, Callable[[], object]]:
    return {
        "write": lambda: host.write_file(SPEC, path, "mine now"),
        "upload": lambda: host.open_upload(SPEC, path).commit(),
        "delete": lambda: host.delete_file(SPEC, path),
        "revert": lambda: host.revert_file(SPEC, path),
    }


def refusal_of(call: Callable[[], object]) -> PathRefused | None:
    try:
        call()
    except PathRefused as refused:
        return refused
    return None


# what no path may look like, wherever it would lead
MALFORMED = [
    "..",
    "../",
    "/..",
    "../secret.txt",
    "../../outside/secret.txt",
    "mods/..",
    "mods/../..",
    "mods/../../outside",
    "mods/../world.txt",
    "./../x",
    ".//..//x",
    "/../../../../../../etc/passwd",
    "....//....//../x",
    "mods/./../../x",
    "../" * 40 + "etc/passwd",
    "..\\..\\secret.txt",
    "mods\\..\\..\\secret.txt",
    "C:\\Windows\\system.ini",
    "\\\\server\\share",
    "world.txt\0",
    "\0",
    "world.txt\0.png",
    "../secret.txt\0.png",
    "world\n.txt",
    "world\r\n.txt",
    "\x1b[2J",
    "\x7f",
    "tab\there",
    "\ud800",
    "x" * 256,
    "ü" * 128,
    "mods/" + "x" * 256,
    "x/" * 65 + "x",
    "y/" * 3_000,
    ("long/" * 50 + "/") * 5,
]

# what stands nowhere below the root, and is meant for the machine's own
ELSEWHERE = [
    "/etc/passwd",
    "//etc/passwd",
    "///etc//passwd",
    "/./etc/passwd",
    "/etc/",
    "/etc/ssh/sshd_config",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "/proc/1/cwd",
    "/dev/zero",
    "/dev/tty",
    "/root/.ssh/id_rsa",
    "/home/somebody/x",
    "/var/run/docker.sock",
    "/tmp/x",
    "/mods/nothing/deeper",
]

# what stands below the root, and leads out of it, round in circles, or to no file
THROUGH_LINKS = [
    "link_to_outside/secret.txt",
    "/link_to_outside/secret.txt",
    "link_to_outside/new.txt",
    "link_to_outside/new/deeper.txt",
    "link_up/spec.json",
    "link_up/run/console.in",
    "link_up/files/world.txt",
    "link_to_etc/passwd",
    "link_to_etc/new",
    "link_inside/a.txt",
    "link_inside/new.txt",
    "mods/link_to_root/etc/passwd",
    "mods/link_to_root/tmp/x",
    "link_to_proc/environ",
    "link_to_proc/root/etc/passwd",
    "link_to_itself/x",
    "link_to_nothing/x",
]

FINAL_LINKS_AND_DEVICES = [
    "link_to_outside",
    "link_to_secret",
    "/link_to_secret",
    "link_relative",
    "link_up",
    "link_inside",
    "link_to_itself",
    "link_to_nothing",
    "pipe",
    "/pipe",
    "socket",
]


@pytest.mark.parametrize("path", MALFORMED)
def test_a_path_that_cannot_lead_below_the_root_is_refused_in_every_way(
    host: LocalHost, outside: Path, files: Path, path: str
) -> None:
    before = snapshot(outside), snapshot(files)
    for name, call in (reading(host, path) | writing(host, path)).items():
        assert refusal_of(call) is not None, f"{name} took {path!r}"
    with pytest.raises(PathRefused):
        host.file_versions(SPEC, path)
    assert (snapshot(outside), snapshot(files)) == before


@pytest.mark.parametrize("path", ELSEWHERE)
def test_an_absolute_path_of_the_machine_is_refused_and_never_said_to_be_missing(
    host: LocalHost, outside: Path, files: Path, path: str
) -> None:
    before = snapshot(outside), snapshot(files)
    for name, call in (reading(host, path) | writing(host, path)).items():
        if path == "/etc/" and name in ("write", "upload", "revert"):
            continue  # its parent is the root, which exists: see the next test
        refused = refusal_of(call)
        assert refused is not None, f"{name} took {path!r}"
        assert refused.reason == "outside"
    assert (snapshot(outside), snapshot(files)) == before


def test_an_absolute_path_is_taken_where_it_leads_somewhere_below_the_root(host: LocalHost, outside: Path) -> None:
    assert outside.is_dir()
    assert host.read_file(SPEC, "/world.txt") == "the world"
    assert host.read_file(SPEC, "//mods/./a.txt") == "a mod"
    host.write_file(SPEC, "/new.txt", "new")
    host.write_file(SPEC, "/mods/new.txt", "new")
    host.write_file(SPEC, "mods/made/on/the/way.txt", "new")
    with pytest.raises(PathRefused):
        host.write_file(SPEC, "/mods/not/made/on/the/way.txt", "new")
    with pytest.raises(PathRefused):
        host.read_file(SPEC, "/nothing.txt")
    with pytest.raises(FileMissing):
        host.read_file(SPEC, "nothing.txt")


@pytest.mark.parametrize("path", THROUGH_LINKS)
def test_no_link_on_the_way_is_followed(host: LocalHost, outside: Path, files: Path, path: str) -> None:
    before = snapshot(outside), snapshot(files)
    for name, call in (reading(host, path) | writing(host, path)).items():
        if name == "revert" and "link" in path:
            with pytest.raises(HostError):
                call()
            continue
        refused = refusal_of(call)
        assert refused is not None, f"{name} took {path!r}"
        assert refused.reason == "link"
    assert (snapshot(outside), snapshot(files)) == before


@pytest.mark.parametrize("path", FINAL_LINKS_AND_DEVICES)
def test_a_link_or_device_is_neither_read_nor_written_and_can_be_taken_away(
    host: LocalHost, outside: Path, files: Path, path: str
) -> None:
    before = snapshot(outside)
    ways = reading(host, path) | writing(host, path)
    for name in ("list", "read", "download", "write", "upload"):
        with pytest.raises((PathRefused, WrongFileKind)):
            ways[name]()
    host.delete_file(SPEC, path)
    assert not (files / path.lstrip("/")).is_symlink()
    assert snapshot(outside) == before
    host.revert_file(SPEC, path)
    with pytest.raises((PathRefused, WrongFileKind)):
        host.read_file(SPEC, path)


@pytest.mark.parametrize("path", ["", "/", ".", "./", "//"])
def test_the_root_itself_is_neither_written_nor_deleted(host: LocalHost, outside: Path, files: Path, path: str) -> None:
    for call in writing(host, path).values():
        with pytest.raises(PathRefused):
            call()
    with pytest.raises(WrongFileKind):
        host.read_file(SPEC, path)
    assert (files / "world.txt").exists()
    assert outside.is_dir()


def test_a_directory_that_may_not_be_entered_is_refused(host: LocalHost, files: Path) -> None:
    (files / "closed").mkdir(mode=0)
    refused = refusal_of(lambda: host.list_files(SPEC, "closed"))
    may_open_everything = os.geteuid() == 0
    assert (refused is None) == may_open_everything


def test_links_are_listed_as_links_with_nothing_of_what_they_lead_to(host: LocalHost, outside: Path) -> None:
    kinds = {entry.name: entry.kind for entry in host.list_files(SPEC, "/").entries}
    assert kinds["link_to_secret"] == kinds["link_to_outside"] == "link"
    assert kinds["pipe"] == kinds["socket"] == "other"
    assert kinds["mods"] == "directory"
    sizes = {entry.name: entry.size_bytes for entry in host.list_files(SPEC, "/").entries}
    assert sizes["link_to_secret"] == len(str(outside / "secret.txt"))


def test_a_directory_that_becomes_a_link_while_it_is_used_never_leads_outside(
    host: LocalHost, outside: Path, files: Path
) -> None:
    """The server exchanges a directory and a link as fast as it can, while files are read and written."""
    (files / "there").mkdir()
    (files / "there" / "secret.txt").write_text("harmless")
    (files / "elsewhere").symlink_to(outside)
    done = threading.Event()

    def exchange() -> None:
        while not done.is_set():
            for one, other in (("there", "aside"), ("elsewhere", "there"), ("there", "elsewhere"), ("aside", "there")):
                with suppress(OSError):
                    (files / one).rename(files / other)

    attacker = threading.Thread(target=exchange)
    attacker.start()
    before = snapshot(outside)
    seen = set()
    try:
        for number in range(400):
            with suppress(PathRefused, FileMissing):
                seen.add(host.read_file(SPEC, "there/secret.txt"))
            with suppress(PathRefused, FileMissing):
                host.write_file(SPEC, f"there/{number % 7}.txt", "mine")
            with suppress(PathRefused, FileMissing):
                host.delete_file(SPEC, f"there/{number % 5}.txt")
    finally:
        done.set()
        attacker.join()
    assert seen <= {"harmless"}
    assert snapshot(outside) == before


@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "mods", "world.txt", "link_up", "link_to_outside", "secret.txt", "new", "~", "%2e%2e"]
        ),
        max_size=8,
    ).map("/".join)
)
def test_whatever_a_path_is_made_of_it_opens_only_what_is_below_the_root(path: str) -> None:
    """Walked on a fixed tree in memory's stead: every directory that opens is one of the tree."""
    with suppress(HostError):
        parsed = CustomerPath.parse(path)
        assert ".." not in parsed.parts
        with suppress(FileNotFoundError), opened_parent(ROOT, parsed) as parent:
            assert (os.fstat(parent).st_dev, os.fstat(parent).st_ino) in BELOW


ROOT = Path(__file__).resolve().parents[4] / "examples"
BELOW = {(path.stat().st_dev, path.stat().st_ino) for path in [ROOT, *ROOT.rglob("*")]}
