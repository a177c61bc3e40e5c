"""Processes that are `forbear` once more: forked off one that has imported everything, not started as new interpreters.

Each would import the same again: most of a second of work, and a hundred megabytes that are shared so.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from setproctitle import setproctitle

from storage.embedded import launch
from storage.processes import own_code

PROGRAM = "forbear"
# What each part imports when it starts. By name, as a command line names it: what stands above is started from here.
PARTS = (
    "web.app",
    "web.commands",
    "uvicorn",
    "uvloop",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvicorn.lifespan.on",
    "jobs.alerts",
    "jobs.apply",
    "jobs.commands",
    "jobs.controller",
    "jobs.discord",
    "jobs.hosts.local.host",
    "jobs.tasks",
    "jobs.worker",
)

forks = multiprocessing.get_context("fork") if sys.platform == "linux" else None


def can_fork() -> bool:
    """Say whether forking is safe: frameworks of other systems do not outlive it, and neither do locks of threads."""
    return forks is not None and threading.active_count() == 1


def load() -> None:
    """Import what every part needs.

    A part that is started later runs the code that was loaded here, whatever lies on the disk by then: that is the code
    that it tells of in the list of processes.
    """
    for module in (PROGRAM, *PARTS):
        importlib.import_module(module)
    own_code()
    gc.freeze()  # else the first look for garbage writes to every page, and none is shared any more


class Forked:
    """One such process, whose output goes to a log; it dies with the thread that started it.

    INVARIANT: whoever starts it has no connection open that it goes on using: both would write to it.
    """

    def __init__(self, words: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        assert forks is not None
        given = (tuple(words), log, dict(environment), os.getpid())
        self._process = forks.Process(target=_become, args=given, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def exit_status(self) -> int | None:
        """Return how it ended, reaping it; None while it runs."""
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Send a signal; harmless when it has ended."""
        if self.exit_status() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it at once and reap it."""
        self._process.kill()
        self._process.join()


def _become(words: tuple[str, ...], log: Path, environment: dict[str, str], parent: int) -> None:
    """Turn a process just forked into what a new one would be, and run `forbear` with these words in it."""
    os.setsid()
    os.chdir(log.parent)
    _take_over_output(log)
    sys.unraisablehook = sys.__unraisablehook__
    signal.set_wakeup_fd(-1)
    if not launch.settle(signal.SIGKILL, parent):
        return
    # As an interpreter has them that was just started.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    setproctitle(" ".join([PROGRAM, *words, "of", environment["FORBEAR_DATA"]]))  # finds its place by the environment
    os.environ.clear()
    os.environ.update(environment)
    importlib.import_module(PROGRAM).main(list(words))


def _take_over_output(log: Path) -> None:
    """Write to the log, read nothing, and close all else that the process that forked has open."""
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, source in enumerate((nothing, opened, opened)):
        os.dup2(source, descriptor)
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > 2:
            os.closerange(number, number + 1)  # the one that listed them is closed already
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
