"""Many at once: starts, stops and deaths of one server from all sides."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from jobs.hosts.base import HostBusy, LaunchFailed
from jobs.hosts.local.host import LocalHost
from jobs.hosts.local.identity import launched_processes
from tests.jobs.hosts.local import programs
from tests.jobs.hosts.local.conftest import PROJECT, SPEC
from tests.jobs.hosts.waiting import eventually


def copies_of(data_dir: Path) -> int:
    """Count the living server processes, by the home that each was given."""
    home = f"HOME={data_dir}/servers/{SPEC.server_id}/files".encode()
    count = 0
    for pids in launched_processes().values():
        for pid in pids:
            with suppress(OSError):
                count += home in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return count


def test_twenty_starts_and_stops_at_once_leave_one_process_or_none_and_never_two(data_dir: Path) -> None:
    LocalHost(data_dir, {}).create(SPEC)
    everybody = threading.Barrier(20)
    counts: list[int] = []

    def one(number: int) -> None:
        host = LocalHost(data_dir, {"game": programs.ALONE})
        everybody.wait()
        if number % 2:
            host.start(SPEC)
        else:
            host.stop(SPEC, 2)
        counts.append(copies_of(data_dir))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))
    host = LocalHost(data_dir, {})
    assert max(counts) <= 1
    assert copies_of(data_dir) == (host.observe(SPEC).observed == "running")
    assert not (data_dir / "servers" / SPEC.server_id / "files" / "two").exists()
    assert host.stop(SPEC, 2).observed == "stopped"
    assert copies_of(data_dir) == 0


def test_two_workers_that_start_at_once_make_one_process(data_dir: Path) -> None:
    LocalHost(data_dir, {}).create(SPEC)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _STARTER, str(data_dir), json.dumps(programs.ALONE)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"set\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    seen = {worker.stdout.read() for worker in workers if worker.stdout is not None}
    for worker in workers:
        worker.wait()
    assert len(seen) == 1  # each saw the same process run
    assert b"running" in seen.pop()
    assert copies_of(data_dir) == 1


_STARTER = """
import json, sys
from pathlib import Path
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost
host = LocalHost(Path(sys.argv[1]), {"game": json.loads(sys.argv[2])})
print("set", flush=True)
sys.stdin.read()
print(host.start(ServerSpec("server-1", "Ada's world", "game", 0)))
"""


def test_supervisors_that_are_killed_all_the_time_never_lead_to_two_servers(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": programs.ALONE})
    host.create(SPEC)
    record = data_dir / "servers" / SPEC.server_id / "run" / "process.json"
    done = threading.Event()

    def kill_supervisors() -> None:
        dice = random.Random(7)
        while not done.wait(dice.uniform(0.01, 0.1)):
            with suppress(OSError, ValueError):
                os.kill(json.loads(record.read_text())["shim_pid"], signal.SIGKILL)

    killer = threading.Thread(target=kill_supervisors)
    killer.start()
    try:
        for _ in range(12):
            with suppress(LaunchFailed):  # killed before it could say that it had started
                host.start(SPEC)
            assert copies_of(data_dir) <= 1
    finally:
        done.set()
        killer.join()
    assert not (data_dir / "servers" / SPEC.server_id / "files" / "two").exists()


def test_who_waits_too_long_for_another_command_is_told_that_the_server_is_busy(data_dir: Path) -> None:
    host, hasty = (LocalHost(data_dir, {"game": programs.STUBBORN}, lock_seconds=seconds) for seconds in (60, 0.1))
    host.create(SPEC)
    host.start(SPEC)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(host.stop, SPEC, 600)
        eventually(lambda: "[host] asked to stop" in host.read_console(SPEC, None)[1])
        try:
            with pytest.raises(HostBusy, match="busy"):
                hasty.start(SPEC)
        finally:
            host.kill(SPEC)  # cuts the stop short
        stopping.result()
    assert host.observe(SPEC).observed == "stopped"
