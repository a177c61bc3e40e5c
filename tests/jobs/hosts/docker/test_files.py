"""Files, backups and restores over an Engine: whole or not at all, owners kept, and no link followed."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.hosts.base import BackupDamaged, HostError, HostUnavailable, PathRefused
from jobs.hosts.docker import files as docker_files
from jobs.hosts.docker.archive import TarStream, verify
from jobs.hosts.docker.host import DockerHost
from jobs.hosts.local.archive import ArchiveRefused
from tests.doubles.docker import DockerDouble
from tests.jobs.hosts.docker.conftest import NAME, SPEC


@pytest.fixture
def volume(engine: DockerDouble, host: DockerHost) -> Path:
    """The server's volume, as the Engine's machine sees it."""
    assert list(engine.volumes) == [NAME]
    assert host.observe(SPEC).observed == "stopped"
    return engine.root / NAME


def test_a_new_file_belongs_to_whom_its_directory_does_and_a_replaced_one_to_whom_it_did(
    host: DockerHost, volume: Path
) -> None:
    if os.geteuid() == 0:
        os.chown(volume, 1000, 1001)
    host.write_file(SPEC, "a/new.txt", "x")
    made = (volume / "a" / "new.txt").stat()
    assert (made.st_uid, made.st_gid) == (volume.stat().st_uid, volume.stat().st_gid)
    (volume / "run.sh").write_text("old")
    (volume / "run.sh").chmod(0o750)
    host.write_file(SPEC, "run.sh", "new")
    assert ((volume / "run.sh").stat().st_mode & 0o777, (volume / "run.sh").read_text()) == (0o750, "new")


@pytest.mark.parametrize("path", ["out/passwd", "out", "inside/x", "inside"])
def test_links_are_shown_and_never_followed(host: DockerHost, volume: Path, path: str) -> None:
    (volume / "real").mkdir()
    (volume / "real" / "x").write_text("x")
    (volume / "out").symlink_to("/etc")
    (volume / "inside").symlink_to("real")
    kinds = {entry.name: entry.kind for entry in host.list_files(SPEC, "/").entries}
    assert kinds == {"real": "directory", "out": "link", "inside": "link"}
    calls: list[Callable[[], object]] = [
        lambda: host.read_file(SPEC, path),
        lambda: host.open_download(SPEC, path),
        lambda: host.write_file(SPEC, path, "y"),
    ]
    for call in calls:
        with pytest.raises(PathRefused, match="through a link"):
            call()
    assert (volume / "real" / "x").read_text() == "x"


def test_a_pipe_is_not_opened(host: DockerHost, volume: Path) -> None:
    os.mkfifo(volume / "pipe")
    assert [entry.kind for entry in host.list_files(SPEC, "").entries] == ["other"]
    with pytest.raises(PathRefused, match="not an ordinary file"):
        host.open_download(SPEC, "pipe")


def test_a_listing_that_would_take_too_much_says_that_it_is_not_all(
    host: DockerHost, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_files, "LIST_BYTES", 1_000)
    (volume / "big").mkdir()
    (volume / "big" / "x").write_bytes(bytes(2_000))
    (volume / "small").write_text("x")
    (volume / "a").write_text("x")
    listing = host.list_files(SPEC, "/")
    assert listing.truncated
    assert {entry.name for entry in listing.entries} < {"a", "big", "small"}


def test_a_file_that_was_not_put_whole_is_told_and_the_old_one_can_be_had_back(
    engine: DockerDouble, host: DockerHost, volume: Path
) -> None:
    host.write_file(SPEC, "world", "first")
    engine.fails["archive_put"] = (500, "no space left on device")
    with pytest.raises(HostError, match="no space left"):
        host.write_file(SPEC, "world", "second")
    engine.fails.clear()
    (volume / "world").write_text("hal")
    host.revert_file(SPEC, "world")
    assert host.read_file(SPEC, "world") == "first"


def test_a_file_that_cannot_be_removed_is_told(engine: DockerDouble, host: DockerHost, volume: Path) -> None:
    host.write_file(SPEC, "stays", "x")
    engine.fails["wait"] = engine.fails["start"] = (500, "exec: rm: not found")
    with pytest.raises(HostError):
        host.delete_file(SPEC, "stays")
    assert (volume / "stays").exists()
    assert [each.name for each in engine.containers.values()] == [NAME]


def test_a_backup_keeps_links_inside_and_second_names_and_leaves_the_rest_out(host: DockerHost, volume: Path) -> None:
    (volume / "one").write_text("content")
    (volume / "two").hardlink_to(volume / "one")
    (volume / "link").symlink_to("one")
    (volume / "out").symlink_to("/etc/passwd")
    os.mkfifo(volume / "pipe")
    info = host.create_backup(SPEC, "b-1")
    assert (info.skipped_entries, info.content_bytes) == (2, 7)
    host.restore_backup(SPEC, "b-1")
    entries = {entry.name: (entry.kind, entry.size_bytes) for entry in host.list_files(SPEC, "/").entries}
    assert entries.keys() == {"one", "two", "link"}
    assert (entries["one"], entries["two"]) == (("file", 7), ("file", 7))
    assert host.read_file(SPEC, "two") == "content"


@pytest.mark.parametrize("fault", ["cut", "fails"])
def test_a_backup_that_breaks_off_is_none(engine: DockerDouble, host: DockerHost, fault: str) -> None:
    host.write_file(SPEC, "world", os.urandom(50_000))
    if fault == "cut":
        engine.cut = {"archive_get"}
    else:
        engine.fails["archive_get"] = (500, "server error")
    with pytest.raises(HostUnavailable):
        host.create_backup(SPEC, "b-1")
    assert host.list_backups(SPEC) == []
    engine.cut.clear()
    engine.fails.clear()
    assert host.create_backup(SPEC, "b-1").content_bytes == 50_000


@pytest.mark.parametrize("verb", ["create", "archive_put", "rename", "volume_create"])
def test_a_restore_that_fails_leaves_the_old_files_and_the_next_one_cleans_up(
    engine: DockerDouble, host: DockerHost, verb: str
) -> None:
    host.write_file(SPEC, "world", "old")
    host.create_backup(SPEC, "b-1")
    host.write_file(SPEC, "world", "new")
    engine.fails[verb] = (500, "server error")
    for _ in range(2):
        with pytest.raises(HostUnavailable):
            host.restore_backup(SPEC, "b-1")
    assert len(engine.volumes) <= 2, "what the first try left is not kept"
    engine.fails.clear()
    assert host.read_file(SPEC, "world") == "new"
    host.restore_backup(SPEC, "b-1")
    assert host.read_file(SPEC, "world") == "old"
    assert [each.name for each in engine.containers.values()] == [NAME]
    assert len(engine.volumes) == 1


def test_a_restore_that_died_between_the_containers_has_lost_nothing(engine: DockerDouble, host: DockerHost) -> None:
    host.write_file(SPEC, "world", "old")
    host.create_backup(SPEC, "b-1")
    engine.named(NAME).name = f"{NAME}-replaced-0a1b"
    assert host.observe(SPEC).observed == host.observe_all()[SPEC.server_id].observed == "stopped"
    assert host.create(SPEC).observed == "stopped"
    assert host.read_file(SPEC, "world") == "old"
    host.restore_backup(SPEC, "b-1")
    assert [each.name for each in engine.containers.values()] == [NAME]
    assert host.read_file(SPEC, "world") == "old"


def test_a_restored_server_has_the_backups_files_alone_and_may_still_make_new_ones(
    engine: DockerDouble, empty_host: DockerHost
) -> None:
    engine.image_files["server.properties"] = "as shipped"
    empty_host.create(SPEC)
    assert empty_host.read_file(SPEC, "server.properties") == "as shipped"
    empty_host.delete_file(SPEC, "server.properties")
    owner = (1000, 1001) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(engine.root / NAME, *owner)
    (engine.root / NAME).chmod(0o750)
    empty_host.create_backup(SPEC, "b-1")
    empty_host.restore_backup(SPEC, "b-1")
    assert empty_host.list_files(SPEC, "/").entries == ()
    (volume,) = engine.volumes
    assert volume != NAME
    seen = (engine.root / volume).stat()
    assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o777) == (*owner, 0o750)


def test_a_restore_keeps_the_restart_policy(engine: DockerDouble, host: DockerHost) -> None:
    host.create_backup(SPEC, "b-1")
    host.set_autostart(SPEC, on=True)
    host.restore_backup(SPEC, "b-1")
    assert host.observe(SPEC).autostart is True


def test_a_damaged_backup_is_not_restored(host: DockerHost, tmp_path: Path) -> None:
    host.write_file(SPEC, "world", "old")
    host.create_backup(SPEC, "b-1")
    archive = tmp_path / "kept apart" / "backups" / SPEC.server_id / "b-1.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-9] + b"otherwise")
    host.write_file(SPEC, "world", "new")
    with pytest.raises(BackupDamaged):
        host.restore_backup(SPEC, "b-1")
    assert host.read_file(SPEC, "world") == "new"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def packed(*members: tarfile.TarInfo) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(bytes(each.size)) if each.size else None)
    return whole.getvalue()


HOSTILE = {
    "a name that leads out": [member("../x")],
    "a name from the top": [member("/etc/x")],
    "a link that leads out": [member("x", tarfile.SYMTYPE, "../../etc")],
    "a link to the top": [member("x", tarfile.SYMTYPE, "/etc")],
    "a second name of what is not there": [member("x", tarfile.LNKTYPE, "etc/passwd")],
    "a device": [member("x", tarfile.CHRTYPE)],
    "a pipe": [member("x", tarfile.FIFOTYPE)],
    "more than was backed up": [member("x", size=101)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_with_what_none_of_ours_holds_is_refused(what: str) -> None:
    with pytest.raises(ArchiveRefused):
        verify(io.BytesIO(gzip.compress(packed(*HOSTILE[what]))), 100)


def test_an_archive_that_is_cut_between_two_files_is_not_taken_for_whole() -> None:
    whole = packed(member("data/a", size=10), member("data/b", size=10))
    assert [parts for parts, _ in TarStream("docker1", io.BytesIO(whole)).members()] == [("a",), ("b",)]
    with pytest.raises(HostUnavailable, match="cut short"):
        list(TarStream("docker1", io.BytesIO(whole[:1024])).members())
