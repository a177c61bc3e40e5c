"""What every part of the contract stands on: one server on a host without others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import (
    Host,
    ServerSpec,
)
from tests.jobs.hosts.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


class ContractFloor:
    """A subclass provides the fixture `empty_host`: a host without servers that can run servers of kind `game`."""

    SPEC = ServerSpec("5b2a4d0e-contract", "Ada's world", "game", 0)
    STOP_SECONDS = 10.0
    # False where a host starts by itself just what was last started, so that a stop says both
    AUTOSTART_OUTLIVES_A_STOP = True

    @pytest.fixture
    def created(self, empty_host: Host) -> Host:
        empty_host.create(self.SPEC)
        return empty_host

    @pytest.fixture
    def started(self, created: Host) -> Host:
        created.start(self.SPEC)
        eventually(lambda: self.is_up(created))
        return created

    def is_up(self, host: Host) -> bool:
        """Whether the server has done what it does at its start."""
        return host.observe(self.SPEC).observed == "running"

    def put(self, host: Host, text: str) -> None:
        """Let the server keep this text."""
        raise NotImplementedError

    def held(self, host: Host) -> str:
        """Return the text that the server keeps."""
        raise NotImplementedError

    def refusals(self, host: Host) -> list[Callable[[], object]]:
        """Commands that the host refuses."""
        return [lambda: host.start(replace(self.SPEC, server_id="nobody"))]
