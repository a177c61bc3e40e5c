"""Parts that are forked off `forbear up`: each as a process of its own that was just started would be."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from jobs.forked import PARTS, can_fork, load
from storage.processes import own_code

# In a process of its own: this one has threads. What `forbear` prints ends in the log, and so does how it ended here.
STORY = """
import json, os, signal, sys, time
from pathlib import Path
from jobs.forked import Forked, can_fork
folder = Path(sys.argv[1])
here = {"FORBEAR_DATA": str(folder), "FORBEAR_DATABASE_URL": sys.argv[2], "FORBEAR_REDIS_URL": "redis://127.0.0.1:1/0"}
os.environ["FORBEAR_LOG"] = "nonsense"
left_open = (folder / "left open").open("w")
signal.signal(signal.SIGTERM, lambda *_: None)
assert can_fork()

def run(name, *words):
    return Forked(words, log=folder / name, environment=here)

def ended(process):
    while process.exit_status() is None:
        time.sleep(0.01)
    return process.exit_status()

told = {name: ended(run(name, *words)) for name, words in {"good": ["--version"], "bad": ["worker", "none"]}.items()}
waiting = run("waiting", "worker", "repair")
while not (folder / "waiting").exists() or "database" not in (folder / "waiting").read_text():
    time.sleep(0.01)
seen = Path("/proc") / str(waiting.pid)
status = dict(line.split(":", 1) for line in (seen / "status").read_text().splitlines())
told |= {
    "title": (seen / "cmdline").read_text().rstrip(" \\0"),
    "open": [str(entry.readlink()) for entry in (seen / "fd").iterdir()],
    "session": os.getsid(waiting.pid) == waiting.pid,
    "ignored": int(status["SigIgn"], 16), "blocked": int(status["SigBlk"], 16), "umask": int(status["Umask"], 8),
    "folder": str((seen / "cwd").resolve()),
}
waiting.send(signal.SIGTERM)
told["asked"] = ended(waiting)
waiting.send(signal.SIGTERM)
stubborn = run("killed", "worker", "repair")
stubborn.kill()
told["killed"] = stubborn.exit_status()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forked with spaces")


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    nowhere = "postgresql://nobody@127.0.0.1:1/nowhere"
    ran = subprocess.run(
        [sys.executable, "-c", STORY, folder, nowhere], check=False, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_each_ends_with_the_status_of_its_command_and_writes_to_its_log(folder: Path, told: dict[str, Any]) -> None:
    assert (told["good"], told["bad"]) == (0, 2)
    assert (folder / "good").read_text().startswith("forbear ")
    assert "'none' is not one of" in (folder / "bad").read_text()
    assert told["killed"] == -signal.SIGKILL
    assert told["asked"] in (0, -signal.SIGTERM)


def test_each_is_called_what_it_does(folder: Path, told: dict[str, Any]) -> None:
    assert told["title"] == f"forbear worker repair of {folder}"


def test_none_inherits_what_is_open_or_how_signals_are_taken(folder: Path, told: dict[str, Any]) -> None:
    assert str(folder / "left open") not in told["open"]
    assert told["session"]
    assert told["folder"] == str(folder)
    assert told["umask"] == 0o077
    assert told["blocked"] == 0
    assert told["ignored"] & 1 << signal.SIGPIPE - 1, "a reader that went away is an error, and no end"
    assert not told["ignored"] & 1 << signal.SIGTERM - 1


def test_a_process_with_threads_is_not_forked() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    forks = can_fork()
    release.set()
    thread.join()
    assert not forks


def test_whoever_forks_has_loaded_every_part_and_knows_its_code() -> None:
    own_code.cache_clear()
    load()
    assert set(PARTS) <= sys.modules.keys()
    assert own_code.cache_info().currsize == 1
