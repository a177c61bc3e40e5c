"""A running `forbear up` and the HTTP conversations that a test has with it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from jobs.certificates import certificates

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_acceptance"
ADMIN = "acceptance-admin-token"


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class System:
    """`forbear up` on its own data directory, started and stopped by the test."""

    def __init__(self, data: Path, env: dict[str, str] | None = None) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "FORBEAR_ADMIN_TOKEN": ADMIN,
            **(env or {}),
        }
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []
        self.admin = self.client(ADMIN, timeout=150)
        self.stripe = httpx.Client(base_url=self.url, timeout=60, verify=certificates())
        self.customers = 0  # made so far
        self.offset_seconds = 0.0  # of the test clock

    def start(self, *options: str) -> float:
        """Start it, wait for its `ready` line, and return the seconds that took."""
        command = [sys.executable, "-m", "forbear", "up", "--data", str(self.data), "--port", str(self.port)]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "--test-clock", *options],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self.process, ready), daemon=True).start()
        while not ready.wait(0.05):
            if self.process.poll() is not None or time.monotonic() - began > 90:
                raise AssertionError("forbear up did not become ready:\n" + "".join(self.output[-40:]))
        return time.monotonic() - began

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line)
            if line.strip() == f"ready {self.url}":
                ready.set()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signum)
        status = self.process.wait(60)
        self.process = None
        return status

    # ---- what an admin does ------------------------------------------------------------------------------------------

    def customer(self) -> tuple[str, httpx.Client]:
        """Create a customer; return its id and a client that is signed in as them."""
        self.customers += 1
        body = {"email": f"c{self.customers}@example.org", "name": f"Customer {self.customers}"}
        made = self.admin.post("/api/admin/customers", json=body)
        assert made.status_code == 201, made.text
        token = made.json()["token"]
        return made.json()["customerId"], self.client(token)

    def client(self, token: str, timeout: float = 60) -> httpx.Client:
        """Return a client that is signed in with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, verify=certificates())

    def account(self, customer_id: str, stripe: str, plan: str = "game", subscription: str | None = None) -> str:
        """Create an account for a Stripe customer and return its id."""
        body = {"customerId": customer_id, "stripeCustomerId": stripe, "plan": plan}
        if subscription:
            body["stripeSubscriptionId"] = subscription
        made = self.admin.post("/api/admin/accounts", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["accountId"])

    def view(self, account_id: str) -> dict[str, Any]:
        """Return the account's durable fields and servers."""
        answer = self.admin.get(f"/api/admin/accounts/{account_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def events(self, account_id: str) -> list[dict[str, Any]]:
        """Return the account's audit, oldest first."""
        answer = self.admin.get(f"/api/admin/accounts/{account_id}/events")
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def advance(self, hours: float) -> None:
        """Move the test clock and let everything that follows happen."""
        answer = self.admin.post("/api/admin/clock/advance", json={"hours": hours})
        assert answer.status_code == 200, answer.text
        self.offset_seconds += hours * 3600

    def drain(self) -> int:
        """Let everything that can proceed now happen; return what waits."""
        answer = self.admin.post("/api/admin/drain")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["waiting"])

    def mailed(self, email: str, path: str) -> str:
        """Return the newest link to a page of ours that was mailed to somebody, once it is there."""
        for _ in poll(60):
            letters = sorted(self.data.rglob("new/*"), key=lambda letter: letter.stat().st_mtime_ns, reverse=True)
            for letter in letters:
                text = letter.read_text(errors="replace")
                link = re.search(rf"{path}\?token=[\w-]+", text.replace("=\n", "").replace("=3D", "="))
                if link and email in text:
                    return link[0]
        raise AssertionError(f"no letter to {email} leads to {path}")

    @property
    def stand_in(self) -> str:
        """Where the stand-in for Stripe is."""
        return next(line.split()[-1] for line in self.output if "stand-in" in line)

    def server(self, client: httpx.Client, account_id: str, key: str, kind: str = "game") -> str:
        """Create a server and wait until its operation succeeded; return its id."""
        body = {"name": f"srv-{key}", "kind": kind, "accountId": account_id}
        asked = client.post("/api/instances", json=body, headers={"Idempotency-Key": key})
        assert asked.status_code == 202, asked.text
        operation: dict[str, Any] = {}
        for _ in poll(60):
            operation = client.get(f"/api/operations/{asked.json()['operationId']}").json()
            if operation["state"] in ("succeeded", "failed"):
                break
        assert operation["state"] == "succeeded", operation
        return str(operation["serverId"])

    # ---- what Stripe does --------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Return the system's own idea of now, seconds since the epoch: real time plus the test clock's offset."""
        return int(time.time() + self.offset_seconds)

    def deliver(self, event: dict[str, Any]) -> httpx.Response:
        """Sign and deliver one event."""
        body = json.dumps(event).encode()
        headers = {"Stripe-Signature": sign(body), "Content-Type": "application/json"}
        return self.stripe.post("/api/billing/webhook", content=body, headers=headers)


def sign(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """Return a Stripe-Signature header."""
    stamp = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def invoice_event(
    kind: str,
    *,
    event: str,
    invoice: str,
    customer: str,
    status: str,
    created: int,
    cents: int = 1500,
    subscription: str | None = None,
    new_shape: bool = False,
) -> dict[str, Any]:
    """Return one `invoice.*` event as Stripe sends it, in the old or the new payload shape."""
    paid = status == "paid"
    body: dict[str, Any] = {
        "id": invoice,
        "object": "invoice",
        "customer": customer,
        "status": status,
        "currency": "usd",
        "amount_due": cents,
        "amount_paid": cents if paid else 0,
        "amount_remaining": 0 if paid else cents,
        "attempted": True,
        "attempt_count": 1,
        "created": created - 60,
        "hosted_invoice_url": f"https://invoice.stripe.test/{invoice}",
        "metadata": {},
    }
    if new_shape:
        body["parent"] = {
            "type": "subscription_details",
            "subscription_details": {"subscription": subscription, "metadata": {}},
        }
    else:
        body["subscription"] = subscription
    return envelope(f"invoice.{kind}", event, body, created)


def subscription_event(
    kind: str, *, event: str, subscription: str, customer: str, status: str, created: int, price: str = "price_game"
) -> dict[str, Any]:
    """Return one `customer.subscription.*` event."""
    body = {
        "id": subscription,
        "object": "subscription",
        "customer": customer,
        "status": status,
        "items": {"object": "list", "data": [{"id": "si_1", "price": {"id": price, "object": "price"}}]},
        "current_period_end": created + 86_400 * 30,
        "metadata": {},
    }
    return envelope(f"customer.subscription.{kind}", event, body, created)


def envelope(kind: str, event: str, body: dict[str, Any], created: int) -> dict[str, Any]:
    """Wrap an object the way Stripe does."""
    return {
        "id": event,
        "object": "event",
        "api_version": "2026-06-30.basil",
        "created": created,
        "livemode": False,
        "type": kind,
        "data": {"object": body},
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
    }


def poll(seconds: float, every_seconds: float = 0.05) -> Iterator[None]:
    """Yield until the time is over: a bounded wait on a condition that the caller checks."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(every_seconds)


def left_behind(data: Path) -> list[str]:
    """Return the command lines of processes that still name the data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environ = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(data) in line or f"FORBEAR_DATA={data}" in environ:
                found.append(f"{entry.name} {line.strip()}")
    return found
