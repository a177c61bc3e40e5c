"""A Docker host on an Engine of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from jobs.hosts.base import ServerSpec
from jobs.hosts.docker.host import DockerHost
from jobs.hosts.docker.options import DockerOptions, KindOptions
from tests.doubles.docker import DockerDouble

SPEC = ServerSpec("server-1", "Ada's world", "game", 0)
NAME = "forbear-server-1"


PATIENCE_SECONDS = 30.0


def host_of(engine: DockerDouble, folder: Path, *, kind: type[DockerHost] = DockerHost) -> DockerHost:
    """Make a host with much patience: a machine that runs other tests is slow, and no fault."""
    kinds = {"game": KindOptions("game:1", port=25565, environment={"EULA": "true"}, memory_mb=512, cpus=2)}
    options = DockerOptions(engine.url, folder, kinds, timeout_seconds=PATIENCE_SECONDS, settle_seconds=0.1)
    return kind("docker1", options)


def wait_for(host: DockerHost, seconds: float = PATIENCE_SECONDS) -> None:
    """Let a host have little patience, where it is sure to be waited out, or much again."""
    host._engine.client.timeout = cast("int", seconds)  # the stubs know no fractions


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DockerDouble]:
    root = tmp_path / "volumes"
    root.mkdir()
    with DockerDouble(root) as double:
        yield double


@pytest.fixture
def empty_host(engine: DockerDouble, tmp_path: Path) -> DockerHost:
    return host_of(engine, tmp_path / "kept apart")


@pytest.fixture
def host(empty_host: DockerHost) -> DockerHost:
    """A host with one server, `SPEC`, that is not started."""
    empty_host.create(SPEC)
    return empty_host


@pytest.fixture
def running(host: DockerHost) -> DockerHost:
    """A host with one server, `SPEC`, that runs and starts by itself."""
    host.start(SPEC)
    host.set_autostart(SPEC, on=True)
    return host
