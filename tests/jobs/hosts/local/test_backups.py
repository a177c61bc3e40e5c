"""Backups and restores at their edges: damaged and half-made ones, writes meanwhile, deaths at any moment."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import BackupDamaged, BackupMissing, HostError, ServerMissing
from tests.jobs.hosts.local.conftest import PROJECT, SPEC

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.hosts.local.host import LocalHost

MIB = 1024 * 1024


def test_a_damaged_archive_is_refused_before_anything_is_touched(data_dir: Path, host: LocalHost) -> None:
    host.write_file(SPEC, "world", "old")
    host.create_backup(SPEC, "b-1")
    host.write_file(SPEC, "world", "new")
    archive = data_dir / "backups" / SPEC.server_id / "b-1.tar.gz"
    whole = archive.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", whole[:20] + bytes([whole[20] ^ 1]) + whole[21:], b""):
        archive.write_bytes(damaged)
        with pytest.raises(BackupDamaged):
            host.restore_backup(SPEC, "b-1")
    assert host.read_file(SPEC, "world") == "new"
    assert [info.backup_id for info in host.list_backups(SPEC)] == ["b-1"]
    archive.unlink()
    with pytest.raises(BackupMissing):
        host.restore_backup(SPEC, "b-1")


def test_a_half_made_backup_is_never_listed_and_is_made_anew(data_dir: Path, host: LocalHost) -> None:
    folder = data_dir / "backups" / SPEC.server_id
    folder.mkdir(parents=True)
    (folder / ".draft-of-the-dead").write_text("half")
    (folder / "b-1.tar.gz").write_text("without a note")
    assert host.list_backups(SPEC) == []
    info = host.create_backup(SPEC, "b-1")
    assert host.list_backups(SPEC) == [info]
    assert sorted(path.name for path in folder.iterdir()) == ["b-1.json", "b-1.tar.gz"]


def test_a_backup_of_a_missing_server_is_refused_and_ids_cannot_be_paths(data_dir: Path, host: LocalHost) -> None:
    with pytest.raises(HostError):
        host.create_backup(SPEC, "../b-1")
    host.destroy(SPEC)
    with pytest.raises(ServerMissing):
        host.create_backup(SPEC, "b-1")
    assert not list((data_dir / "backups").rglob("*.tar.gz"))


def test_versions_and_links_inside_survive_a_restore(host: LocalHost, files: Path) -> None:
    host.write_file(SPEC, "config", "one")
    host.write_file(SPEC, "config", "two")
    (files / "link").symlink_to("config")
    host.create_backup(SPEC, "b-1")
    host.restore_backup(SPEC, "b-1")
    assert (files / "link").readlink() == Path("config")
    host.revert_file(SPEC, "config")
    assert host.read_file(SPEC, "config") == "one"


def test_a_write_that_waits_for_a_restore_lands_in_the_restored_files(host: LocalHost) -> None:
    host.write_file(SPEC, "world", "x" * MIB)
    host.create_backup(SPEC, "b-1")
    with host.open_upload(SPEC, "late") as upload:
        upload.write(b"late")
        host.restore_backup(SPEC, "b-1")
        upload.commit()
    assert host.read_file(SPEC, "late") == "late"


def test_a_restore_that_is_killed_at_any_moment_leaves_the_old_files_or_the_new_and_no_half(
    data_dir: Path, host: LocalHost, files: Path
) -> None:
    old = {f"folder {number}/file": b"old" * 5_000 for number in range(60)}
    new = {f"folder {number}/file": b"new" * 5_000 for number in range(60)}

    def content() -> dict[str, bytes]:
        return {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("file")}

    def write(wanted: dict[str, bytes]) -> None:
        for name, text in wanted.items():
            host.write_file(SPEC, name, text)

    write(old)
    host.create_backup(SPEC, "old")
    write(new)
    dice = random.Random(20)
    outcomes = set()
    for _ in range(12):
        restorer = subprocess.Popen(
            [sys.executable, "-c", _RESTORER, str(data_dir)], cwd=PROJECT, stdout=subprocess.PIPE
        )
        assert restorer.stdout is not None
        assert restorer.stdout.readline() == b"begun\n"
        time.sleep(dice.uniform(0.0, 0.12))
        restorer.kill()
        restorer.communicate()
        found = content()
        outcomes.add("old" if found == old else "new" if found == new else "half")
        if found == old:
            write(new)
    assert "half" not in outcomes
    host.restore_backup(SPEC, "old")  # what the dead left behind is in nobody's way
    assert content() == old
    assert sorted(path.name for path in files.parent.iterdir() if path.name.startswith(".")) == []


_RESTORER = """
import sys
from pathlib import Path
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost
host = LocalHost(Path(sys.argv[1]), {})
print("begun", flush=True)
host.restore_backup(ServerSpec("server-1", "Ada's world", "game", 0), "old")
"""


def test_without_an_exchange_of_names_a_death_between_the_two_renames_is_mended_at_the_next_touch(
    host: LocalHost, files: Path
) -> None:
    host.write_file(SPEC, "world", "old")
    touches: list[Callable[[], object]] = [
        lambda: host.read_file(SPEC, "world"),
        lambda: host.write_file(SPEC, "other", "x"),
        lambda: host.create_backup(SPEC, "b-1"),
        lambda: host.start(SPEC),
    ]
    for touch in touches:
        files.rename(files.parent / ".previous")
        touch()
        assert host.read_file(SPEC, "world") == "old"
