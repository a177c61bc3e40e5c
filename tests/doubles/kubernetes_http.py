"""How a double of a Kubernetes API server is reached: HTTPS with a token, and all that can be wrong with an answer."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.doubles.listener import Listener, Quiet
from tests.doubles.proxmox_http import CERTIFICATE

TOKEN = "a-service-accounts-token"


class No(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str, message: str = "", *, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.message = message or reason
        self.retry_after = retry_after
        super().__init__(message)


@dataclass
class Fault:
    """What goes wrong with the requests whose method and path match."""

    kind: str
    """`hang`, `html`, `cut`, `odd`, or a status."""
    match: str = ""
    seconds: float = 0
    times: int = 1_000_000


class Cluster(Protocol):
    """What is answered for."""

    calls: list[tuple[str, str, Any]]
    faults: list[Fault]

    def answer(self, method: str, path: str, params: dict[str, str], body: Any) -> Any:
        """Return an answer, or an iterator of events. Raises No."""


class ApiServer(Listener):
    """Answers for a cluster until it is closed."""

    def __init__(self, cluster: Cluster) -> None:
        handler = type("Handler", (_Handler,), {"cluster": cluster})
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE)
        super().__init__(handler, tls=tls)


class _Handler(Quiet, BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path, params = unquote(parts.path), dict(parse_qsl(parts.query))
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(sent) if sent else None
        verb = "WATCH" if params.get("watch") == "true" else self.command
        self.cluster.calls.append((verb, path, body))
        fault = self._fault(f"{verb} {path}")
        try:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise No(401, "Unauthorized")
            if self.command == "PATCH" and self.headers.get("Content-Type") != "application/merge-patch+json":
                raise No(415, "UnsupportedMediaType")
            if fault is not None and fault.kind.isdigit():
                raise No(int(fault.kind), "Fault", "as a test has asked", retry_after=0.01)
            answer = self.cluster.answer(verb, path, params, body)
        except No as error:
            self._refuse(error)
            return
        if isinstance(answer, Iterator):
            self._stream(answer, cut=fault is not None and fault.kind == "cut")
        else:
            self._tell(answer, fault)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

    def _tell(self, answer: Any, fault: Fault | None) -> None:
        content = json.dumps(answer).encode()
        if fault is not None and fault.kind == "html":
            self._send(200, b"<html><body>Welcome</body></html>", "text/html")
        elif fault is not None and fault.kind == "odd":
            self._send(200, b'{"what": [1, null]}')
        elif fault is not None and fault.kind == "cut":
            self._send(200, content[: len(content) // 2], length=len(content))
            self.close_connection = True
        else:
            self._send(201 if self.command == "POST" else 200, content)

    def _refuse(self, error: No) -> None:
        told = {"kind": "Status", "status": "Failure", "message": error.message, "reason": error.reason}
        self._send(error.status, json.dumps({**told, "code": error.status}).encode(), retry_after=error.retry_after)

    def _stream(self, events: Iterator[Any], *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            line = json.dumps(event).encode() + b"\n"
            line = line[: len(line) // 2] if cut else line
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            if cut:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def _fault(self, request: str) -> Fault | None:
        for fault in self.cluster.faults:
            if fault.times > 0 and re.search(fault.match, request):
                fault.times -= 1
                time.sleep(fault.seconds)
                return fault
        return None

    def _send(
        self,
        status: int,
        content: bytes,
        kind: str = "application/json",
        length: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(content)
