"""A whole Stripe on one address: its API with keys and idempotency, and the pages on which people pay."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.doubles import stripe_pages
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_books import ALIVE, DAY, Books, Document, Refused, new_id

PRICES = {"price_game": 1500, "price_dev": 700}
LISTED = {
    "customers": "customer",
    "products": "product",
    "prices": "price",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "charges": "charge",
    "disputes": "dispute",
    "checkout/sessions": "checkout.session",
    "webhook_endpoints": "webhook_endpoint",
}
SAME = ("customer", "email", "active", "subscription")  # queries that lists are narrowed by
MOST_BYTES = 1_000_000
LISTED_SECONDS = 30 * DAY


class StripeDouble:
    """Use as a context manager. `now`: seconds since 1970, which a test may move."""

    def __init__(
        self,
        *,
        port: int = 0,
        now: Callable[[], int] = lambda: int(time.time()),
        prices: Mapping[str, int] | None = None,
        file: Path | None = None,
    ) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.books = Books(self.url, now, prices or PRICES, file)
        self.desk: stripe_pages.Desk = stripe_pages.Desk()
        self.requests: list[tuple[str, str, Document]] = []
        """Method, path and form of every API request."""
        self.fail_with = 0
        """A status that every API request gets; 0: none."""
        self._answered: dict[str, tuple[str, Document]] = {}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def forget_keys(self) -> None:
        """Forget every idempotency key, as Stripe does after a day."""
        self._answered.clear()

    # ---- the API -----------------------------------------------------------------------------------------------------

    def api(self, method: str, path: str, text: str, headers: Mapping[str, str]) -> tuple[int, Document]:
        """Answer one request of the API: one at a time, and the same again under the same idempotency key."""
        given = nested(text)
        self.requests.append((method, path, given))
        if self.fail_with:
            return self.fail_with, {"error": {"type": "api_error", "message": "as the test says"}}
        if headers.get("Authorization") != f"Bearer {KEY}":
            return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}
        key, wish = headers.get("Idempotency-Key", ""), f"{method} {path} {text}"
        with self.books.lock:
            try:
                if method == "POST" and key in self._answered:
                    before, answer = self._answered[key]
                    if before != wish:
                        raise Refused(400, "idempotency_error", "Keys can only be used with the same parameters")
                    return 200, answer
                answer = self._do(method, path.removeprefix("/v1/"), given)
                if method == "POST" and key:
                    self._answered[key] = wish, json.loads(json.dumps(answer))
                self.books.save()
                return 200, answer
            except Refused as error:
                return error.status, error.document()

    def _do(self, method: str, path: str, given: Document) -> Document:
        if method == "GET" and path == "events":
            return self._events(given)
        if method == "GET" and path in LISTED:
            return self._list(path, given)
        if method == "POST":
            return self._write(path, given)
        collection, _, object_id = path.rpartition("/")
        if method == "GET" and collection == "events":
            return next((event for event in self.books.events if event["id"] == object_id), None) or _missing(path)
        if method == "GET" and collection in LISTED:
            return self.books.get(object_id, LISTED[collection])
        if method == "DELETE" and collection == "subscriptions":
            return self.books.cancel(self.books.get(object_id, "subscription"))
        return _missing(path)

    def _write(self, path: str, given: Document) -> Document:
        books = self.books
        if path == "customers":
            return books.customer(given)
        if path == "checkout/sessions":
            return books.checkout(given)
        if path == "billing_portal/sessions":
            return self._portal(given)
        if path == "webhook_endpoints":
            books.endpoint(str(given.get("url")), types=list(given.get("enabled_events", {}).values()))
            return books.objects["we_1"]
        if found := re.fullmatch(r"checkout/sessions/(\w+)/expire", path):
            return books.expire(books.get(found[1], "checkout.session"))
        if found := re.fullmatch(r"invoices/(\w+)/pay", path):
            invoice = books.get(found[1], "invoice")
            if not books.charge(invoice):
                raise Refused(402, "card_declined", "Your card was declined.")
            return invoice
        if found := re.fullmatch(r"subscriptions/(\w+)", path):
            return books.change(books.get(found[1], "subscription"), given)
        return _missing(path)

    def _portal(self, given: Document) -> Document:
        customer = self.books.get(str(given.get("customer", "")), "customer")
        session_id = new_id("bps")
        made = {
            "id": session_id,
            "object": "billing_portal.session",
            "created": self.books.now(),
            "customer": customer["id"],
            "return_url": given.get("return_url"),
            "url": f"{self.url}/p/session/{session_id}",
        }
        self.books.objects[session_id] = made
        return made

    def _events(self, given: Document) -> Document:
        """List events of the last 30 days, the newest first."""
        within = given.get("created", {})
        first = max(int(within.get("gte", 0)), self.books.now() - LISTED_SECONDS)
        found = [event for event in self.books.events[::-1] if event["created"] >= first]
        if types := given.get("types"):
            found = [event for event in found if event["type"] in types.values()]
        return paged(found, given, "/v1/events")

    def _list(self, path: str, given: Document) -> Document:
        kind = LISTED[path]
        same = {name: given[name] for name in SAME if name in given and name != "active"}
        found = self.books.of(kind, **same)
        if kind == "price" and "lookup_keys" in given:
            found = [each for each in found if each["lookup_key"] in given["lookup_keys"].values()]
        status = given.get("status")
        if kind == "subscription" and status is None:
            found = [each for each in found if each["status"] != "canceled"]
        elif status not in (None, "all"):
            found = [each for each in found if each["status"] == status]
        return paged(found, given, f"/v1/{path}")


def _missing(path: str) -> Document:
    raise Refused(404, "resource_missing", f"Unrecognized request URL or object: {path}")


def paged(found: list[Document], given: Document, url: str) -> Document:
    """Return one page of a list, the newest first."""
    ids = [each["id"] for each in found]
    start, limit = 0, min(100, int(given.get("limit", 10)))
    if after := given.get("starting_after"):
        if after not in ids:
            raise Refused(400, "resource_missing", f"No such object: '{after}'")
        start = ids.index(after) + 1
    elif (before := given.get("ending_before")) and before in ids:
        start = max(0, ids.index(before) - limit)
        limit = min(limit, ids.index(before))
    return {"object": "list", "url": url, "data": found[start : start + limit], "has_more": start + limit < len(found)}


def nested(text: str) -> Document:
    """Read `a[b][0]=c` as {"a": {"b": {"0": "c"}}}."""
    found: Document = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+", name)
        place = found
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return found


def alive(books: Books, customer_id: str) -> list[Document]:
    """Return the subscriptions that a customer has."""
    return [each for each in books.of("subscription", customer=customer_id) if each["status"] in ALIVE]


def _handler(double: StripeDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            length = min(int(self.headers.get("Content-Length") or 0), MOST_BYTES)
            text = self.rfile.read(length).decode() if length else parts.query
            headers = {"Content-Type": "text/html; charset=utf-8"}
            if parts.path.startswith("/v1/"):
                status, document = double.api(self.command, parts.path, text, dict(self.headers.items()))
                body, headers["Content-Type"] = json.dumps(document).encode(), "application/json"
            else:
                # Another site's form must not pay or move time here.
                foreign = self.command == "POST" and self.headers.get("Origin", double.url) != double.url
                shown = (
                    stripe_pages.FOREIGN
                    if foreign
                    else stripe_pages.show(double.books, double.desk, self.command, parts.path, nested(text))
                )
                status, body = shown.status, shown.html.encode()
                headers |= {"Location": shown.to} if shown.to else {}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
