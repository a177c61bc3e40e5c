"""The local host under the contract of all hosts, running the demo game server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import HostMisconfigured, HostUnavailable, ServerSpec
from jobs.hosts.local.host import LocalHost, default_commands
from jobs.hosts.local.layout import IdRefused
from tests.jobs.hosts.contract import HostContract

if TYPE_CHECKING:
    from pathlib import Path


class TestLocalHost(HostContract):
    @pytest.fixture
    def empty_host(self, data_dir: Path) -> LocalHost:
        return LocalHost(data_dir, default_commands())


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
    with pytest.raises(HostUnavailable, match="damaged"):
        host.observe_all()
    record.unlink()
