"""How a double of a Kubernetes API server is reached: by a bearer token; watches stream, refusals are a `Status`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.doubles.cluster import Handler, No

TOKEN = "a-service-accounts-token"


class KubernetesHandler(Handler):
    """One connection."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path, params = unquote(parts.path), dict(parse_qsl(parts.query))
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(sent) if sent else None
        verb = "WATCH" if params.get("watch") == "true" else self.command
        self.cluster.calls.append((verb, path, body))
        fault = self.cluster.fault_of(f"{verb} {path}")
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
            self.tell(json.dumps(answer).encode(), fault, 201 if self.command == "POST" else 200)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

    def _refuse(self, error: No) -> None:
        told = {"kind": "Status", "status": "Failure", "message": error.message, "reason": error.reason}
        later = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        self.send(error.status, json.dumps({**told, "code": error.status}).encode(), headers=later)

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
