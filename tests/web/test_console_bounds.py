"""The bounds of a console's stream: on connecting, on readers who do not read, on clients who have gone."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from litestar.exceptions import WebSocketDisconnect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jobs.hosts.local.console import LINE_BYTES, ConsoleLog
from tests.doubles.host import HostDouble
from tests.web.site import Site, Tenant, polling
from web import console
from web.commands import PING_SECONDS, configured

RECEIVED_BYTES = 4_096  # what the client's side of a connection holds, so that little is under way
PRINTED_BYTES = 32 * 1024 * 1024  # far more than a connection holds on its way, on either side


def target(site: Site, tenant: Tenant) -> str:
    return f"/api/servers/{tenant.server_id}/console/stream"


@contextmanager
def raw_stream(site: Site, tenant: Tenant, port: int) -> Iterator[socket.socket]:
    """Open a stream by hand: who holds the socket reads nothing and answers no ping unless told to."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = [f"GET {target(site, tenant)} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {tenant.token}"]
        head += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        yield connection


@contextmanager
def printing(site: Site, tenant: Tenant) -> Iterator[threading.Event]:
    """Print on the server's console without an end; the event is set once more is printed than a connection holds."""
    log = ConsoleLog(site.settings.data_dir / "servers" / tenant.server_id / "run")
    much, enough = threading.Event(), threading.Event()

    def feed() -> None:
        printed = 0
        while not enough.is_set():
            log.feed(b"x" * (LINE_BYTES - 1) + b"\n")
            printed += LINE_BYTES
            if printed > PRINTED_BYTES:
                much.set()
                enough.wait(0.001)  # for as long as the stream lasts, but not for the disk's sake

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield much
    finally:
        enough.set()
        feeder.join()


def seconds_until_let_go(site: Site, tenant: Tenant) -> float:
    """Wait until nobody serves a stream of this server any more."""
    began = time.monotonic()
    for _ in polling(60):
        if tenant.server_id not in site.app.state.services.console_streams:
            return time.monotonic() - began
    raise AssertionError("the stream is still served")


def test_a_client_that_does_not_read_is_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SEND_SECONDS", 0.3)
    tenant = site.tenant()
    with printing(site, tenant) as much, raw_stream(site, tenant, site.port):
        assert much.wait(30)
        assert seconds_until_let_go(site, tenant) < 9, "it was ten"


def test_a_suspension_ends_the_stream_of_a_client_that_does_not_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SEND_SECONDS", 90.0)
    tenant = site.tenant()
    with printing(site, tenant) as much, raw_stream(site, tenant, site.port):
        assert much.wait(30)
        assert tenant.server_id in site.app.state.services.console_streams, "it is waited for"
        site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
        assert seconds_until_let_go(site, tenant) < 30 < console.SEND_SECONDS


def test_a_host_that_does_not_answer_is_not_waited_for_on_connecting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "CONNECT_SECONDS", 0.2)
    tenant = site.tenant()
    goes_on = threading.Event()
    monkeypatch.setattr(site.app.state.services, "hosts", {"local": hanging(goes_on)})
    headers = {"Authorization": f"Bearer {tenant.token}"}
    try:
        began, address = time.monotonic(), site.url.replace("http", "ws") + target(site, tenant)
        with pytest.raises(InvalidStatus) as refused:
            connect(address, additional_headers=headers, proxy=None, open_timeout=30)
        assert time.monotonic() - began < 20, "the host would answer after 30"
        assert refused.value.response.status_code == 503
        assert b"CONSOLE_TOO_SLOW" in (refused.value.response.body or b"")
    finally:
        goes_on.set()


def hanging(goes_on: threading.Event) -> HostDouble:
    """Return a host whose consoles answer nothing until told to."""
    host = HostDouble()
    host.before["read_console"] = lambda: goes_on.wait(30)
    return host


def test_a_client_that_answers_no_ping_is_let_go(site: Site) -> None:
    tenant = site.tenant()
    config = configured(site.app)
    assert config.ws_ping_interval == config.ws_ping_timeout == PING_SECONDS
    config.ws_ping_interval = config.ws_ping_timeout = 1.0  # long after the stream has begun, also on a busy machine
    config.lifespan, config.port = "off", 0  # the site's own server has begun it
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in polling(30):
            if server.started:
                break
        port = server.servers[0].sockets[0].getsockname()[1]
        with raw_stream(site, tenant, port) as connection:
            seen = b""
            while chunk := connection.recv(4_096):
                seen += chunk
        assert b"\x89\x04" in seen, "a ping"
        assert b"keepalive ping timeout" in seen
        seconds_until_let_go(site, tenant)  # how soon is not the point, on a machine that runs other tests
    finally:
        server.should_exit = True
        thread.join(20)


class Leaving:
    """A client who leaves in the very moment in which the console has been looked at."""

    def __init__(self) -> None:
        self.state = SimpleNamespace()
        self.looked: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self.left: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def receive_data(self, mode: str) -> str:
        return await self.left

    async def in_thread(self, work: Callable[[], object]) -> object:
        return await self.looked

    async def stay(self, stream: console.Stream, turns: int) -> None:
        """Be served, leave, let the look end so many turns of the loop later, and return once the stream has ended."""
        served = asyncio.create_task(stream.run())
        await asyncio.sleep(console.LOOK_EVERY_SECONDS * 1.5)  # the pump waits for what it looks at
        self.left.set_exception(WebSocketDisconnect(detail="left"))
        for _ in range(turns):
            await asyncio.sleep(0)
        self.looked.set_result([])
        await asyncio.wait_for(served, 30)


@pytest.mark.parametrize("turns", range(3))
def test_a_client_that_leaves_as_the_console_is_looked_at_is_let_go(turns: int) -> None:
    async def story() -> None:
        client: Any = Leaving()
        await client.stay(console.Stream(client, client, "server"), turns)

    asyncio.run(story())
