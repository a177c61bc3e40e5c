"""What only shows at the edges of file access: huge uploads, full disks, odd names, workers that die."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import FileBounds, HostBusy, HostFull, HostUnavailable, NotText, ServerMissing, TooLarge
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local.host import LocalHost
from jobs.hosts.local.locks import held
from tests.jobs.hosts.local.conftest import PROJECT, SPEC

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


def test_an_upload_of_200_mib_takes_no_more_memory_than_a_small_one(data_dir: Path, files: Path) -> None:
    uploader = subprocess.run(
        [sys.executable, "-c", _UPLOADER, str(data_dir)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    small_kib, large_kib = map(int, uploader.stdout.split())
    assert (files / "large.bin").stat().st_size == 200 * MIB
    assert large_kib - small_kib < 8 * 1024
    (files / "large.bin").unlink()


_UPLOADER = """
import resource, sys
from pathlib import Path
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost
host = LocalHost(Path(sys.argv[1]), {})
spec = ServerSpec("server-1", "Ada's world", "game", 0)
chunk = bytes(1024 * 1024)
for name, mebibytes in (("small.bin", 1), ("large.bin", 200)):
    with host.open_upload(spec, name) as upload:
        for _ in range(mebibytes):
            upload.write(chunk)
        upload.commit()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_an_upload_past_its_bound_is_refused_while_it_comes_in_and_leaves_nothing(data_dir: Path, files: Path) -> None:
    host = LocalHost(data_dir, {}, bounds=FileBounds(upload_bytes=100))
    with host.open_upload(SPEC, "x") as upload:
        upload.write(b"x" * 100)
        with pytest.raises(TooLarge):
            upload.write(b"x")
    assert list(files.iterdir()) == []
    assert list((files.parent / "incoming").iterdir()) == []


def test_what_a_dead_worker_left_of_an_upload_is_swept_and_a_living_ones_is_not(host: LocalHost, files: Path) -> None:
    incoming = files.parent / "incoming"
    dead = incoming / "upload-of-the-dead"
    dead.write_text("half")
    with host.open_upload(SPEC, "slow.bin") as slow:
        slow.write(b"x" * 100)
        for draft in incoming.iterdir():
            os.utime(draft, (time.time() - 3_600,) * 2)
        host.write_file(SPEC, "other.txt", "other")
        assert not dead.exists()
        slow.commit()
    assert (files / "slow.bin").stat().st_size == 100


def test_a_large_directory_is_listed_up_to_the_bound_and_says_so(data_dir: Path, files: Path) -> None:
    host = LocalHost(data_dir, {}, bounds=FileBounds(list_entries=50))
    for number in range(50):
        (files / f"{number:03d}").touch()
    assert not host.list_files(SPEC, "/").truncated
    (files / "050").touch()
    listing = host.list_files(SPEC, "/")
    assert listing.truncated
    assert len(listing.entries) == 50


def test_names_and_times_that_cannot_be_shown_as_they_are_do_not_break_a_listing(host: LocalHost, files: Path) -> None:
    (files / "line\nbreak").touch()
    with open(os.fsencode(files) + b"/not-utf8-\xff", "wb"):  # noqa: PTH123 - the name is no text
        pass
    (files / "far future").touch()
    os.utime(files / "far future", (2**33, 2**33))
    (files / "long ago").touch()
    os.utime(files / "long ago", (-(2**31), -(2**31)))
    names = {entry.name: entry for entry in host.list_files(SPEC, "/").entries}
    assert set(names) == {"line\nbreak", "not-utf8-\\xff", "far future", "long ago"}
    assert names["long ago"].modified_at.year == 1970


def test_a_replaced_file_keeps_its_mode_and_a_new_one_is_an_ordinary_file(host: LocalHost, files: Path) -> None:
    host.write_file(SPEC, "start.sh", "#!/bin/sh")
    assert stat.S_IMODE((files / "start.sh").stat().st_mode) == 0o644
    (files / "start.sh").chmod(0o4755)
    host.write_file(SPEC, "start.sh", "#!/bin/sh\n")
    assert stat.S_IMODE((files / "start.sh").stat().st_mode) == 0o755


def test_an_open_download_shows_one_state_of_the_file(host: LocalHost) -> None:
    host.write_file(SPEC, "world", "old world")
    with host.open_download(SPEC, "world") as download:
        host.write_file(SPEC, "world", "new")
        host.delete_file(SPEC, "world")
        assert download.stream.read() == b"old world"


def test_a_revert_gives_a_directory_and_a_file_of_one_name_their_turns(host: LocalHost) -> None:
    host.write_file(SPEC, "thing/inside", "a directory")
    host.delete_file(SPEC, "thing")
    host.write_file(SPEC, "thing", "a file")
    assert host.revert_file(SPEC, "thing").kind == "directory"
    assert host.read_file(SPEC, "thing/inside") == "a directory"
    assert host.revert_file(SPEC, "thing").kind == "file"


def test_half_of_a_surrogate_pair_is_no_text(host: LocalHost) -> None:
    with pytest.raises(NotText):
        host.write_file(SPEC, "x", "\ud800")


def test_a_server_that_was_destroyed_meanwhile_is_missing(host: LocalHost) -> None:
    upload = host.open_upload(SPEC, "x")
    host.destroy(SPEC)
    with pytest.raises(ServerMissing):
        upload.commit()
    upload.abandon()
    with pytest.raises(ServerMissing):
        host.read_file(replace(SPEC, server_id="nobody"), "x")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, HostFull), (errno.EDQUOT, HostFull), (errno.EIO, HostUnavailable), (errno.EROFS, HostUnavailable)],
)
def test_trouble_of_the_machine_is_the_hosts_trouble_and_not_the_customers(
    number: int, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as trouble, machine_trouble_of("local"):
        raise OSError(number, os.strerror(number), "/secret/path")
    assert "/secret" not in str(trouble.value)


def test_a_full_disk_refuses_the_upload_and_keeps_the_old_file(host: LocalHost, files: Path) -> None:
    host.write_file(SPEC, "world", "old")
    with host.open_upload(SPEC, "world") as upload:
        upload.write(b"x" * 1000)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, upload._stream.fileno())
        os.close(full)
        with pytest.raises(HostFull):
            upload.commit()
    assert host.read_file(SPEC, "world") == "old"
    assert list((files.parent / "incoming").iterdir()) == []


def test_a_lock_is_waited_for_only_so_long_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(lock)], cwd=PROJECT, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(HostBusy), held(lock, "server-1", "test", 0.05):
        pass
    holder.kill()
    holder.communicate()
    with held(lock, "server-1", "test", 0.05):
        assert lock.exists()


_HOLDER = """
import sys
from pathlib import Path
from jobs.hosts.local.locks import held
with held(Path(sys.argv[1]), "server-1", "test"):
    print("held", flush=True)
    sys.stdin.read()
"""
