"""`forbear serve`: the HTTP server as a process of its own."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor

import click

THREADS = 40  # requests worked on at once; a host that hangs for seconds holds one of them
GRACE_SECONDS = 15
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
    import uvicorn
    from litestar.concurrency import set_asyncio_executor

    from jobs import logs
    from storage.settings import Settings
    from web.app import create_app

    logs.set_up("json" if os.environ.get("FORBEAR_LOG") == "json" else "text")
    settings = Settings.from_env(os.environ)
    set_asyncio_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="request"))
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port or settings.port,
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
    server = uvicorn.Server(config)
    logging.getLogger("forbear.web").info("serving on http://%s:%s", host, port or settings.port)
    server.run()
    if not server.started:
        raise click.ClickException(f"port {port or settings.port} of {host} cannot be listened on")
