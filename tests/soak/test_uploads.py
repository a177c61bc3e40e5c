"""A gibibyte through the door of a server: in, and out again, in the same memory as a megabyte."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.acceptance.system import System, left_behind

MIB = 1024 * 1024
PIECES = 1_024
MOST_GROWN = 16 * MIB


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path / "data with spaces")
    running.start()
    yield running
    running.stop()
    assert left_behind(running.data) == []


def serving(system: System) -> int:
    """Return the process id of `forbear serve`."""
    for entry in Path("/proc").glob("[0-9]*"):
        words = (entry / "cmdline").read_bytes().split(b"\0")
        if words[-2:-1] == [b"serve"] and f"FORBEAR_DATA={system.data}".encode() in (entry / "environ").read_bytes():
            return int(entry.name)
    raise AssertionError("nobody serves")


class Memory:
    """How much memory a process holds at most while it is watched."""

    def __init__(self, pid: int) -> None:
        self.status = Path(f"/proc/{pid}/status")
        self.most_bytes = self.now_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def now_bytes(self) -> int:
        """Return what it holds now, without what belongs to files."""
        lines = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
        return int(lines["RssAnon"].split()[0]) * 1024

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.most_bytes = max(self.most_bytes, self.now_bytes())


def sent(client: httpx.Client, url: str, name: str, pieces: int, *, form: bool = False) -> str:
    """Send so many pieces as one file, raw or in a form; return the hash of what was sent."""
    piece = os.urandom(MIB)
    digest = hashlib.sha256()
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() if form else b""
    tail = b"\r\n--b--\r\n" if form else b""

    def body() -> Iterator[bytes]:
        yield head
        for number in range(pieces):
            part = number.to_bytes(8, "big") + piece[8:]  # no two are the same
            digest.update(part)
            yield part
        yield tail

    kind = "multipart/form-data; boundary=b" if form else "application/octet-stream"
    answer = client.post(f"{url}/upload", params={"path": name}, content=body(), headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text
    assert answer.json()["sizeBytes"] == pieces * MIB
    return digest.hexdigest()


def fetched(client: httpx.Client, url: str, name: str) -> str:
    """Fetch a file and return its hash."""
    digest = hashlib.sha256()
    with client.stream("GET", f"{url}/download", params={"path": name}) as answer:
        for chunk in answer.iter_bytes(MIB):
            digest.update(chunk)
    return digest.hexdigest()


@pytest.mark.timeout(1800)
def test_a_gibibyte_goes_in_and_out_in_bounded_memory(system: System) -> None:
    customer_id, client = system.customer()
    client.timeout = httpx.Timeout(300)
    server = system.server(client, system.account(customer_id, "cus_large"), "large")
    url = f"/api/servers/{server}/files"
    for form in (False, True):
        name = "form.bin" if form else "raw.bin"
        warm = sent(client, url, f"small-{name}", 8, form=form)
        assert fetched(client, url, f"small-{name}") == warm
        pid = serving(system)
        before = Memory(pid).now_bytes()
        began = time.monotonic()
        with Memory(pid) as memory:
            wanted = sent(client, url, name, PIECES, form=form)
            assert fetched(client, url, name) == wanted
        grown = memory.most_bytes - before
        print(f"\n{name}: 1 GiB in and out in {time.monotonic() - began:.0f} s, {grown / MIB:.1f} MiB grown")
        assert grown < MOST_GROWN, f"{grown / MIB:.1f} MiB"
        assert client.request("DELETE", f"{url}?path={name}").status_code == 204
