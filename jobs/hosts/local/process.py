"""Starting, observing and ending a server's processes, from outside its supervisor.

Whether a server runs is never read from a process id: its supervisor holds a lock for as long as it lives, and all that
the server runs carries the mark of its launch. Both are facts of the kernel that no crash can leave wrong.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.hosts.base import LaunchFailed, Observation
from jobs.hosts.local import locks
from jobs.hosts.local.console import ALIVE_NAME
from jobs.hosts.local.identity import LAUNCH_VARIABLE, ON_LINUX, identity_of, launched_processes, signal_if_same
from jobs.hosts.local.ports import listening_port
from jobs.hosts.local.shim import CONTROL_NAME, EXIT_NAME, RECORD_NAME, describe_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobs.hosts.base import ServerSpec
    from jobs.hosts.local.layout import ServerPlace

    Launched = Callable[[], Mapping[str, list[int]]]

LAUNCH_SECONDS = 20.0
FORCED_SECONDS = 6.0
"""How long a supervisor may take to end a server by force, and everything that the server left behind."""

_POLL_SECONDS = 0.01
_PORTS_KEPT = 10_000
_ports: dict[tuple[str, str], int] = {}
"""Server's directory and launch -> port."""
_PROJECT = Path(__file__).resolve().parents[3]
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def launch(place: ServerPlace, spec: ServerSpec, command: Sequence[str]) -> None:
    """Start the server under a supervisor of its own. The caller holds the command lock and knows that it is stopped.

    Raises LaunchFailed.
    """
    end_leftovers(place)
    mark = secrets.token_hex(16)
    order = {"command": list(command), "environment": _server_environment(place, spec, mark), "launch": mark}
    try:
        # -P: the working directory must never become a place to import from
        answer = subprocess.run(
            [sys.executable, "-P", "-s", "-m", "jobs.hosts.local.shim", str(place.home)],
            input=json.dumps(order).encode(),
            capture_output=True,
            cwd="/",
            env=_shim_environment(),
            timeout=LAUNCH_SECONDS,
            check=False,
        )
        said = json.loads(answer.stdout)
    except subprocess.TimeoutExpired:
        raise LaunchFailed(place.server_id, "it did not start in time") from None
    except json.JSONDecodeError:
        detail = answer.stderr.decode("utf-8", "replace")[-500:]
        raise LaunchFailed(place.server_id, "its supervisor could not be run", detail) from None
    if not said["started"]:
        raise LaunchFailed(place.server_id, said["reason"], said["detail"])


def observe(place: ServerPlace, launched: Launched = launched_processes) -> Observation:
    """See whether anything of the server runs. `launched` can save looking at all processes again for each server."""
    if not place.home.is_dir():
        return Observation("missing", None, "no such server")
    autostart = place.autostart.exists()
    alive = place.run / ALIVE_NAME
    if locks.is_held(alive):
        return Observation("running", autostart, _running_detail(place))
    record = _read(place.run / RECORD_NAME)
    if record is None:
        return Observation("stopped", autostart, _stopped_detail(place))
    left = _left_over(record, launched)
    if locks.is_held(alive):  # it was started between the two looks
        return Observation("running", autostart, _running_detail(place))
    if left:
        return Observation("running", autostart, f"{len(left)} of its processes outlived its supervisor")
    return Observation("stopped", autostart, "its supervisor was killed, and the server with it")


def port_of(place: ServerPlace, launched: Launched = launched_processes) -> int | None:
    """Return the port that a running server listens on; `None` until it listens. Looked for once in each launch."""
    record = _read(place.run / RECORD_NAME)
    if record is None:
        return None
    key = str(place.home), str(record["launch"])
    if key not in _ports:
        port = listening_port(launched().get(record["launch"], []), place.read_spec().port)
        if port is None:
            return None
        if len(_ports) >= _PORTS_KEPT:
            _ports.clear()
        _ports[key] = port
    return _ports[key]


def is_supervised(place: ServerPlace) -> bool:
    """Tell whether the server's supervisor lives."""
    return locks.is_held(place.run / ALIVE_NAME)


def is_running(place: ServerPlace) -> bool:
    """Tell whether anything of the server runs."""
    return observe(place).observed == "running"


def ask_to_stop(place: ServerPlace, grace_seconds: float) -> bool:
    """Tell the server's supervisor to end it, by force after `grace_seconds`. False when none is listening."""
    try:
        descriptor = os.open(place.run / CONTROL_NAME, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            os.write(descriptor, f"stop {grace_seconds:f}\n".encode())
        finally:
            os.close(descriptor)
    except BlockingIOError:
        return True  # full of requests that a supervisor in trouble has not read; it is killed in the end
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.ENOENT, errno.EPIPE):
            raise
        return False
    return True


def await_end(
    place: ServerPlace, grace_seconds: float, *, asked: bool = False, forced_seconds: float = FORCED_SECONDS
) -> Observation:
    """Wait until nothing of the server runs, asking and in the end killing its supervisor; return what is then seen."""
    alive = place.run / ALIVE_NAME
    force_at = time.monotonic() + grace_seconds + forced_seconds
    while locks.is_held(alive) and time.monotonic() < force_at:
        asked = asked or ask_to_stop(place, grace_seconds)
        time.sleep(_POLL_SECONDS)
    if locks.is_held(alive):
        _kill_supervisor(place)
    end_leftovers(place)
    return observe(place)


def end_leftovers(place: ServerPlace) -> None:
    """Kill what outlived a killed supervisor."""
    deadline = time.monotonic() + FORCED_SECONDS
    while not locks.is_held(place.run / ALIVE_NAME) and time.monotonic() < deadline:
        record = _read(place.run / RECORD_NAME)
        left = _left_over(record, launched_processes) if record else {}
        if not left:
            return
        for pid, identity in left.items():
            signal_if_same(pid, identity, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _kill_supervisor(place: ServerPlace) -> None:
    """End a supervisor that does not answer; the kernel then ends the server with it."""
    record = _read(place.run / RECORD_NAME)
    if record is None:
        return
    deadline = time.monotonic() + FORCED_SECONDS
    signal_if_same(record["shim_pid"], record["shim_identity"], signal.SIGKILL)
    while locks.is_held(place.run / ALIVE_NAME) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _left_over(record: dict[str, Any], launched: Launched) -> dict[int, str | None]:
    """Find what runs on of a launch whose supervisor is gone, with the identity of each."""
    if ON_LINUX:
        pids = launched().get(record["launch"], [])
        found = {pid: identity_of(pid) for pid in pids}
        return {pid: identity for pid, identity in found.items() if identity is not None}
    if record["identity"] is not None and identity_of(record["pid"]) == record["identity"]:
        return {record["pid"]: record["identity"]}
    return {}


def _running_detail(place: ServerPlace) -> str:
    record = _read(place.run / RECORD_NAME)
    return "starting or ending" if record is None else f"process {record['pid']}"


def _stopped_detail(place: ServerPlace) -> str:
    ended = _read(place.run / EXIT_NAME)
    if ended is None:
        return "never started"
    return describe_exit(ended) + (", as asked" if ended["asked"] else "")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found


def _server_environment(place: ServerPlace, spec: ServerSpec, mark: str) -> dict[str, str]:
    """Build what the server may know: nothing of ours, above all no secret."""
    return {
        "PATH": os.environ.get("PATH", _DEFAULT_PATH),
        "LANG": "C.UTF-8",
        "HOME": str(place.files),
        "PORT": str(spec.port),
        "SERVER_ID": spec.server_id,
        "SERVER_NAME": spec.name.replace("\0", ""),
        LAUNCH_VARIABLE: mark,
    }


def _shim_environment() -> dict[str, str]:
    environment = {
        "PATH": os.environ.get("PATH", _DEFAULT_PATH),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(_PROJECT),
        "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
    }
    if up_pid := os.environ.get("FORBEAR_UP_PID"):
        environment["FORBEAR_UP_PID"] = up_pid  # the supervisor leaves when that process does
    return environment
