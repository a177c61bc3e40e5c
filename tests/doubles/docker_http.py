"""The wire of the Docker double: which request is which verb, and answers that may break off in the middle."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.doubles.listener import Quiet

if TYPE_CHECKING:
    from tests.doubles.docker import DockerDouble

VERBS = {
    ("GET", "version"): "version",
    ("GET", "containers/json"): "list",
    ("POST", "containers/create"): "create",
    ("POST", "images/create"): "fetch",
    ("POST", "volumes/create"): "volume_create",
    ("GET", "volumes"): "volume_list",
    ("DELETE", "volumes/*"): "volume_remove",
    ("DELETE", "containers/*"): "remove",
    ("GET", "containers/*/json"): "inspect",
    ("GET", "containers/*/logs"): "logs",
    ("POST", "containers/*/attach"): "attach",
    ("HEAD", "containers/*/archive"): "archive_stat",
    ("GET", "containers/*/archive"): "archive_get",
    ("PUT", "containers/*/archive"): "archive_put",
    **{
        ("POST", f"containers/*/{verb}"): verb
        for verb in ("start", "stop", "kill", "unpause", "update", "rename", "wait")
    },
}


@dataclass
class Answer:
    """What the Engine answers."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False

    @classmethod
    def json(cls, content: Any, status: int = 200) -> Answer:
        """Answer with JSON."""
        return cls(status, json.dumps(content).encode())

    @classmethod
    def no(cls, status: int, message: str) -> Answer:
        """Say no, as the Engine does."""
        return cls.json({"message": message}, status)


class Handler(Quiet, BaseHTTPRequestHandler):
    """One connection."""

    engine: DockerDouble
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Let the double break it off."""
        self.engine.open_connections.add(self.request)
        super().setup()

    def finish(self) -> None:
        """Forget it. Whoever asked may have gone away."""
        self.engine.open_connections.discard(self.request)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        """Serve until it ends or breaks off."""
        with suppress(OSError):
            super().handle()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        steps = [unquote(step) for step in parts.path.split("/") if step]
        steps = steps[1:] if steps and steps[0].startswith("v1.") else steps
        target = steps[1] if len(steps) > 1 and steps[1] not in ("json", "create") else ""
        pattern = "/".join("*" if step == target and number == 1 else step for number, step in enumerate(steps))
        verb = VERBS.get((self.command, pattern))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = self._body()
        if verb == "attach":
            self._attach(target)
        else:
            answer = Answer.no(404, "page not found")
            if verb is not None:
                answer = self.engine.answer(verb, target, query, body)
            self._send(answer, cut=verb in self.engine.cut)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - how the library finds them

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _send(self, answer: Answer, *, cut: bool) -> None:
        body = answer.body
        sent = body[: len(body) // 2] if cut else body
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if body and self.command != "HEAD":
                self.send_header("Content-Type", answer.kind)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                sent = b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b""
                sent += b"" if cut else b"0\r\n\r\n"
            elif answer.status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)
        except OSError:
            self.close_connection = True  # whoever asked waited no longer
        self.close_connection = self.close_connection or cut

    def _attach(self, target: str) -> None:
        with self.engine.lock:
            found = self.engine.find(target)
        if found is None or found.state != "running":
            self._send(Answer.no(409, "container is not running"), cut=False)
            return
        self.wfile.write(
            b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        for line in self.rfile:
            self.engine.typed(found, line.decode().rstrip("\n"))
        self.close_connection = True
