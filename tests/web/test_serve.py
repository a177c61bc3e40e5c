"""`forbear serve` as a process: on loopback, gone soon after SIGTERM, and one sentence when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from jobs.certificates import certificates
from storage import policies
from storage.database import Database
from storage.settings import SHIPPED_POLICY, Settings
from tests.web.site import polling

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(database_url: str, redis_url: str, data: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command, and see to it that it ends."""
    environment = {
        **os.environ,
        "FORBEAR_DATABASE_URL": database_url,
        "FORBEAR_REDIS_URL": redis_url,
        "FORBEAR_DATA": str(data),
        "FORBEAR_ADMIN_TOKEN": "very-secret",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "forbear", "serve", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_it_serves_on_loopback_and_ends_on_sigterm(database_url: str, redis_url: str, tmp_path: Path) -> None:
    database = Database(Settings(database_url=database_url))
    policies.deploy_folder(database.engine, SHIPPED_POLICY, {}, by="test")
    database.close()
    port = free_port()
    with served(database_url, redis_url, tmp_path, "--port", str(port)) as process:
        health = None
        for _ in polling(60):
            try:
                health = httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False, verify=certificates())
                break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()[0]
        assert health is not None
        assert health.status_code == 200
        assert "server" not in health.headers
        listening = Path(f"/proc/{process.pid}/net/tcp")
        if listening.exists():
            mine = [line.split()[1] for line in listening.read_text().splitlines() if f":{port:04X} " in line]
            assert all(address.startswith("0100007F:") for address in mine if address.endswith(f":{port:04X}"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "very-secret" not in process.communicate()[0]


def test_a_port_that_is_taken_is_one_sentence(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with served(database_url, redis_url, tmp_path, "--port", str(port)) as process:
            said = process.communicate(timeout=60)[0]
    assert process.returncode not in (0, None)
    assert f"port {port} of 127.0.0.1" in said
    assert "Traceback" not in said
