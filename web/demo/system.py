"""The live system that the demo talks to: `forbear up` as a process of its own, spoken to over HTTP only."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Any

import httpx

from jobs.certificates import certificates
from storage.embedded.process import Child

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
FOREIGN_PREFIXES = ("FORBEAR_", "STRIPE_", "BILLING_")


class DemoFailed(Exception):
    """The demo cannot go on; says why."""


class System:
    """A running `forbear up` on a data directory, with secrets made for this run only."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.webhook_secret = f"whsec_{secrets.token_hex(16)}"
        self._admin_token = secrets.token_hex(24)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"{data.name}-up.log"
        self.ready_seconds = 0.0
        self.admin = self.client(self._admin_token)
        self._child: Child | None = None
        self._strangers: dict[int, str] = {}  # whoever named our folder before we began, such as the shell that ran us

    def client(self, token: str) -> httpx.Client:
        """Return a client that is signed in with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False, verify=certificates())

    def start(self) -> None:
        """Start everything and wait for its `ready` line. Raises DemoFailed with the end of its log."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
        environment = {
            **kept,
            "STRIPE_WEBHOOK_SECRET": self.webhook_secret,
            "FORBEAR_ADMIN_TOKEN": self._admin_token,
            "PYTHONUNBUFFERED": "1",
        }
        options = ["--data", str(self.data), "--port", str(self.port), "--test-clock"]
        self._strangers = self._marked()
        began = time.monotonic()
        self._child = Child(
            [sys.executable, "-m", "forbear", "up", *options],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment=environment,
        )
        for _ in polling(READY_SECONDS):
            if f"ready {self.url}" in self.tail(10_000).splitlines():
                self.ready_seconds = time.monotonic() - began
                return
            if (status := self._child.exit_status()) is not None:
                raise DemoFailed(f"`forbear up` ended with {status}:\n{self.tail()}")
        raise DemoFailed(f"`forbear up` was not ready after {READY_SECONDS:.0f} s:\n{self.tail()}")

    def tail(self, lines: int = 12) -> str:
        """Return the end of what `forbear up` printed."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    @property
    def alive(self) -> bool:
        """Whether `forbear up` still runs."""
        return self._child is not None and self._child.exit_status() is None

    def stop(self) -> int | None:
        """Stop everything; returns the exit status, None when it was never started."""
        self.admin.close()
        if self._child is None:
            return None
        if self._child.exit_status() is None:
            self._child.send(signal.SIGTERM)
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
        return self._child.exit_status()

    # ---- evidence that lies outside the API --------------------------------------------------------------------------

    def files(self, server_id: str) -> dict[str, str]:
        """Hash the customer's files of a server."""
        return hashes(self.data / "servers" / server_id / "files")

    def backups(self, server_id: str) -> dict[str, str]:
        """Hash the archives of a server's backups."""
        return {name: sha for name, sha in hashes(self.data / "backups" / server_id).items() if name.endswith(".gz")}

    def process(self, server_id: str) -> int | None:
        """Return the process id of a server's program while it lives."""
        record = self.data / "servers" / server_id / "run" / "process.json"
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = int(json.loads(record.read_text())["pid"])
            return pid if is_alive(pid) else None
        return None

    def mails(self) -> list[EmailMessage]:
        """Return every letter that left, oldest first."""
        folder = self.data / "mail" / "new"
        letters = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns) if folder.is_dir() else []
        return [message_from_bytes(file.read_bytes(), policy=modern) for file in letters]

    def left_behind(self) -> list[str]:
        """Name the processes that still belong to this run. Empty where the system shows no environments."""
        return [f"{pid} {name}" for pid, name in self._marked().items() if pid not in self._strangers]

    def _marked(self) -> dict[int, str]:
        """Find every process whose arguments or environment name our folder."""
        marks = (str(self.data).encode(), str(self.log).encode())
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            if int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                shown = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
                if any(mark in shown for mark in marks):
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
        return found


def moment(at: str | None) -> str:
    """Write an instant of the API for people."""
    return f"{at[:16].replace('T', ' ')} UTC" if at else "never"


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not collected yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    return True


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink()
    }


def seal(found: dict[str, str]) -> str:
    """Name a set of files by one short hash over all their names and contents."""
    whole = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return f"{len(found)} file{'s' * (len(found) != 1)}, sha256 {whole[:12]}…"


def free_port() -> int:
    """Return a loopback port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def polling(seconds: float, every_seconds: float = 0.05) -> Iterator[None]:
    """Yield until the time is over: a bounded wait for a condition that the caller checks."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(every_seconds)


def eventually(seconds: float, condition: Callable[[], Any]) -> Any:
    """Return what the condition gives as soon as it is truthy, or what it gave last."""
    found = condition()
    for _ in polling(seconds):
        if found:
            break
        found = condition()
    return found
