"""The child processes of `forbear up`: started together, again after a crash, stopped together; their logs bounded."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jobs.forked import Forked, can_fork
from storage.embedded import logs
from storage.embedded.process import Child, signals_held

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A process that ran this long had started well: its next crash is a new one.
STABLE_SECONDS = 60.0
# What a worker needs at most to finish the effect that it is in the middle of.
STOP_PATIENCE_SECONDS = 25.0
# A process that was just starting may not have listened to the first signal.
ASK_AGAIN_SECONDS = 3.0


class Service:
    """One process that has to be there, of another program."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self.child: Child | Forked | None = None
        self.started_at = 0.0
        self.log_start = 0
        self.crashes_in_a_row = 0
        self.start_again_at = 0.0

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it; secrets go by environment, never by argument."""
        self.log_start = logs.size_bytes(self.log)
        with signals_held():
            self.child = self.begin(environment)
        self.started_at = time.monotonic()

    def begin(self, environment: Mapping[str, str]) -> Child | Forked:
        """Make the process, while no signal breaks that off."""
        return Child(self.command, log=self.log, environment=environment)

    def exit_status(self) -> int | None:
        """Return how it ended; None while it runs or before it was started."""
        return self.child.exit_status() if self.child is not None else None

    def last_words(self) -> list[str]:
        """Return the last lines that it logged since its start."""
        return logs.last_lines(self.log, since_bytes=self.log_start)

    def note_crash(self, now: float) -> float:
        """Plan the next start, later after each crash in a row. Returns the pause in seconds."""
        self.child = None
        self.crashes_in_a_row = 1 if now - self.started_at > STABLE_SECONDS else self.crashes_in_a_row + 1
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self.crashes_in_a_row - 1, 10))
        self.start_again_at = now + pause
        return pause


class Part(Service):
    """One process of `forbear` itself, which need not import anything again where that can be spared."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.words = tuple(words)
        super().__init__(" ".join(words), [sys.executable, "-m", "forbear", *words], log)

    def begin(self, environment: Mapping[str, str]) -> Child | Forked:
        """Fork it off, or start it anew where that is not safe."""
        if can_fork():
            return Forked(self.words, log=self.log, environment=environment)
        return super().begin(environment)


class Supervisor:
    """Keeps a set of services running. Everything happens in the thread that calls, which must be one that stays."""

    def __init__(self, services: Sequence[Service], environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.services = tuple(services)
        self.environment = dict(environment)
        self.say = say

    def start(self) -> None:
        """Start every service."""
        for service in self.services:
            service.start(self.environment)

    def pids(self) -> list[int]:
        """Return the process ids of those that run."""
        return [service.child.pid for service in self.services if service.child is not None]

    def first_ended(self) -> Service | None:
        """Return a service that has ended, if one has."""
        return next((service for service in self.services if service.exit_status() is not None), None)

    def look_after(self) -> None:
        """Start again what has crashed, when its pause is over; cut logs that have grown too long."""
        now = time.monotonic()
        for service in self.services:
            status = service.exit_status()
            if status is not None:
                pause = service.note_crash(now)
                how = f"status {status}" if status >= 0 else f"signal {-status}"
                self.say(f"{service.name} ended ({how}), starting it again in {pause:g} s; its log: {service.log}")
            if service.child is None and now >= service.start_again_at:
                service.start(self.environment)
            logs.trim(service.log)

    def restart(self, environment: Mapping[str, str]) -> None:
        """Start every service anew with other addresses."""
        self.stop(lambda: False)
        self.environment = dict(environment)
        self.start()

    def stop(self, hurried: Callable[[], bool]) -> None:
        """Ask all to end, give them time to finish what they are doing, less when hurried, and reap them."""
        children = [service.child for service in self.services if service.child is not None]
        deadline = time.monotonic() + STOP_PATIENCE_SECONDS
        ask_at = 0.0
        while any(child.exit_status() is None for child in children):
            now = time.monotonic()
            if now > deadline or hurried():
                break
            if now >= ask_at:
                ask_at = now + ASK_AGAIN_SECONDS
                for child in children:
                    child.send(signal.SIGTERM)
            time.sleep(0.02)
        for child in children:
            child.kill()
        for service in self.services:
            service.child = None
