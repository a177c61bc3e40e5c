"""A Discord that keeps what is posted to it, and can be told to refuse, to slow down or to hang up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from tests.doubles.listener import Listener, Quiet


@dataclass
class DiscordSink:
    """Use as a context manager. `status` answers every post; 0 hangs up after reading it."""

    status: int = 204
    retry_after: str = "1"
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(channel, body) of each post that was read, also of refused ones."""

    def __enter__(self) -> Self:
        sink = self

        class Handler(Quiet, BaseHTTPRequestHandler):
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

        self._listener = Listener(Handler)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def webhooks(self, *channels: str) -> dict[str, str]:
        """Addresses for these channels."""
        root = f"http://127.0.0.1:{self._listener.port}/api/webhooks/1"
        return {channel: f"{root}/{channel}" for channel in channels}

    def texts(self, channel: str) -> list[str]:
        """What was posted to a channel, in order."""
        return [str(body["content"]) for name, body in self.posts if name == channel]
