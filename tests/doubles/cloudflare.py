"""Cloudflare's API as far as records go: lists in pages, and every way of not answering."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from jobs.edge.records import Record
from tests.doubles.listener import Listener, Quiet

TOKEN = "token-of-the-double"
ZONE_ID = "023e105f4ecef8ad9ca31a8372d0c353"


@dataclass
class CloudflareDouble:
    """Use as a context manager. Statuses in `fail_next` are given to the next requests, one each."""

    zone: str
    page: int = 1000
    """The most that one page holds, whatever was asked for."""
    fail_next: list[int] = field(default_factory=list)
    fail_always: int = 0
    lose_pages: bool = False
    """Every page but the first comes empty."""
    raw_body: bytes | None = None
    fails_after_posts: int = -1
    """From the record made after so many on, nothing works any more; -1: never."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        double = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer({})

            def do_DELETE(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: dict[str, Any]) -> None:
                double.requests.append(f"{self.command} {self.path}")
                status, document = double.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
                content = double.raw_body if double.raw_body is not None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("retry-after-ms", "10")
                self.end_headers()
                self.wfile.write(content)

        self._listener = Listener(Handler)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._listener.port}/client/v4"

    def put(self, *records: Record) -> None:
        """Hold these records from now on."""
        for record in records:
            given: dict[str, Any] = {"name": f"{record.name}.{self.zone}", "type": record.type, "ttl": record.ttl}
            if record.type == "SRV":
                priority, weight, port, target = record.value.split()
                numbers = {"priority": int(priority), "weight": int(weight), "port": int(port)}
                given["data"] = {**numbers, "target": target.rstrip(".")}
            else:
                given["content"] = f'"{record.value}"' if record.type == "TXT" else record.value.rstrip(".")
            self._add(given)

    def remove(self, name: str, kind: str) -> None:
        """Hold no records of this kind there any more."""
        gone = [
            key for key, each in self.records.items() if (each["name"], each["type"]) == (f"{name}.{self.zone}", kind)
        ]
        for key in gone:
            del self.records[key]

    def answer(self, method: str, path: str, authorization: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return what Cloudflare would."""
        if method == "POST":
            if self.fails_after_posts == 0:
                self.fail_always = 500
            self.fails_after_posts -= 1
        status = self.fail_always or (self.fail_next.pop(0) if self.fail_next else 0)
        if status:
            return status, _refused(status, "as the test says")
        if authorization != f"Bearer {TOKEN}":
            return 403, _refused(9109, "Invalid access token")
        parts = urlsplit(path)
        names = parts.path.split("/")[3:]
        if names[:3] != ["zones", ZONE_ID, "dns_records"]:
            return 404, _refused(7003, "Could not route")
        if method == "POST":
            same = [each for each in self.records.values() if _is_same(each, body)]
            return (
                (400, _refused(81058, "An identical record already exists.")) if same else (200, _ok(self._add(body)))
            )
        if method == "DELETE":
            known = self.records.pop(names[3], None)
            return (404, _refused(81044, "Record does not exist.")) if known is None else (200, _ok({"id": names[3]}))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        number, size = int(query.get("page", "1")), min(self.page, int(query.get("per_page", "100")))
        every = list(self.records.values())
        found = every[(number - 1) * size : number * size]
        if self.lose_pages and number > 1:
            found = []
        info = {"page": number, "per_page": size, "count": len(found), "total_count": len(every)}
        return 200, {**_ok(found), "result_info": info}

    def _add(self, given: dict[str, Any]) -> dict[str, Any]:
        key = f"{len(self.requests):08x}{len(self.records):024x}"
        data = given.get("data", {})
        content = given.get("content") or f"{data.get('weight')} {data.get('port')} {data.get('target')}"
        self.records[key] = {"proxied": False, **given, "id": key, "content": content}
        return self.records[key]


def _is_same(there: dict[str, Any], given: dict[str, Any]) -> bool:
    return all(there.get(key) == given.get(key) for key in ("name", "type", "data")) and (
        given.get("content") in {None, there["content"]}
    )


def _ok(result: Any) -> dict[str, Any]:
    return {"result": result, "success": True, "errors": [], "messages": []}


def _refused(code: int, message: str) -> dict[str, Any]:
    return {"result": None, "success": False, "errors": [{"code": code, "message": message}], "messages": []}
