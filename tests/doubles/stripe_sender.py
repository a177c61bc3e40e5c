"""The sending side of Stripe: signs events and posts them to a server that runs as it does in production."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from litestar import Litestar

from jobs.certificates import certificates
from tests.doubles import stripe as double

PATH = "/api/billing/webhook"


class Sender:
    """Posts to one endpoint. Use from any thread."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self.client = httpx.Client(base_url=url, timeout=60, limits=limits, verify=certificates())

    def deliver(self, event: Mapping[str, Any], **signing: Any) -> httpx.Response:
        """Sign an event and post it."""
        body = double.body_of(event)
        return self.post(body, double.signature(body, **signing))

    def post(self, body: bytes, header: str | bytes | None) -> httpx.Response:
        """Post any bytes under any header."""
        headers = {b"Content-Type": b"application/json"}
        if header is not None:
            headers[b"Stripe-Signature"] = header.encode() if isinstance(header, str) else header
        return self.client.post(PATH, content=body, headers=headers)


@contextmanager
def serving(app: Litestar) -> Iterator[str]:
    """Serve an application on loopback in a thread, and end it gracefully; gives its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", lifespan="on", log_config=None, access_log=False,
            timeout_graceful_shutdown=15,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not server.started and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.005)
        assert server.started, "the server did not start"
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"
