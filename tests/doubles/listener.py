"""How doubles are reached: connections to a free port of this machine, each answered in a thread of its own."""

from __future__ import annotations

import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any


class Listener:
    """Takes connections from the moment that it is made until it is closed."""

    def __init__(
        self, handler: type[socketserver.BaseRequestHandler], *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = _Server(("127.0.0.1", port), handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Refuse every connection from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that gives up in the middle: that is what tests are about."""
        if not isinstance(sys.exception(), (OSError, EOFError)):
            super().handle_error(request, client_address)


class Quiet:
    """Goes before the library's handler of HTTP, and keeps its log out of the tests' output."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def handler_of(serve: Callable[[Any], None]) -> type[socketserver.BaseRequestHandler]:
    """Return a handler that hands each connection over, for doubles that speak no HTTP."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request)

    return Handler


def take(connection: Any, count: int) -> bytes:
    """Read exactly so many bytes. Raises EOFError."""
    taken = b""
    while len(taken) < count:
        part = connection.recv(count - len(taken))
        if not part:
            raise EOFError
        taken += part
    return taken
