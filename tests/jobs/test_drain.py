"""Drain: when it returns, nothing that could proceed is left; what is held is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobs.drain import drain
from storage import holds, servers
from tests.jobs.floor import Floor


@contextmanager
def at_work(floor: Floor) -> Iterator[None]:
    """Let a controller and a worker run beside the test."""
    controller = floor.controller()
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            floor.carry_out()

    threads = [threading.Thread(target=controller.run), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        controller.stopping.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


def test_it_returns_at_rest(floor: Floor) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    with at_work(floor):
        floor.owe(account)
        floor.advance(0)
        assert drain(floor.database).waiting == 0
        assert floor.row(account)["warning_sent_at"] is not None
        for hours in (73, 49):
            floor.advance(hours)
            assert drain(floor.database).settled
        assert floor.row(account)["billing_status"] == "suspended"
        assert floor.host.running[str(server)] is False
        assert floor.seat(server).lifecycle == "stopped"
        assert len(floor.letters()) == 3


def test_it_sees_repairs_through(floor: Floor) -> None:
    server = floor.machine(floor.known_account())
    with at_work(floor):
        drain(floor.database)
        floor.host.running[str(server)] = False
        drain(floor.database)
        assert floor.seat(server).lifecycle == "running"
        assert floor.host.running[str(server)] is True


def test_it_sees_commands_through(floor: Floor) -> None:
    account = floor.known_account()
    with at_work(floor):
        with floor.begin() as conn:
            server, _ = servers.create(conn, floor.policy, account, name="new", kind="game", actor="Ada")
        assert drain(floor.database).settled
        assert floor.seat(server).lifecycle == "running"


def test_it_counts_what_is_held(floor: Floor) -> None:
    account = floor.known_account()
    with at_work(floor):
        floor.owe(account)
        drain(floor.database)
        with floor.begin() as conn:
            holds.set_hold(conn, floor.policy, "extension", account_id=account, until=None, by="test")
        floor.advance(100)
        done = drain(floor.database)
        assert (done.settled, done.waiting) == (True, 1)
        assert floor.row(account)["billing_status"] == "overdue_warning"


def test_it_is_bounded_when_nobody_leads(floor: Floor) -> None:
    floor.late()
    began = time.monotonic()
    done = drain(floor.database, patience_seconds=0.5)
    assert not done.settled
    assert done.waiting == 1
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("times", [3])
def test_it_is_quick_when_there_is_nothing_to_do(floor: Floor, times: int) -> None:
    with at_work(floor):
        drain(floor.database)
        began = time.monotonic()
        for _ in range(times):
            assert drain(floor.database).waiting == 0
        assert time.monotonic() - began < 20  # a tenth of a second each on a quiet machine
