"""How a double of Proxmox VE's API is reached: HTTPS with a token, and every way in which an answer can go wrong."""

from __future__ import annotations

import json
import re
import ssl
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.doubles.listener import Listener, Quiet

CERTIFICATE = Path(__file__).with_name("proxmox.pem")
"""The double's certificate, signed by itself, and its key: good for 127.0.0.1 and for nothing else."""
TOKEN, SECRET = "forbear@pve!tests", "5ecre7-of-the-tests"


class No(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


@dataclass
class Fault:
    """What goes wrong with the requests whose method and path match."""

    kind: str
    """`hang`, `html`, `cut`, `odd`, or a status."""
    match: str = ""
    seconds: float = 0
    reason: str = ""
    times: int = 1_000_000


class Cluster(Protocol):
    """What is answered for."""

    calls: list[tuple[str, str, dict[str, str]]]
    faults: list[Fault]

    def answer(self, method: str, path: str, params: dict[str, str]) -> Any:
        """Return the data of an answer. Raises No."""


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
        path = unquote(parts.path).removeprefix("/api2/json/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        params = dict(parse_qsl(parts.query) + parse_qsl(body))
        self.cluster.calls.append((self.command, path, dict(params)))
        fault = self._fault(f"{self.command} {path}")
        try:
            if self.headers.get("Authorization") != f"PVEAPIToken={TOKEN}={SECRET}":
                raise No(401, "permission denied - invalid PVE ticket")
            if fault is not None and fault.kind.isdigit():
                raise No(int(fault.kind), fault.reason or "Internal Server Error")
            data = self.cluster.answer(self.command, path, params)
        except No as error:
            self._send(error.status, error.reason, b'{"data":null}')
            return
        content = json.dumps({"data": data}).encode()
        if fault is not None and fault.kind == "html":
            self._send(200, "OK", b"<html><body>Welcome</body></html>", "text/html")
        elif fault is not None and fault.kind == "odd":
            self._send(200, "OK", b'{"data": {"what": [1, null]}}')
        elif fault is not None and fault.kind == "cut":
            self._send(200, "OK", content[: len(content) // 2], length=len(content))
            self.close_connection = True
        else:
            self._send(200, "OK", content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the library's names

    def _fault(self, request: str) -> Fault | None:
        for fault in self.cluster.faults:
            if fault.times > 0 and re.search(fault.match, request):
                fault.times -= 1
                time.sleep(fault.seconds)
                return fault
        return None

    def _send(
        self, status: int, reason: str, content: bytes, kind: str = "application/json", length: int | None = None
    ) -> None:
        self.send_response(status, reason)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)
