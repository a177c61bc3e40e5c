"""A server as a child process: started through `launch.py`, waited for, stopped in steps, always reaped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
# The user that servers run as when root starts them: the one without rights that every system has ("nobody").
UNPRIVILEGED_UID = 65_534
NOBODY_ELSE = -1
ASK_AGAIN_SECONDS = 2.0


def server_uid(owned: Path | None = None) -> int:
    """Return the uid that a server must run as, or -1 for "as who we are". Data that exists is served by its owner."""
    if os.geteuid() != 0:
        return NOBODY_ELSE
    owner = owned.stat().st_uid if owned is not None and owned.exists() else 0
    return owner or UNPRIVILEGED_UID


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back the signals that may raise, so that a process just started is always known to whoever must stop it.

    What is started meanwhile does not keep the mask: the launcher clears it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Child:
    """One running program whose output goes to a log."""

    def __init__(
        self,
        program: Sequence[str | Path],
        *,
        log: Path,
        uid: int = NOBODY_ELSE,
        death_signal: signal.Signals = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> None:
        """Start it, in the folder of its log.

        death_signal: what the program gets when this process dies; it counts from the thread that starts it, so start
        from one that stays. environment: None for next to nothing, as suits a server that is not ours.
        """
        if environment is None:
            environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": str(log.parent)}
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(uid), str(int(death_signal)), str(os.getpid())]
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # A session of its own: Ctrl-C at a terminal reaches only us, and we stop things in the right order.
            self._process = subprocess.Popen(
                [*launcher, *map(str, program)],
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(output)
        if stdin is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(stdin)
                self._process.stdin.close()
            except BrokenPipeError:
                pass  # It died at once: whoever waits for it sees that, and its log.

    @property
    def pid(self) -> int:
        """Return the process id; the launcher becomes the program, so they share it."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """Return how it ended, reaping it; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait until it has ended. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; harmless when it has ended."""
        self._process.send_signal(number)

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn, giving it so many seconds, and SIGKILL in the end."""
        for number, seconds in steps:
            deadline = time.monotonic() + seconds
            while self._process.poll() is None and time.monotonic() < deadline:
                # Again and again: one that arrives before the program listens to it may have been ignored.
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(min(seconds, ASK_AGAIN_SECONDS))
        self.kill()

    def kill(self) -> None:
        """Kill it at once and reap it."""
        self._process.kill()
        self._process.wait()
