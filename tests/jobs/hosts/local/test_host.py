"""The local host under the contract of all hosts, running the demo game server."""

from __future__ import annotations

import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import HostMisconfigured, HostUnavailable, ServerSpec, Tenant
from jobs.hosts.local.host import LocalHost, default_commands
from jobs.hosts.local.layout import IdRefused
from tests.jobs.hosts.contract import HostContract
from tests.jobs.hosts.contract_telling import PortContract, TenancyContract
from tests.jobs.hosts.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


class TestLocalHost(HostContract, PortContract, TenancyContract):
    @pytest.fixture
    def empty_host(self, data_dir: Path) -> LocalHost:
        return LocalHost(data_dir, default_commands())

    def assert_reached(self, port: int | None) -> None:
        with socket.create_connection(("127.0.0.1", port or 0), timeout=5) as connection:
            assert connection.recv(1), "the game says hello"


def test_the_port_is_the_one_that_was_asked_for_where_a_server_listens_on_several(data_dir: Path) -> None:
    program = (
        "import os, socket, time; ports = (os.environ['PORT'], 0);"
        "a = [socket.create_server(('127.0.0.1', int(p)), reuse_port=True) for p in ports];"
        "open('ready', 'w').close(); time.sleep(60)"
    )
    host = LocalHost(data_dir, {"game": [sys.executable, "-S", "-c", program]})
    with socket.socket() as kept:  # so that nobody else is given the port meanwhile
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        for wanted in (kept.getsockname()[1], 0):
            spec = ServerSpec(f"server-{wanted}", "x", "game", wanted)
            host.create(spec)
            host.start(spec)
            eventually(lambda spec=spec: host.list_files(spec, "/").entries)  # type: ignore[misc]
            port = host.observe(spec).port
            assert port
            assert wanted in {0, port}
            host.kill(spec)


def test_what_a_server_writes_about_its_port_is_not_believed(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": ["sh", "-c", "echo '{\"port\": 22}' > server.json; cat"]})
    spec = ServerSpec("server-1", "x", "game", 0)
    host.create(spec)
    host.start(spec)
    eventually(lambda: host.list_files(spec, "/").entries)
    assert host.observe(spec).port is None
    host.kill(spec)


def test_a_kind_without_a_program_is_said_to_be_a_matter_of_set_up(data_dir: Path) -> None:
    host = LocalHost(data_dir, {})
    spec = ServerSpec("server-1", "x", "game", 0)
    host.create(spec)
    with pytest.raises(HostMisconfigured, match="kind `game`"):
        host.start(spec)


@pytest.mark.parametrize("server_id", ["", ".", "..", "a/b", "../a", "a\0", ".hidden", "x" * 101, "-rf"])
def test_an_id_that_could_be_a_path_is_refused(data_dir: Path, server_id: str) -> None:
    host = LocalHost(data_dir, {})
    spec = ServerSpec(server_id, "x", "game", 0)
    for call in (host.observe, host.create, host.destroy, host.kill, host.list_backups):
        with pytest.raises(IdRefused):
            call(spec)


def test_a_servers_directory_that_is_gone_makes_the_host_unavailable_not_empty(data_dir: Path) -> None:
    host = LocalHost(data_dir, {})
    host.create(ServerSpec("server-1", "x", "game", 0))
    (data_dir / "servers").rename(data_dir / "unmounted")
    with pytest.raises(HostUnavailable):
        host.observe_all()


def test_one_server_that_cannot_be_read_makes_the_whole_answer_unavailable(data_dir: Path) -> None:
    host = LocalHost(data_dir, {})
    for number in range(3):
        host.create(ServerSpec(f"server-{number}", "x", "game", 0))
    record = data_dir / "servers" / "server-1" / "run" / "process.json"
    record.write_text("{ torn")
    for see in (host.observe_all, host.tenants):
        with pytest.raises(HostUnavailable, match="damaged"):
            see()
    record.unlink()


def test_a_server_that_was_made_before_servers_were_stamped_is_as_old_as_its_oldest_directory(data_dir: Path) -> None:
    host = LocalHost(data_dir, {})
    spec = ServerSpec("server-1", "x", "game", 0)
    host.create(spec)
    home = data_dir / "servers" / "server-1"
    for stamp in ("created", "suspended"):
        (home / stamp).unlink()
    made_at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    os.utime(home / "incoming", (made_at.timestamp(),) * 2)
    os.utime(home / "files", (0, 0))  # the customer's: nothing there says when the server was made
    assert host.tenants() == [Tenant("server-1", "x", made_at, (), None)]


def test_what_runs_again_without_a_command_is_not_suspended(data_dir: Path) -> None:
    host = LocalHost(data_dir, {"game": ["cat"]})
    spec = ServerSpec("server-1", "x", "game", 0)
    host.create(spec)
    host.start(spec)
    (data_dir / "servers" / "server-1" / "suspended").write_text("2026-03-01T00:00:00+00:00")  # died before it was told
    assert host.tenant(spec).suspended_at is None
    host.kill(spec)
    suspended_at = host.tenant(spec).suspended_at
    assert suspended_at is not None
    assert datetime.now(UTC) - suspended_at < timedelta(minutes=1)
