"""Real workers and controllers for tests: started, stopped in the middle of an intent, killed, and started again.

They are forked off a server that has imported everything once: a process a test costs milliseconds, not a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from jobs.faults import Moment, marker
from tests.jobs.floor import Floor
from tests.storage.deployment import PATIENCE_SECONDS, eventually

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.jobs.preloaded"])


def be_forbear(words: Sequence[str], environment: dict[str, str], log: Path) -> None:
    """Become `forbear` with these words, in a process just forked."""
    from forbear import main

    os.environ.update(environment)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    main(list(words))


class Crew:
    """The processes of one test."""

    def __init__(self, floor: Floor, folder: Path, **settings: str) -> None:
        self.floor = floor
        self.folder = folder
        self.settings = settings
        self.running: list[BaseProcess] = []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "processes.log").touch()

    def start(self, *words: str, **settings: str) -> BaseProcess:
        """Start `forbear` with these words."""
        environment = {
            "FORBEAR_DATABASE_URL": self.floor.url,
            "FORBEAR_REDIS_URL": self.floor.settings.redis_url,
            "FORBEAR_DATA": str(self.floor.settings.data_dir),
            "FORBEAR_TEST_CLOCK": "1",
            "FORBEAR_DELETION": "on" if self.floor.settings.deletion else "off",
            "FORBEAR_TICK_MILLISECONDS": "100",
            **self.settings,
            **settings,
        }
        process = forks.Process(target=be_forbear, args=(words, environment, self.folder / "processes.log"))
        process.start()
        self.running.append(process)
        return process

    def worker(self, queue: str = "billing_enforcement", pause_at: str = "") -> BaseProcess:
        """Start a worker; `pause_at` is where it stops in the middle."""
        return self.start("worker", queue, FORBEAR_TEST_PAUSE_AT=pause_at)

    def controller(self) -> BaseProcess:
        """Start a controller."""
        return self.start("controller")

    def kill(self, process: BaseProcess) -> None:
        """End a process as a power cut would."""
        self.signal(process, signal.SIGKILL)
        self.ended(process)

    def ask_to_stop(self, process: BaseProcess) -> int:
        """End a process in order; return its status."""
        self.signal(process, signal.SIGTERM)
        return self.ended(process)

    def signal(self, process: BaseProcess, number: signal.Signals) -> None:
        """Send a signal."""
        assert process.pid is not None
        os.kill(process.pid, number)

    def ended(self, process: BaseProcess) -> int:
        """Wait until it has ended; return its status."""
        process.join(PATIENCE_SECONDS)
        assert process.exitcode is not None, self.log()
        self.running.remove(process)
        return process.exitcode

    def wait_for_pause(self, intent: str, moment: Moment) -> Path:
        """Wait until a worker stands in the middle of an intent; return the marker that holds it there."""
        file = marker(self.floor.settings.data_dir, intent, moment)
        eventually(file.exists, f"a worker stops {moment} of {intent}\n{self.log()}")
        return file

    def log(self) -> str:
        """Return what the processes said."""
        return (self.folder / "processes.log").read_text(errors="replace")[-6000:]

    def end(self) -> None:
        """Kill what is left."""
        for process in list(self.running):
            self.kill(process)


@contextmanager
def crew_on(floor: Floor, folder: Path, **settings: str) -> Iterator[Crew]:
    """Lend a crew whose processes are gone afterwards."""
    crew = Crew(floor, folder, **settings)
    try:
        yield crew
    finally:
        crew.end()
