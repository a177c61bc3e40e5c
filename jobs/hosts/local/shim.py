"""The supervisor of one server: a small detached process between the host and the server's own process.

It outlives the worker that started it, feeds the console pipe to the server, keeps the console log, and records how the
server ended. It restarts nothing: whether a server should run is not its business. Run as
`python -m jobs.hosts.local.shim HOME`, with the order as JSON on standard input; answers one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from jobs.hosts.local import locks
from jobs.hosts.local.console import ALIVE_NAME, INPUT_NAME, ConsoleLog
from jobs.hosts.local.identity import ON_LINUX, children_of, handle_of, identity_of
from jobs.hosts.local.layout import write_whole

CONTROL_NAME = "control"
RECORD_NAME = "process.json"
EXIT_NAME = "exit.json"
DEFAULT_GRACE_SECONDS = 10.0

_CHUNK_BYTES = 64 * 1024
_LOOK_AROUND_SECONDS = 2.0
_ALIVE_WAIT_SECONDS = 3.0
_ENDING_SECONDS = 5.0
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


class Supervisor:
    """One run of one server, from its start to its recorded end."""

    def __init__(self, home: Path, order: dict[str, Any]) -> None:
        self._home = home
        self._run = home / "run"
        self._launch: str = order["launch"]
        self._up_pid = int(os.environ.get("FORBEAR_UP_PID") or 0)
        self._run_directory = os.open(self._run, os.O_RDONLY | os.O_DIRECTORY)
        self._log = ConsoleLog(self._run)
        self._events = selectors.DefaultSelector()
        self._force_at: float | None = None
        self._asked = False
        self._exit_status: int | None = None
        self._watch_signals()
        self._watch_up()
        self._watch_control()
        self._spawn(order["command"], order["environment"])

    def supervise(self) -> None:
        """Stay until the server has ended and nothing of it is left."""
        while self._exit_status is None:
            for key, _ in self._events.select(self._patience()):
                key.data()
            self._look_around()
        self._end_the_rest()
        self._drain()
        self._record_end()

    # what the server is given

    def _spawn(self, command: list[str], environment: dict[str, str]) -> None:
        reading, writing = os.pipe()
        console = self._open_console()
        shim_pid = os.getpid()
        system = _linux_system()

        def prepare() -> None:
            if system is not None:
                # the server never outlives its supervisor, not even one that is killed hard
                system.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL))
                if os.getppid() != shim_pid:
                    os._exit(127)

        if system is not None:
            system.prctl(_SET_CHILD_SUBREAPER, 1)
        process = subprocess.Popen(
            command,
            cwd=self._home / "files",
            env=environment,
            stdin=console,
            stdout=writing,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - this process has one thread, so code between fork and exec is safe
        )
        os.close(console)
        os.close(writing)
        process.returncode = 0  # collected below, with whatever else the server leaves behind
        self._pid = process.pid
        self._output = reading
        self._events.register(reading, selectors.EVENT_READ, self._pump)
        try:
            self._record_start()
        except OSError:
            _signal_group(self._pid, signal.SIGKILL)
            raise

    def _open_console(self) -> int:
        """Make the console's pipe anew and return the server's end. Ours keeps it from ever seeing an end of input."""
        path = self._run / INPUT_NAME
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._console_keeper = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(reading, True)
        return reading

    # what it listens to

    def _watch_signals(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # a handler, for an ignored signal would stay ignored in the server
        self._signals = reading
        self._events.register(reading, selectors.EVENT_READ, self._on_signal)

    def _watch_up(self) -> None:
        """Notice when the `forbear up` that all this belongs to disappears."""
        try:
            self._up_handle = handle_of(self._up_pid) if self._up_pid else None
        except ProcessLookupError:
            raise OSError("the `forbear up` that it belongs to has ended") from None
        if self._up_handle is not None:
            self._events.register(self._up_handle, selectors.EVENT_READ, self._on_up_gone)

    def _watch_control(self) -> None:
        path = self._run / CONTROL_NAME
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        self._control = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._control_keeper = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        self._events.register(self._control, selectors.EVENT_READ, self._on_control)

    def _on_signal(self) -> None:
        received = os.read(self._signals, 512)
        if signal.SIGTERM in received:
            self._stop(DEFAULT_GRACE_SECONDS)
        self._collect()

    def _on_up_gone(self) -> None:
        self._up_pid = 0
        if self._up_handle is not None:
            self._events.unregister(self._up_handle)
        self._stop(_ENDING_SECONDS)

    def _on_control(self) -> None:
        for line in os.read(self._control, 4096).decode("ascii", "replace").splitlines():
            verb, _, seconds = line.partition(" ")
            if verb == "stop":
                with suppress(ValueError):
                    self._stop(float(seconds))

    def _pump(self) -> None:
        data = os.read(self._output, _CHUNK_BYTES)
        if not data:
            self._events.unregister(self._output)  # the server closed its output, and may well run on
            return
        with suppress(OSError):  # a full disk costs lines of the log, never the server
            self._log.feed(data)

    def _look_around(self) -> None:
        now = time.monotonic()
        if self._force_at is not None and now >= self._force_at:
            self._force_at = now + 1  # again, for what it may bring forth meanwhile
            _signal_group(self._pid, signal.SIGKILL)
        elif os.fstat(self._run_directory).st_nlink == 0:
            self._stop(0)  # the server's directory was removed: it has no business any more
        elif self._up_pid and not _exists(self._up_pid):
            self._on_up_gone()

    def _patience(self) -> float:
        if self._force_at is None:
            return _LOOK_AROUND_SECONDS
        return min(_LOOK_AROUND_SECONDS, max(0.0, self._force_at - time.monotonic()))

    # how it ends

    def _stop(self, grace_seconds: float) -> None:
        """Ask the server to end; a second request can only shorten the time it is given."""
        force_at = time.monotonic() + max(0.0, grace_seconds)
        if not self._asked and grace_seconds > 0:
            self._say("asked to stop")
            _signal_group(self._pid, signal.SIGTERM)
        self._asked = True
        self._force_at = force_at if self._force_at is None else min(self._force_at, force_at)

    def _collect(self) -> None:
        """Collect what ended: the server itself, or something it started and left to us."""
        if hasattr(os, "waitid"):
            # while it is still uncollected its id cannot name another group
            ended = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is not None:
                _signal_group(self._pid, signal.SIGKILL)
        while self._exit_status is None:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == self._pid:
                self._exit_status = status

    def _end_the_rest(self) -> None:
        """End what the server started and left behind; being their reaper, they are our children by now."""
        deadline = time.monotonic() + _ENDING_SECONDS
        while (left := children_of(os.getpid())) and time.monotonic() < deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            time.sleep(0.005)

    def _drain(self) -> None:
        os.set_blocking(self._output, False)
        with suppress(OSError):
            while data := os.read(self._output, _CHUNK_BYTES):
                self._log.feed(data)

    # what it leaves in writing

    def _record_start(self) -> None:
        record = {
            "launch": self._launch,
            "shim_pid": os.getpid(),
            "shim_identity": identity_of(os.getpid()),
            "pid": self._pid,
            "identity": identity_of(self._pid),
            "started_at": time.time(),
        }
        (self._run / EXIT_NAME).unlink(missing_ok=True)
        write_whole(self._run / RECORD_NAME, json.dumps(record).encode())
        self._say("started")

    def _record_end(self) -> None:
        status = self._exit_status or 0
        ended = {
            "launch": self._launch,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "asked": self._asked,
            "ended_at": time.time(),
        }
        self._say(describe_exit(ended))
        with suppress(OSError):  # the directory may be gone, or the disk full
            write_whole(self._run / EXIT_NAME, json.dumps(ended).encode())
        for name in (INPUT_NAME, CONTROL_NAME):
            (self._run / name).unlink(missing_ok=True)
        if not children_of(os.getpid()):  # otherwise the record stays, and observers go on looking for them
            (self._run / RECORD_NAME).unlink(missing_ok=True)

    def _say(self, text: str) -> None:
        with suppress(OSError):
            self._log.say(text)


def describe_exit(ended: dict[str, Any]) -> str:
    """Say in a few words how a server ended."""
    if ended["signal"] is not None:
        with suppress(ValueError):
            return f"ended by {signal.Signals(ended['signal']).name}"
        return f"ended by signal {ended['signal']}"
    return f"exited with code {ended['code']}"


def main() -> int:
    """Detach, start the server, and answer whether that worked; the detached process goes on supervising."""
    home = Path(sys.argv[1])
    order = json.load(sys.stdin)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _detached(home, order, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.readline() or b'{"started": false, "reason": "its supervisor died", "detail": ""}\n'
    sys.stdout.buffer.write(answer)
    return 0


def _detached(home: Path, order: dict[str, Any], answers: int) -> NoReturn:
    try:
        os.setsid()
        os.chdir("/")
        _redirect_standard_streams(home / "run" / "shim.log")
        supervisor = _begin(home, order, answers)
        os.close(answers)
        if supervisor is not None:
            supervisor.supervise()
    except BaseException:
        sys.excepthook(*sys.exc_info())  # into shim.log; the kernel then ends the server with us
        os._exit(1)
    os._exit(0)


def _begin(home: Path, order: dict[str, Any], answers: int) -> Supervisor | None:
    failed = {"started": False, "reason": "", "detail": ""}
    if locks.claim_for_life(home / "run" / ALIVE_NAME, _ALIVE_WAIT_SECONDS) is None:
        failed["reason"] = "it is already running"
    else:
        try:
            supervisor = Supervisor(home, order)
        except (OSError, ValueError) as error:
            failed.update(reason="its program could not be run", detail=str(error))
        else:
            os.write(answers, b'{"started": true}\n')
            return supervisor
    os.write(answers, json.dumps(failed).encode() + b"\n")
    return None


def _redirect_standard_streams(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    # emptied at each start, so that it stays small
    own_log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (own_log, 1), (own_log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(own_log)


def _linux_system() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if ON_LINUX else None


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main())
