"""A Discord that keeps what is posted to it, and can be told to refuse, to slow down or to hang up."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class DiscordSink:
    """Use as a context manager. `status` answers every post; 0 hangs up after reading it."""

    status: int = 204
    retry_after: str = "1"
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(channel, body) of each post that was read, also of refused ones."""

    def __enter__(self) -> Self:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sink.posts.append((self.path.rsplit("/", 1)[-1], body))
                if sink.status == 0:
                    self.close_connection = True
                    return
                self.send_response(sink.status)
                if sink.status == 429:
                    self.send_header("Retry-After", sink.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def webhooks(self, *channels: str) -> dict[str, str]:
        """Addresses for these channels."""
        root = f"http://127.0.0.1:{self._server.server_port}/api/webhooks/1"
        return {channel: f"{root}/{channel}" for channel in channels}

    def texts(self, channel: str) -> list[str]:
        """What was posted to a channel, in order."""
        return [str(body["content"]) for name, body in self.posts if name == channel]
