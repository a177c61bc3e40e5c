"""`forbear serve`: the HTTP server as a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import uvicorn
    from litestar import Litestar

    from storage.settings import Settings

THREADS = 40  # requests worked on at once; a host that hangs for seconds holds one of them
GRACE_SECONDS = 10
LAST_SECONDS = 2.0  # for threads that the grace did not suffice for; what they had begun rolls back
PING_SECONDS = 20.0
MESSAGE_BYTES = 64 * 1024  # nothing that a console's client sends is longer
PENDING_CONNECTIONS = 1_000


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Instead of FORBEAR_PORT.")
@click.option(
    "--trusted-proxies",
    envvar="FORBEAR_TRUSTED_PROXIES",
    metavar="ADDRESSES",
    help="Comma-separated addresses whose X-Forwarded-For is believed. Without it, nobody's is.",
)
def serve(host: str, port: int | None, trusted_proxies: str | None) -> None:
    """Serve the webhook, the API and health. Ends gracefully on SIGTERM and Ctrl-C."""
    from jobs import logs
    from storage.settings import Settings

    settings = Settings.from_env(os.environ)
    port = port or settings.port
    with bound(host, port) as listener:
        logs.set_up("json" if os.environ.get("FORBEAR_LOG") == "json" else "text")
        logging.getLogger("forbear.web").info("serving on http://%s:%s", host, port)
        run(settings, listener, trusted_proxies)


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """Take the address before anything slow is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise click.ClickException(f"cannot listen on port {port} of {host}: {why}") from None
        yield listener


def run(settings: Settings, listener: socket.socket, trusted_proxies: str | None) -> None:
    """Serve on a socket until a signal."""
    import uvicorn
    from litestar.concurrency import set_asyncio_executor

    from web.app import create_app

    class Server(uvicorn.Server):
        """Ends with 0 on SIGTERM and Ctrl-C: being told to end is no failure."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, self.handle_exit)
            yield

    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
    set_asyncio_executor(threads)
    config = configured(create_app(settings), trusted_proxies)
    server = Server(config)
    server.run(sockets=[listener])
    threads.shutdown(wait=False, cancel_futures=True)
    if not server.started:
        raise click.ClickException("the server could not start; what it said before tells why")
    leave_stragglers()


def configured(app: Litestar, trusted_proxies: str | None = None) -> uvicorn.Config:
    """Say how the application is served: bounds on waiting, on messages, and pings to those who watch a console."""
    import uvicorn

    return uvicorn.Config(
        app,
        loop="uvloop" if os.name == "posix" else "auto",
        http="httptools",
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies or "",
        backlog=PENDING_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_max_size=MESSAGE_BYTES,
    )


def leave_stragglers() -> None:
    """End the process although a request still works: the interpreter would wait for its thread, however long."""
    ends_at = time.monotonic() + LAST_SECONDS
    for thread in (each for each in threading.enumerate() if each.name.startswith("request")):
        thread.join(max(0.0, ends_at - time.monotonic()))
        if thread.is_alive():
            logging.getLogger("forbear.web").warning("a request did not end in time: it is left")
            logging.shutdown()
            os._exit(0)
