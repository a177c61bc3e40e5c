"""The embedded servers: started anywhere by anyone, safe against kills, alone in their folder, gone when told."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from storage.embedded import EmbeddedError, Postgres, Redis, logs
from storage.embedded.folder import ServerFolder
from storage.embedded.process import UNPRIVILEGED_UID, Child, server_uid

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cluster for the tests of this module that may share one: making it is most of a start's time."""
    return tmp_path_factory.mktemp("closed to others") / "with spaces" / ("long " * 40).strip()


@pytest.fixture
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres.start(folder)
    yield server
    server.stop()


def ask(url: str, statement: str) -> object:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and ") Z " in status.read_text())


def test_data_survives_a_stop_and_the_address_stays(folder: Path) -> None:
    server = Postgres.start(folder)
    with closing(psycopg.connect(server.url, autocommit=True)) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    address = server.url
    server.stop()
    server = Postgres.start(folder)
    try:
        assert ask(server.url, "SELECT number FROM kept") == 7
        assert server.url == address
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("max_connections", "100"),
    ],
)
def test_cluster_is_durable_private_and_in_utc(postgres: Postgres, setting: str, expected: str) -> None:
    assert ask(postgres.superuser_url, f"SELECT current_setting('{setting}')") == expected


def test_a_wrong_or_missing_password_is_refused(postgres: Postgres) -> None:
    address, secret = postgres.url.rpartition("@")[2], postgres.url.split(":")[2].partition("@")[0]
    assert len(secret) > 40
    for credentials in ("forbear:wrong", "postgres:wrong", "postgres", "nobody:" + secret):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://{credentials}@{address}")


def test_secrets_are_readable_by_the_owner_only_and_in_no_argument_list(postgres: Postgres, tmp_path: Path) -> None:
    server = Redis.start(tmp_path)
    try:
        for running in (postgres, server):
            folder = running.folder.path
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            for file in folder.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
            arguments = subprocess.run(
                ["ps", "-o", "args=", "-p", str(running.pid)], capture_output=True, text=True, check=True
            )
            assert running.folder.password() not in arguments.stdout
    finally:
        server.stop()


def test_sql_of_the_application_cannot_reach_files_or_programs(postgres: Postgres) -> None:
    for statement in ("SELECT pg_read_file('/etc/hostname')", "COPY (SELECT 1) TO PROGRAM 'true'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(postgres.url, statement)


def test_a_killed_server_recovers_everything_that_was_committed(folder: Path) -> None:
    server = Postgres.start(folder)
    with closing(psycopg.connect(server.url, autocommit=True)) as connection:
        connection.execute("DROP TABLE IF EXISTS ledger")
        connection.execute("CREATE TABLE ledger (number int)")
        for number in range(50):
            connection.execute("INSERT INTO ledger VALUES (%s)", [number])
        server.kill()
    server = Postgres.start(folder)
    try:
        assert ask(server.url, "SELECT count(*) FROM ledger") == 50
    finally:
        server.stop()


def test_kills_in_a_row_are_recovered_from(folder: Path) -> None:
    for _ in range(3):
        Postgres.start(folder).kill()
    server = Postgres.start(folder)
    server.stop()
    assert not server.is_running()


def test_stop_leaves_no_process_and_can_be_repeated(folder: Path) -> None:
    server = Postgres.start(folder)
    pid = server.pid
    assert pid is not None
    server.stop()
    server.stop()
    assert not is_alive(pid)
    assert not (server.cluster / "postmaster.pid").exists()


def test_a_second_start_on_a_folder_in_use_is_refused_in_one_sentence(postgres: Postgres) -> None:
    with pytest.raises(EmbeddedError, match=f"process {os.getpid()} is using it; stop that one first"):
        Postgres.start(postgres.folder.path)
    assert ask(postgres.url, "SELECT 1") == 1


def test_a_port_that_was_taken_meanwhile_is_replaced(folder: Path) -> None:
    server = Postgres.start(folder)
    port = server.port
    server.stop()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        server = Postgres.start(folder)
        try:
            assert server.port != port
            assert ask(server.url, "SELECT 1") == 1
        finally:
            server.stop()


def test_a_stale_process_id_of_another_program_is_no_obstacle(folder: Path) -> None:
    server = Postgres.start(folder)
    lock = server.cluster / "postmaster.pid"
    text = lock.read_text()
    server.kill()
    # A program of the same user, as the id's next owner may be.
    owner = lock.stat().st_uid
    bystander = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        lock.write_text(f"{bystander.pid}\n" + text.partition("\n")[2])
        server = Postgres.start(folder)
        server.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


STARTER = """
import pathlib, sys
from storage.embedded import Postgres, Redis
folder = pathlib.Path(sys.argv[1])
print(Postgres.start(folder / "postgres").pid, Redis.start(folder / "redis").pid, flush=True)
sys.stdin.read()
"""


def test_servers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_alive(pid) for pid in pids)
    starter.kill()
    starter.communicate()
    if sys.platform == "linux":
        wait_until(lambda: not any(is_alive(pid) for pid in pids))
    servers = (Postgres.start(tmp_path / "postgres"), Redis.start(tmp_path / "redis"))
    for server in servers:
        server.stop()
    assert not any(is_alive(pid) for pid in pids)


def test_a_server_that_outlived_its_starter_is_ended_by_the_next_start(folder: Path) -> None:
    # Where the system cannot tie lives together (macOS) this is what happens after a kill of the starter.
    orphan = Postgres.start(folder)
    orphan.folder.close()
    server = Postgres.start(folder)
    try:
        assert orphan.pid != server.pid
        assert not orphan.is_running()
        assert ask(server.url, "SELECT 1") == 1
    finally:
        server.stop()


def test_an_interrupted_first_start_is_begun_again(tmp_path: Path) -> None:
    half_made = tmp_path / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("16\n")
    server = Postgres.start(tmp_path, durable=False)
    try:
        assert ask(server.url, "SELECT 1") == 1
        assert not half_made.exists()
    finally:
        server.stop()


def test_a_broken_cluster_is_reported_with_the_servers_own_words(tmp_path: Path) -> None:
    server = Postgres.start(tmp_path, durable=False)
    server.stop()
    (server.cluster / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"ended at its start[^\n]*\n[^$]*pg_control"):
        Postgres.start(tmp_path, durable=False)
    # The folder is free again after the failure.
    ServerFolder("PostgreSQL", tmp_path).open()


def test_a_signal_that_came_too_early_is_sent_again(tmp_path: Path) -> None:
    # What a shell does to its background jobs reaches the launcher, which has not become the program yet.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = Child([sys.executable, "-S", "-c", "import time; time.sleep(60)"], log=tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    began = time.monotonic()
    child.stop([(signal.SIGINT, 30.0)])
    assert time.monotonic() - began < 20
    assert child.exit_status() is not None


def test_a_lost_password_is_explained(tmp_path: Path) -> None:
    server = Postgres.start(tmp_path, durable=False)
    server.stop()
    (tmp_path / "superuser_password").rename(tmp_path / "moved")
    with pytest.raises(EmbeddedError, match=r"password file .* is gone"):
        Postgres.start(tmp_path)
    (tmp_path / "superuser_password").write_text("something else")
    with pytest.raises(EmbeddedError, match="does not fit"):
        Postgres.start(tmp_path)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="not a directory"):
        Redis.start(tmp_path / "file" / "below")
    with pytest.raises(EmbeddedError, match="longer than 900 bytes"):
        Redis.start(tmp_path / "/".join(["x" * 200] * 5))


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_servers_hold_no_right_but_the_one_to_pass_closed_folders(postgres: Postgres) -> None:
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    rights = {line.split(":")[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
    uid = int(status.partition("\nUid:")[2].split()[1])
    assert uid != 0
    allowed = 1 << 1 if os.geteuid() == 0 else 0  # CAP_DAC_OVERRIDE
    assert rights["CapEff"] == rights["CapPrm"] == rights["CapAmb"] == allowed


def test_programs_beneath_a_closed_folder_can_be_run_and_looked_at(tmp_path: Path) -> None:
    # As in a home of mode 0700: the system's check with the real user's rights must pass too, PostgreSQL makes it.
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o700)
    look = f"import os; print(os.geteuid(), os.access({str(program)!r}, os.R_OK | os.X_OK))"
    log = tmp_path / "log"
    child = Child([sys.executable, "-S", "-c", look], log=log, uid=server_uid())
    assert child.wait(30) == 0, log.read_text()
    assert log.read_text() == f"{os.geteuid() or UNPRIVILEGED_UID} True\n"
    assert Child([program], log=log, uid=server_uid()).wait(30) == 0, log.read_text()


def test_parents_of_the_folder_keep_their_permissions(folder: Path, postgres: Postgres) -> None:
    assert stat.S_IMODE(folder.parent.parent.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.geteuid()
    assert ask(postgres.url, "SELECT 1") == 1


def test_redis_answers_only_with_its_password_and_writes_no_file(tmp_path: Path) -> None:
    server = Redis.start(tmp_path)
    try:
        with closing(redis.Redis.from_url(server.url)) as connection:
            connection.set("a", "b")
            assert connection.get("a") == b"b"
            assert connection.config_get("save") == {"save": ""}
            assert connection.config_get("appendonly") == {"appendonly": "no"}
            assert connection.config_get("bind") == {"bind": "127.0.0.1"}
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(100).startswith(b"-NOAUTH")
    finally:
        server.stop()
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "log", "password", "port"}


def test_a_redis_that_dies_is_noticed_and_can_be_run_again_on_its_port(tmp_path: Path) -> None:
    server = Redis.start(tmp_path)
    try:
        port, pid = server.port, server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not server.is_running())
        server.run()
        assert server.port == port
    finally:
        server.stop()


def test_a_log_is_bounded_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as writer:
        writer.write(b"x" * (logs.LIMIT_BYTES + 1))
        writer.flush()
        logs.trim(log)
        assert (tmp_path / "log.1").stat().st_size == logs.LIMIT_BYTES + 1
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert logs.last_lines(log) == ["after"]
