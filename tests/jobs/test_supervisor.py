"""The processes of `forbear up`: started again after a crash, ever later, and stopped without losing work in hand."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import supervisor as supervision
from jobs.supervisor import Service, Supervisor

PATIENT = """
import os, signal, sys, time
def leave(number, frame):
    time.sleep(float(sys.argv[1]))
    print("finished", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
print("up", os.environ["SECRET"], flush=True)
while True:
    time.sleep(60)
"""


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        time.sleep(0.02)


def contains(log: Path, words: str) -> Callable[[], bool]:
    return lambda: log.exists() and words in log.read_text()


class Family:
    """A supervisor of some services, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.supervisor = Supervisor([], {}, self.said.append)

    def start(self, *codes: tuple[str, ...]) -> list[Service]:
        services = [
            Service(f"service {number}", [sys.executable, "-c", *code], self.folder / f"{number}.log")
            for number, code in enumerate(codes)
        ]
        self.supervisor = Supervisor(services, os.environ | {"SECRET": "s3cret"}, self.said.append)
        self.supervisor.start()
        return services


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(tmp_path)
    yield family
    family.supervisor.stop(lambda: True)


def test_a_killed_service_is_started_again_and_that_is_said(family: Family) -> None:
    (service,) = family.start((PATIENT, "0"))
    wait_until(contains(service.log, "up s3cret"))
    (pid,) = family.supervisor.pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: family.supervisor.first_ended() is service)

    def is_back() -> bool:
        family.supervisor.look_after()
        return service.child is not None

    wait_until(is_back)
    assert family.supervisor.pids() != [pid]
    assert "service 0 ended (signal 9), starting it again in 0.5 s" in family.said[0]


def test_pauses_grow_with_crashes_in_a_row_up_to_a_bound(tmp_path: Path) -> None:
    service = Service("crashing", [sys.executable], tmp_path / "log")
    pauses = [service.note_crash(service.started_at + 1) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert service.note_crash(service.started_at + supervision.STABLE_SECONDS + 1) == 0.5


def test_one_crashing_service_leaves_the_others_alone(family: Family) -> None:
    steady, crashing = family.start((PATIENT, "0"), ("raise SystemExit(3)",))
    wait_until(contains(steady.log, "up"))
    (pid, _) = family.supervisor.pids()
    wait_until(lambda: family.supervisor.first_ended() is crashing)
    family.supervisor.look_after()
    assert "status 3" in family.said[0]
    assert steady.child is not None
    assert steady.child.pid == pid


def test_stop_waits_for_work_in_hand(family: Family) -> None:
    services = family.start((PATIENT, "0.5"), (PATIENT, "0.5"))
    for service in services:
        wait_until(contains(service.log, "up"))
    family.supervisor.stop(lambda: False)
    for service in services:
        assert "finished" in service.log.read_text()
        assert service.child is None


def test_a_hurried_stop_does_not_wait(family: Family) -> None:
    (service,) = family.start((PATIENT, "60"))
    wait_until(contains(service.log, "up"))
    (pid,) = family.supervisor.pids()
    began = time.monotonic()
    family.supervisor.stop(lambda: True)
    assert time.monotonic() - began < 20, "it would take 25"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_last_words_are_of_this_start_only(family: Family) -> None:
    (family.folder / "0.log").write_text("from the last time\n")
    (service,) = family.start(("raise SystemExit('no good')",))
    wait_until(lambda: service.exit_status() is not None)
    assert service.last_words() == ["no good"]


def test_other_addresses_reach_every_service(family: Family) -> None:
    (service,) = family.start((PATIENT, "0"))
    wait_until(contains(service.log, "up s3cret"))
    family.supervisor.restart(os.environ | {"SECRET": "another"})
    wait_until(contains(service.log, "up another"))
