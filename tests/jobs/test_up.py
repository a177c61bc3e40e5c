"""`forbear up` as an operator meets it: one command, ready once it serves, alone in its folder, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
import httpx
import psycopg
import pytest
import redis
from click.testing import CliRunner
from rq import Worker

from jobs.certificates import certificates
from jobs.commands import controller
from jobs.doctor import doctor
from jobs.up import environment_of_children
from storage.commands.admin import add
from storage.commands.audit import audit
from storage.commands.db import db as database
from storage.commands.explain import explain
from storage.commands.operations import operations
from storage.commands.policy import history as policy_history
from storage.commands.policy import impact as policy_impact
from storage.embedded.addresses import addresses_of
from storage.errors import SettingWrong
from storage.settings import SHIPPED_POLICY

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
# Whoever lives holds an advisory lock by its number.
LED = """
SELECT EXISTS (SELECT FROM leases l JOIN pg_locks p ON p.locktype = 'advisory' AND p.classid = 7203116
WHERE l.name = 'controller' AND l.holder = 'controller:' || p.objid AND l.expires_at > clock_timestamp())
"""
NOBODY = "00000000-0000-0000-0000-000000000001"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        time.sleep(0.05)


def processes_of(data: Path) -> dict[int, str]:
    """Return every process that works in this folder or was told of it, with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            told = f"FORBEAR_DATA={data}\0".encode() in (entry / "environ").read_bytes()
            inside = (entry / "cwd").resolve().is_relative_to(data)
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if (told or inside) and command:
            found[int(entry.name)] = command
    return found


class Up:
    """One `forbear up`, and what it has printed so far."""

    def __init__(self, data: Path, port: int, *, under_nohup: bool = False, **environment: str) -> None:
        self.data = data
        self.port = port
        self.lines: list[str] = []
        self.began = time.monotonic()
        command = [sys.executable, "-m", "forbear", "up", "--data", str(data), "--port", str(port), "--test-clock"]
        self.process = subprocess.Popen(
            [*(["nohup"] if under_nohup else []), *command],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.output
        return f"ready http://127.0.0.1:{self.port}\n" in self.lines

    def wait_ready(self) -> float:
        deadline = self.began + START_SECONDS
        while not self.is_ready():
            assert time.monotonic() < deadline, self.output + self.log_tails()
            time.sleep(0.05)
        return time.monotonic() - self.began

    def log_tails(self) -> str:
        tails = (
            "\n".join([f"== {file.name}", *file.read_text().splitlines()[-12:]]) for file in self.data.glob("logs/*")
        )
        return "\n".join(tails)

    def health(self) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/api/health", timeout=10, verify=certificates()).status_code
        except httpx.HTTPError:
            return 0

    def end(self, *signals: signal.Signals) -> int:
        for number in signals:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(10)
        return status


def ended(up: Up) -> None:
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not processes_of(up.data))


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Up]]:
    """Those that have run on one folder, one after the other."""
    folder = tmp_path_factory.mktemp("up") / "with spaces" / "data"
    made = [Up(folder, free_port(), under_nohup=True)]
    yield made
    ended(made[-1])


@pytest.fixture
def running(lives: list[Up]) -> Up:
    """One that is ready, for all tests that leave it so."""
    if lives[-1].process.poll() is not None:
        lives.append(Up(lives[-1].data, free_port()))
    lives[-1].wait_ready()
    return lives[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the tests that break a start off: making the database is done once."""
    return tmp_path_factory.mktemp("up") / "data"


def child(data: Path, words: str) -> int:
    """Find the process of this command. One that it has just forked still has its command line too."""
    found = {pid for pid, command in processes_of(data).items() if re.search(words, command)}
    (pid,) = [pid for pid in found if parent_of(pid) not in found | {None}]
    return pid


def parent_of(pid: int) -> int | None:
    """Return the process that started this one; None when it has ended meanwhile."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def is_led(data: Path) -> bool:
    """Tell whether a controller that lives leads: for a moment after a start, and after a kill, none does."""
    with closing(psycopg.connect(addresses_of(data)["FORBEAR_DATABASE_URL"])) as session:
        return session.execute(LED).fetchone() == (True,)


def test_every_process_is_there_once_it_is_ready(running: Up) -> None:
    assert running.health() == 200
    commands = "\n".join(processes_of(running.data).values())
    for words in ("forbear serve", "forbear controller", "bin/postgres -D", "redis-server"):
        assert words in commands
    for queue in ("billing_enforcement", "provisioning", "repair"):
        assert commands.count(f"forbear worker {queue}") == 1


def test_secrets_are_made_once_kept_private_and_never_shown(running: Up) -> None:
    secrets = {file.name: file for file in (running.data / "secrets").iterdir()}
    assert secrets.keys() == {"forbear_admin_token", "stripe_webhook_secret"}
    commands = "\n".join(processes_of(running.data).values())
    logs = "\n".join(file.read_text() for file in (running.data / "logs").iterdir())
    for file in secrets.values():
        value = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert str(file) in running.output
        for place in (running.output, commands, logs):
            assert value not in place
    assert stat.S_IMODE(running.data.stat().st_mode) == 0o700
    token = secrets["forbear_admin_token"].read_text().strip()
    account = f"http://127.0.0.1:{running.port}/api/admin/accounts/00000000-0000-0000-0000-000000000001"
    assert httpx.get(account, headers={"Authorization": f"Bearer {token}"}, verify=certificates()).status_code == 404
    assert httpx.get(account, headers={"Authorization": "Bearer wrong"}, verify=certificates()).status_code == 401


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (policy_history, [], "forbear up"),
        (policy_impact, [SHIPPED_POLICY], "the one in force"),
        (explain, ["--account", NOBODY], f"no account `{NOBODY}`"),
        (operations, ["list"], ""),
        (audit, ["verify"], "every row follows"),
        (database, ["status"], "at 0"),
        (controller, ["--dry-run", "--once"], "nothing to do"),
        (doctor, [], "worker provisioning"),
    ],
    ids=lambda each: each.name if isinstance(each, click.Command) else None,
)
def test_commands_beside_it_find_it_by_its_folder(
    running: Up, command: click.Command, arguments: list[object], words: str
) -> None:
    env = {"FORBEAR_DATABASE_URL": None, "FORBEAR_REDIS_URL": None, "FORBEAR_DATA": None}
    told = CliRunner().invoke(command, [*map(str, arguments), "--data", str(running.data)], env=env)
    assert words in told.output
    assert told.exception is None or isinstance(told.exception, SystemExit), told.output


def test_link_for_an_admin_leads_to_the_system_beside_it(running: Up) -> None:
    given = ["ada@desk.example", "--name", "Ada", "--data", str(running.data)]
    told = CliRunner().invoke(add, given, env={"FORBEAR_DATABASE_URL": None, "FORBEAR_PORT": None})
    assert f"\nhttp://127.0.0.1:{running.port}/password/new?token=" in told.output, told.output


def test_a_controller_beside_it_says_that_another_leads(running: Up) -> None:
    wait_until(lambda: is_led(running.data))
    command = [sys.executable, "-m", "forbear", "controller", "--once", "--data", str(running.data)]
    told = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (1, "another controller leads; nothing was done\n")


def test_files_named_from_where_it_was_called_are_found_by_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOSTS", "EDGE", "INVOICE", "METRICS_TOKEN"):
        monkeypatch.setenv(f"FORBEAR_{name}_FILE", f"files/{name}")
    given = environment_of_children(tmp_path, 1, test_clock=False)
    found = {name: given[f"FORBEAR_{name}_FILE"] for name in ("HOSTS", "EDGE", "INVOICE", "METRICS_TOKEN")}
    assert found == {name: f"{tmp_path}/files/{name}" for name in found}


def test_a_command_beside_none_says_so(tmp_path: Path) -> None:
    told = CliRunner().invoke(policy_history, ["--data", str(tmp_path)], env={"FORBEAR_DATABASE_URL": None})
    assert isinstance(told.exception, SettingWrong)
    assert f"no `forbear up` runs on `{tmp_path}`" in str(told.exception)


def test_a_second_one_on_the_same_folder_is_refused(running: Up) -> None:
    second = Up(running.data, free_port())
    assert second.end() == 2
    refusal = rf"forbear: another `forbear up` \(process {running.process.pid}\) runs on [^\n]*\n"
    assert re.fullmatch(refusal, second.output)
    assert running.health() == 200


@pytest.mark.parametrize("command", ["forbear serve", "forbear controller", "forbear worker repair"])
def test_a_killed_process_comes_back(running: Up, command: str) -> None:
    before = child(running.data, command)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: any(command in words and pid != before for pid, words in processes_of(running.data).items()))
    wait_until(lambda: running.health() == 200)
    assert f"{command.removeprefix('forbear ')} ended (signal 9), starting it again" in running.output


@pytest.mark.parametrize("program", ["bin/postgres -D", "bin/redis-server"])
def test_a_killed_database_comes_back_at_the_same_address(running: Up, program: str) -> None:
    web = child(running.data, "forbear serve")
    before = child(running.data, program)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: any(program in words and pid != before for pid, words in processes_of(running.data).items()))
    wait_until(lambda: running.health() == 200)
    assert child(running.data, "forbear serve") == web


def test_one_that_was_stopped_or_killed_leaves_nothing_and_the_next_goes_on(lives: list[Up], running: Up) -> None:
    (up, data) = (running, running.data)
    up.process.send_signal(signal.SIGHUP)
    assert up.health() == 200, "under nohup it outlives its terminal"
    assert up.end(signal.SIGINT, signal.SIGINT) == 0, "two interrupts end it at once"
    assert processes_of(data) == {}
    assert "Traceback" not in up.output

    lives.append(up := Up(data, up.port))
    # The aim is 4 s on two idle cores; beside other tests it takes longer, but not for long.
    assert up.wait_ready() < 40
    up.process.kill()
    up.process.wait()
    wait_until(lambda: processes_of(data) == {})

    lives.append(up := Up(data, up.port))
    up.wait_ready()
    assert up.health() == 200
    assert up.end(signal.SIGTERM) == 0
    assert processes_of(data) == {}
    assert "Traceback" not in up.output


def test_a_port_in_use_is_refused_and_nothing_is_left(data: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        up = Up(data, squatter.getsockname()[1])
        assert up.end() == 2
    assert re.fullmatch(r"forbear: port \d+ of 127\.0\.0\.1 is in use; [^\n]*--port\n", up.output)
    assert processes_of(data) == {}


@pytest.mark.parametrize("reached", ["", "bin/postgres -D", "bin/redis-server", "forbear serve"])
def test_a_signal_in_the_middle_of_the_start_leaves_nothing(data: Path, reached: str) -> None:
    up = Up(data, free_port())
    wait_until(lambda: any(reached in command for command in processes_of(data).values()) or not reached)
    status = up.end(signal.SIGTERM)
    # Before its first line has run the signal ends it as it ends any program.
    assert status == 0 or (not reached and status in (-signal.SIGTERM, 128 + signal.SIGTERM))
    assert processes_of(data) == {}
    assert "Traceback" not in up.output


def test_databases_from_the_environment_are_used_instead(
    tmp_path: Path, empty_database_url: str, redis_url: str
) -> None:
    up = Up(tmp_path, free_port(), FORBEAR_DATABASE_URL=empty_database_url, FORBEAR_REDIS_URL=redis_url)
    wait_until(lambda: any("forbear controller" in command for command in processes_of(tmp_path).values()))
    with psycopg.connect(empty_database_url) as session:
        in_force = session.execute("SELECT digest FROM policy_in_force").fetchone()
    assert in_force is not None
    assert in_force[0] is not None, "tables and policy are there before any process starts"
    up.wait_ready()
    commands = processes_of(tmp_path)
    assert not any("postgres -D" in command or "redis-server" in command for command in commands.values())
    with psycopg.connect(empty_database_url) as session:
        at_work = {pid for (pid,) in session.execute("SELECT pid FROM processes")}
    assert {
        pid for pid, command in commands.items() if command.startswith(("forbear worker", "forbear contr"))
    } <= at_work
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert len(Worker.all(connection=client)) == 3
    assert up.end(signal.SIGTERM) == 0
    assert processes_of(tmp_path) == {}


def test_a_folder_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up = Up(tmp_path / "file" / "data", free_port())
    assert up.end() == 2
    assert re.fullmatch(r"forbear: the folder `[^`]*` cannot be used: not a directory: [^\n]*\n", up.output)


def test_an_unreachable_database_is_explained(tmp_path: Path) -> None:
    url = f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/nowhere"
    up = Up(tmp_path, free_port(), FORBEAR_DATABASE_URL=url)
    assert up.end() == 2
    assert "FORBEAR_DATABASE_URL" in up.output
    assert "hunter2" not in up.output
    assert processes_of(tmp_path) == {}
