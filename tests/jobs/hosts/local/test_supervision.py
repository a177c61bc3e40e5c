"""A server's process and its supervisor: who outlives whom, what is seen after each death, what the server is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.hosts.base import LaunchFailed, ServerSpec
from jobs.hosts.local import process
from jobs.hosts.local.host import LocalHost, stop_everything
from jobs.hosts.local.identity import identity_of, signal_if_same
from jobs.hosts.local.layout import ServerPlace
from tests.jobs.hosts.local import programs
from tests.jobs.hosts.local.conftest import PROJECT, SPEC, Running
from tests.jobs.hosts.waiting import eventually, processes_that_mention


def record_of(data_dir: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((data_dir / "servers" / SPEC.server_id / "run" / "process.json").read_text())
    return found


def test_a_server_outlives_the_worker_that_started_it(data_dir: Path) -> None:
    worker = subprocess.run(
        [sys.executable, "-c", _WORKER_THAT_DIES, str(data_dir), json.dumps(programs.ECHO)],
        cwd=PROJECT,
        check=False,
        start_new_session=True,
    )
    assert worker.returncode == -signal.SIGKILL
    host = LocalHost(data_dir, {})
    assert host.observe(SPEC).observed == "running"
    host.send(SPEC, "are you there")
    eventually(lambda: "heard are you there" in host.read_console(SPEC, None)[1])


_WORKER_THAT_DIES = """
import json, os, signal, sys
from pathlib import Path
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost
host = LocalHost(Path(sys.argv[1]), {"game": json.loads(sys.argv[2])})
spec = ServerSpec("server-1", "Ada's world", "game", 0)
host.create(spec)
host.start(spec)
os.killpg(0, signal.SIGKILL)
"""


def test_a_killed_supervisor_takes_the_server_with_it_and_that_is_seen(data_dir: Path, running: Running) -> None:
    host = running(programs.ECHO)
    os.kill(record_of(data_dir)["shim_pid"], signal.SIGKILL)
    eventually(lambda: host.observe(SPEC).observed == "stopped")
    assert host.observe(SPEC).detail == "its supervisor was killed, and the server with it"
    assert host.observe_all()[SPEC.server_id].observed == "stopped"
    assert host.start(SPEC).observed == "running"


def test_what_outlives_a_killed_supervisor_counts_as_running_until_it_is_stopped(
    data_dir: Path, running: Running
) -> None:
    host = running(programs.FORKING)
    record = record_of(data_dir)
    os.kill(record["shim_pid"], signal.SIGKILL)
    eventually(lambda: identity_of(record["pid"]) is None)
    assert host.observe_all()[SPEC.server_id].observed == "running"
    assert "outlived" in host.observe(SPEC).detail
    assert host.stop(SPEC, 5).observed == "stopped"
    assert processes_that_mention(data_dir) == []


def test_a_start_first_ends_what_outlived_a_killed_supervisor(data_dir: Path, running: Running) -> None:
    host = running(programs.FORKING)
    os.kill(record_of(data_dir)["shim_pid"], signal.SIGKILL)
    old = processes_that_mention(data_dir)
    eventually(lambda: not process.is_supervised(ServerPlace(data_dir / "servers" / SPEC.server_id)))
    host.start(SPEC)
    assert not set(old) & set(processes_that_mention(data_dir))


def test_a_stop_ends_also_what_the_server_started_in_another_session(data_dir: Path, running: Running) -> None:
    host = running(programs.FORKING)
    assert len(processes_that_mention(data_dir)) == 3  # the supervisor, the server, its child
    assert host.stop(SPEC, 5).observed == "stopped"
    assert processes_that_mention(data_dir) == []


def test_a_server_that_does_not_end_when_asked_is_ended_by_force(running: Running) -> None:
    host = running(programs.STUBBORN)
    begin = time.monotonic()
    seen = host.stop(SPEC, 0.3)
    assert (seen.observed, seen.detail) == ("stopped", "ended by SIGKILL, as asked")
    assert 0.3 <= time.monotonic() - begin < 20
    assert "[host] asked to stop" in host.read_console(SPEC, None)[1]  # it says so; the program may have had no turn


def test_a_kill_cuts_a_patient_stop_short(data_dir: Path, running: Running) -> None:
    host = running(programs.STUBBORN)
    patient = subprocess.Popen(
        [sys.executable, "-c", _PATIENT_STOP, str(data_dir)], cwd=PROJECT, stdout=subprocess.PIPE
    )
    eventually(lambda: "[host] asked to stop" in host.read_console(SPEC, None)[1])
    assert host.kill(SPEC).observed == "stopped"
    assert patient.communicate(timeout=20)[0] == b"stopped"


_PATIENT_STOP = """
import sys
from pathlib import Path
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost
spec = ServerSpec("server-1", "Ada's world", "game", 0)
print(LocalHost(Path(sys.argv[1]), {}).stop(spec, 600).observed, end="")
"""


def test_a_supervisor_that_does_not_answer_is_killed_and_the_server_with_it(data_dir: Path, running: Running) -> None:
    running(programs.ECHO)
    record = record_of(data_dir)
    os.kill(record["shim_pid"], signal.SIGSTOP)
    place = ServerPlace(data_dir / "servers" / SPEC.server_id)
    assert process.await_end(place, 0.1, forced_seconds=0.2).observed == "stopped"
    assert identity_of(record["pid"]) is None


def test_a_server_that_crashes_is_seen_with_its_exit_code_and_not_restarted(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": programs.BROKEN})
    host.create(SPEC)
    host.start(SPEC)
    eventually(lambda: host.observe(SPEC).observed == "stopped")
    assert host.observe(SPEC).detail == "exited with code 7"
    _, lines = host.read_console(SPEC, None)
    assert lines == ["[host] started", "no world to load", "[host] exited with code 7"]


def test_a_program_that_does_not_exist_fails_the_start_without_showing_its_path(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": ["/nowhere/server"]})
    host.create(SPEC)
    with pytest.raises(LaunchFailed) as failed:
        host.start(SPEC)
    assert "/nowhere" in failed.value.detail
    assert "/nowhere" not in str(failed.value)
    assert host.observe(SPEC).observed == "stopped"


def test_no_secret_of_ours_reaches_the_server_or_its_supervisor(
    data_dir: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORBEAR_ADMIN_TOKEN", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "FORBEAR_DATABASE_URL"):
        monkeypatch.setenv(name, "a-secret-of-ours")
    host = running(programs.TELLING)
    told = json.loads(host.read_console(SPEC, None)[1][1])
    assert told["PORT"] == "0"
    assert told["SERVER_NAME"] == "Ada's world"
    assert set(told) <= {"PATH", "LANG", "HOME", "PORT", "SERVER_ID", "SERVER_NAME", "SERVER_LAUNCH", "LC_CTYPE"}
    for pid in processes_that_mention(data_dir):
        assert b"a-secret-of-ours" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_servers_end_when_the_up_that_they_belong_to_disappears(
    data_dir: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = subprocess.Popen(["sleep", "600"])
    monkeypatch.setenv("FORBEAR_UP_PID", str(up.pid))
    host = running(programs.FORKING)
    up.kill()
    # not yet collected: to its supervisors it is gone all the same
    eventually(lambda: host.observe(SPEC).observed == "stopped")
    assert processes_that_mention(data_dir) == []
    up.wait()
    with pytest.raises(LaunchFailed):
        host.start(SPEC)


def test_a_server_whose_directory_is_removed_ends(data_dir: Path, running: Running) -> None:
    running(programs.STUBBORN)
    shutil.rmtree(data_dir / "servers")
    eventually(lambda: not processes_that_mention(data_dir))


def test_a_boot_starts_what_has_autostart_on_and_nothing_else(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": programs.ECHO})
    for number, on in enumerate((True, False, True)):
        spec = replace(SPEC, server_id=f"server-{number}")
        host.create(spec)
        host.set_autostart(spec, on=on)
    assert host.boot() == ["server-0", "server-2"]
    seen = {server_id: one.observed for server_id, one in host.observe_all().items()}
    assert seen == {"server-0": "running", "server-1": "stopped", "server-2": "running"}


def test_everything_is_stopped_at_once_and_nothing_is_left(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": programs.FORKING})
    specs = [replace(SPEC, server_id=f"server-{number}") for number in range(4)]
    for spec in specs:
        host.create(spec)
    for spec in specs[:3]:
        host.start(spec)
    assert stop_everything(data_dir) == 3
    assert {one.observed for one in host.observe_all().values()} == {"stopped"}
    assert stop_everything(data_dir) == 0
    assert stop_everything(data_dir / "never used") == 0


def test_a_process_that_only_has_the_same_id_is_left_alone() -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    signal_if_same(bystander.pid, "an earlier process", signal.SIGKILL)
    signal_if_same(bystander.pid, None, signal.SIGKILL)
    assert bystander.poll() is None
    signal_if_same(bystander.pid, identity_of(bystander.pid), signal.SIGKILL)
    assert bystander.wait() == -signal.SIGKILL


def test_a_dead_process_that_nobody_collected_is_not_living() -> None:
    dead = subprocess.Popen(["true"])
    eventually(lambda: identity_of(dead.pid) is None)
    assert dead.wait() == 0


def test_long_paths_with_spaces_work(data_dir: Path) -> None:
    deep = data_dir.joinpath(*["quite a long name " * 10] * 12)
    deep.mkdir(parents=True)
    assert len(str(deep)) > 2_000
    host = LocalHost(deep, {"game": programs.ECHO})
    host.create(SPEC)
    host.start(SPEC)
    host.send(SPEC, "hello")
    eventually(lambda: "heard hello" in host.read_console(SPEC, None)[1])
    assert host.stop(SPEC, 5).observed == "stopped"
    host.write_file(SPEC, "world", "old")
    host.create_backup(SPEC, "b-1")
    host.write_file(SPEC, "world", "new")
    host.restore_backup(SPEC, "b-1")
    assert host.read_file(SPEC, "world") == "old"
    stop_everything(deep)


def test_odd_names_reach_the_server_as_they_are(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": programs.TELLING})
    spec = ServerSpec("server-1", "<b>\n@everyone \0 世界", "game", 0)
    host.create(spec)
    host.start(spec)
    told = json.loads(eventually(lambda: host.read_console(spec, None)[1][1:])[0])
    assert told["SERVER_NAME"] == "<b>\n@everyone  世界"
