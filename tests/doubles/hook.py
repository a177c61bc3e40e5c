"""A customer's program that takes notices, and can be told to refuse, be silent, lead elsewhere or hang up."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Self

from tests.doubles.listener import Listener, Quiet


@dataclass
class HookSink:
    """Use as a context manager. `status` answers every post; 0 hangs up after reading it, -1 never answers."""

    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers, in small letters, and body of each post that was read."""

    def __enter__(self) -> Self:
        sink, self._over = self, threading.Event()

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                sink.taken.append((headers, self.rfile.read(int(self.headers["Content-Length"]))))
                self.close_connection = True
                if sink.status < 0:
                    sink._over.wait(20)
                if sink.status <= 0:
                    return
                self.send_response(sink.status)
                self.send_header("Location", f"{sink.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._listener = Listener(Handler)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.close()

    @property
    def url(self) -> str:
        """Where it takes posts."""
        return f"http://localhost:{self._listener.port}/in?x=1"
