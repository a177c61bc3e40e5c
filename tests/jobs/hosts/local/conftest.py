"""Hosts for the tests, each in a directory with a space in its name, and nothing left running behind any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost, stop_everything
from tests.jobs.hosts.local import programs
from tests.jobs.hosts.waiting import eventually, processes_that_mention

PROJECT = Path(__file__).resolve().parents[4]
SPEC = ServerSpec("server-1", "Ada's world", "game", 0)

Running = Callable[[list[str]], LocalHost]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a data dir"
    path.mkdir()
    yield path
    stop_everything(path)
    eventually(lambda: not processes_that_mention(path))


@pytest.fixture
def host(data_dir: Path) -> LocalHost:
    """A host with one server, `SPEC`, that is not started."""
    made = LocalHost(data_dir, {"game": programs.ECHO})
    made.create(SPEC)
    return made


@pytest.fixture
def running(data_dir: Path) -> Running:
    """Start a server, `SPEC`, that runs the given program, and wait until it is set up."""

    def run(program: list[str]) -> LocalHost:
        made = LocalHost(data_dir, {"game": program})
        made.create(SPEC)
        made.start(SPEC)
        eventually(lambda: "ready" in made.read_console(SPEC, None)[1])
        return made

    return run


@pytest.fixture
def files(data_dir: Path, host: LocalHost) -> Path:
    """The root of the server's files, as the machine sees it."""
    assert host.observe(SPEC).observed == "stopped"
    return data_dir / "servers" / SPEC.server_id / "files"
