"""What doubles of clusters share: HTTPS, requests that are kept, and every way in which an answer can go wrong."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from tests.doubles.listener import Listener, Quiet

CERTIFICATE = Path(__file__).with_name("cluster.pem")
"""The doubles' certificate, signed by itself, and its key: good for 127.0.0.1 and for nothing else."""


class No(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str, message: str = "", *, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.message = message or reason
        self.retry_after = retry_after
        super().__init__(self.message)


@dataclass
class Fault:
    """What goes wrong with the requests whose method and path match."""

    kind: str
    """`hang`, `html`, `cut`, `odd`, or a status."""
    match: str = ""
    seconds: float = 0
    reason: str = ""
    times: int = 1_000_000


class Handler(Quiet, BaseHTTPRequestHandler):
    """One connection."""

    cluster: Any
    odd = b'{"what": [1, null]}'
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def tell(self, content: bytes, fault: Fault | None, status: int = 200) -> None:
        """Answer with this content, or with what the fault makes of it."""
        kind = fault.kind if fault is not None else ""
        if kind == "html":
            self.send(200, b"<html><body>Welcome</body></html>", headers={"Content-Type": "text/html"})
        elif kind == "odd":
            self.send(200, self.odd)
        elif kind == "cut":
            self.send(200, content[: len(content) // 2], headers={"Content-Length": str(len(content))})
            self.close_connection = True
        else:
            self.send(status, content)

    def send(self, status: int, content: bytes, reason: str | None = None, headers: Mapping[str, str] = {}) -> None:
        """Send one answer; `headers` go before the usual ones."""
        self.send_response(status, reason)
        usual = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in (usual | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@dataclass
class Cluster:
    """What requests are answered for, each by the handler of its kind of cluster."""

    handler: ClassVar[type[Handler]]
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def serve(self) -> None:
        """Begin to answer."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE)
        self.server = Listener(type("OwnHandler", (self.handler,), {"cluster": self}), tls=tls)
        self.port = self.server.port

    def close(self) -> None:
        """Answer no more."""
        self.server.close()

    def fail(self, kind: str, match: str = "", **more: Any) -> Fault:
        """Let requests fail from now on."""
        fault = Fault(kind, match, **more)
        self.faults.append(fault)
        return fault

    def fault_of(self, request: str) -> Fault | None:
        """Return what goes wrong with this request, once it has taken as long as that takes."""
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.match, request):
                fault.times -= 1
                time.sleep(fault.seconds)
                return fault
        return None
