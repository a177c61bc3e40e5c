"""Every route of the application with a request that is right, so that tests can make it wrong in one place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from storage.settings import Settings
from tests.web.site import Site, Tenant
from web.app import create_app

MISSING = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Sound:
    """What makes a request right: a JSON body, query parameters, headers."""

    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    role: str  # nobody, customer, admin
    gate: str | None
    streams: bool
    sound: Sound

    @property
    def name(self) -> str:
        """How a failing test names it."""
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def tenants(self) -> bool:
        """Whether it touches one tenant's things."""
        return self.gate is not None or "{operation_id}" in self.path

    def at(self, tenant: Tenant, **ids: str) -> str:
        """Return the path with ids of a tenant filled in."""
        name = tenant.name if "/tenants/" in self.path else "suspension_brake"
        known = {"server_id": tenant.server_id, "account_id": tenant.account_id, "name": name, **ids}
        return re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], MISSING), self.path)

    def send(self, client: httpx.Client, tenant: Tenant, **changed: Any) -> httpx.Response:
        """Send the right request, with what the test changes about it."""
        request: dict[str, Any] = {"params": dict(self.sound.query), "headers": dict(self.sound.headers)}
        if self.sound.body is not None:
            request["json"] = {**self.sound.body}
            if "accountId" in request["json"]:
                request["json"]["accountId"] = tenant.account_id
        request.update(changed)
        return client.request(self.method, request.pop("path", self.at(tenant)), **request)


SOUND: dict[tuple[str, str], Sound] = {
    ("POST", "/api/admin/customers"): Sound({"email": "a@example.org", "name": "A"}),
    ("POST", "/api/admin/accounts"): Sound({"customerId": MISSING, "stripeCustomerId": "cus_x", "plan": "game"}),
    ("POST", "/api/admin/intents"): Sound({"action": "stop_server", "accountId": MISSING}),
    ("POST", "/api/admin/holds"): Sound({"kind": "extension", "accountId": MISSING}),
    ("POST", "/api/admin/accounts/{account_id}/exemption"): Sound({"until": "2199-01-01T00:00:00Z"}),
    ("POST", "/api/admin/accounts/{account_id}/commands"): Sound({"event": "abuse_reported"}),
    ("POST", "/api/admin/disputes/{dispute_id}/settle"): Sound({"reason": "looked"}),
    ("POST", "/api/admin/accounts/{account_id}/deletion/request"): Sound({"name": "A", "reason": "never paid"}),
    ("POST", "/api/admin/accounts/{account_id}/deletion/approve"): Sound({"name": "A", "reason": "never paid"}),
    ("POST", "/api/admin/accounts/{account_id}/deletion/withdraw"): Sound({"reason": "they called"}),
    ("POST", "/api/admin/intents/{intent_id}/resolve"): Sound({"outcome": "again"}),
    ("POST", "/api/admin/stripe-events/{event_id}/replay"): Sound({"reason": "looked"}),
    ("POST", "/api/admin/stripe-events/{event_id}/dismiss"): Sound({"reason": "looked"}),
    ("POST", "/api/admin/operations/{operation_id}/resume"): Sound({"reason": "looked"}),
    ("POST", "/api/admin/operations/{operation_id}/cleanup"): Sound({"reason": "looked"}),
    ("POST", "/api/admin/announcements"): Sound({"title": "Maintenance", "text": "On Sunday."}),
    ("POST", "/api/admin/clock/advance"): Sound({"hours": 1}),
    ("POST", "/api/admin/brakes/{name}/release"): Sound({"allowance": 1}),
    ("POST", "/api/billing/checkout"): Sound({"accountId": MISSING, "plan": "game"}),
    ("POST", "/api/billing/plan"): Sound({"accountId": MISSING, "plan": "game"}),
    ("POST", "/api/billing/portal"): Sound({"accountId": MISSING}),
    ("POST", "/api/support/create"): Sound({"subject": "Help", "text": "It does not start."}),
    ("PUT", "/api/notices/language"): Sound({"language": "de"}),
    ("PUT", "/api/notices/hook"): Sound({"url": "https://hooks.example.org/forbear"}),
    ("POST", "/api/support/tickets/{number}/messages"): Sound({"text": "It does now."}),
    ("PUT", "/api/admin/billing/prices"): Sound({"monthlyFee": "49.00"}),
    ("PUT", "/api/admin/billing/prices/skills/{skill}"): Sound({"dailyPrice": "0.50"}),
    ("PATCH", "/api/admin/billing/organisations/{customer_id}"): Sound({"town": "Basel"}),
    ("POST", "/api/admin/billing/organisations/{customer_id}/payment-methods"): Sound(
        {"kind": "card", "label": "Visa"}
    ),
    ("POST", "/api/admin/billing/organisations/{customer_id}/issue"): Sound({"month": "2020-01"}),
    ("POST", "/api/admin/billing/generate"): Sound({"month": "2020-01"}),
    ("POST", "/api/admin/billing/invoices/{number}/paid"): Sound({"note": "by post"}),
    ("POST", "/api/admin/billing/invoices/{number}/credit"): Sound({"reason": "wrong month"}),
    ("POST", "/api/requests"): Sound({"kind": "provision", "name": "wished"}),
    ("POST", "/api/admin/requests/{request_id}/approve"): Sound({"plan": "game"}),
    ("POST", "/api/admin/requests/{request_id}/refuse"): Sound({"reason": "looked"}),
    ("PATCH", "/api/tenants/{name}"): Sound({"packages": ["voice"]}),
    ("POST", "/api/tenants/{name}/suspend"): Sound({"reason": "holidays"}),
    ("POST", "/api/admin/tenants/{name}/resume"): Sound({"reason": "holidays are over"}),
    ("POST", "/api/instances"): Sound(
        {"name": "second", "kind": "game", "accountId": MISSING}, headers={"Idempotency-Key": "sound"}
    ),
    # another name than the server's: it is judged by its gate, and the server stays for the next route
    ("DELETE", "/api/servers/{server_id}"): Sound({"name": "another"}),
    ("POST", "/api/servers/{server_id}/reinstall"): Sound({"name": "another"}),
    ("POST", "/api/servers/{server_id}/console/command"): Sound({"command": "help"}),
    ("POST", "/api/servers/{server_id}/backups/prune"): Sound({"keep": 2}),
    ("PUT", "/api/servers/{server_id}/files"): Sound({"path": "a.txt", "content": "x"}),
    ("POST", "/api/servers/{server_id}/files/revert"): Sound({"path": "a.txt"}),
    ("DELETE", "/api/servers/{server_id}/files"): Sound(query={"path": "a.txt"}),
    ("GET", "/api/servers/{server_id}/files/read"): Sound(query={"path": "a.txt"}),
    ("GET", "/api/servers/{server_id}/files/download"): Sound(query={"path": "a.txt"}),
    ("GET", "/api/servers/{server_id}/files/versions"): Sound(query={"path": "a.txt"}),
    ("POST", "/api/servers/{server_id}/files/upload"): Sound(query={"path": "up.bin"}),
}

PUBLIC = ("/api/health", "/api/billing/webhook", "/schema")


def all_routes(data: Path) -> Iterator[Route]:
    """Read the routes off the application itself: a new one is tested without anybody thinking of it."""
    app = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none", data_dir=data))
    for route in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if not path.startswith("/api"):  # pages and the scraper's door are tested by themselves
            continue
        for handler in getattr(route, "route_handlers", ()):
            for method in sorted(set(handler.http_methods) - {"OPTIONS"}):
                role = "nobody" if path.startswith(PUBLIC) else "admin" if path.startswith("/api/admin") else "customer"
                streams = bool(handler.opt.get("streams"))
                yield Route(method, path, role, handler.opt.get("gate"), streams, SOUND.get((method, path), Sound()))


def right_client(site: Site, route: Route, tenant: Tenant) -> httpx.Client:
    """Return the client that may use a route."""
    return {"nobody": site.nobody, "customer": tenant.client, "admin": site.admin}[route.role]
