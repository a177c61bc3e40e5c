"""Stripe's API as far as standing is asked for: lists in pages, single objects, and every way of not answering."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.doubles.listener import Listener, Quiet

KEY = "sk_test_of_the_double"


@dataclass
class StripeApi:
    """Use as a context manager. `objects` is what Stripe knows, by id; `fail_with` a status that every request gets."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail_with: int = 0
    raw_body: bytes | None = None
    """Sent instead of any answer."""
    page: int = 100
    """The most that one page holds, whatever was asked for."""
    hangs: threading.Event | None = None
    """No answer before this is set."""
    requests: list[str] = field(default_factory=list)

    def add(self, *objects: dict[str, Any]) -> None:
        """Know these objects from now on."""
        for each in objects:
            self.objects[each["id"]] = each

    def __enter__(self) -> Self:
        api = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.requests.append(self.path)
                if api.hangs is not None:
                    api.hangs.wait(30)
                status, document = api.answer(self.path, self.headers.get("Authorization", ""))
                body = api.raw_body if api.raw_body is not None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._listener = Listener(Handler)
        return self

    def __exit__(self, *_: object) -> None:
        if self.hangs is not None:
            self.hangs.set()
        self._listener.close()

    @property
    def url(self) -> str:
        """The address to give as STRIPE_API_BASE."""
        return f"http://127.0.0.1:{self._listener.port}"

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Return what Stripe would."""
        if self.fail_with:
            return self.fail_with, {"error": {"type": "api_error", "message": "as the test says"}}
        if authorization != f"Bearer {KEY}":
            return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}
        parts = urlsplit(path)
        names = parts.path.strip("/").split("/")[1:]
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if len(names) == 2 and names[1] in self.objects:
            return 200, self.objects[names[1]]
        if len(names) == 1 and names[0] in ("invoices", "subscriptions"):
            return 200, self._list(names[0].removesuffix("s"), query)
        return 404, {"error": {"type": "invalid_request_error", "message": "No such object"}}

    def _list(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        found = [
            each
            for each in self.objects.values()
            if each["object"] == kind
            and each["customer"] == query.get("customer")
            and (kind == "invoice" or query.get("status") == "all" or each["status"] != "canceled")
        ]
        ids = [each["id"] for each in found]
        start = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        end = start + min(self.page, int(query.get("limit", "10")))
        return {"object": "list", "url": f"/v1/{kind}s", "data": found[start:end], "has_more": end < len(found)}
