"""The double as a program of its own beside `forbear up`, whose clock it follows. Its first page is a desk.

Started by `forbear up --stripe-double`; everything that it needs to know comes by environment.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import httpx
import psycopg
import yaml

from jobs.certificates import certificates
from tests.doubles import stripe_bank, stripe_pages
from tests.doubles.stripe_delivery import Deliverer
from tests.doubles.stripe_double import StripeDouble

STEP_SECONDS = 0.1
CENTS_A_SERVER = 150


class Clock:
    """Follows the clock of the system beside us: real time and the offset of its test clock."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._conn: psycopg.Connection[tuple[float]] | None = None
        self._offset_seconds = 0.0

    def now(self) -> int:
        """Return the seconds since 1970 that the system has."""
        return int(time.time() + self._offset_seconds)

    def look(self) -> None:
        """Read the offset. While the database is away, the last one holds."""
        try:
            if self._conn is None or self._conn.closed:
                self._conn = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
            row = self._conn.execute("SELECT extract(epoch FROM offset_by)::float8 FROM clock").fetchone()
            self._offset_seconds = row[0] if row else 0.0
        except psycopg.Error:
            if self._conn is not None:
                self._conn.close()


def prices_of(policy_dir: Path) -> dict[str, int]:
    """Return a price for every one that the policy names."""
    standing = yaml.safe_load((policy_dir / "standing.yaml").read_text(encoding="utf-8"))
    plans = standing["plans"].values()
    return {price: CENTS_A_SERVER * plan["servers"] for plan in plans for price in plan["prices"]}


def let_pass(url: str, token: str, hours: float) -> str:
    """Move the system's clock; return what was wrong, if anything was."""
    try:
        headers = {"Authorization": f"Bearer {token}"}
        body = {"hours": hours}
        there = f"{url}/api/admin/clock/advance"
        answer = httpx.post(there, json=body, headers=headers, timeout=150, trust_env=False, verify=certificates())
    except httpx.TransportError as error:
        return f"the system does not answer: {type(error).__name__}"
    return "" if answer.is_success else answer.text[:300]


def configure(double: StripeDouble, behaviour: str) -> None:
    """Let it behave as `twice,shuffled,off,delay=5,retries=1+2+3,after=unpaid` says. Raises Refused."""
    given = dict(part.partition("=")[::2] for part in behaviour.split(",") if part)
    switches: dict[str, str] = {name: "1" for name in ("twice", "shuffled", "off") if name in given}
    stripe_pages.switch(double.desk.delivery, {**switches, "delay": given.get("delay", "0")})
    if "retries" in given or "after" in given:
        days = given.get("retries", ",".join(map(str, double.books.retry_days)))
        stripe_bank.plan_retries(double.books, days, given.get("after", double.books.after_retries))


def main() -> None:
    """Serve until a signal."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--behaviour", default="")
    chosen = options.parse_args()
    port = chosen.port
    environment = os.environ
    system = f"http://127.0.0.1:{environment['FORBEAR_PORT']}"
    root = Path(__file__).resolve().parents[2]
    policy_dir = Path(environment.get("FORBEAR_POLICY_DIR") or root / "policy")
    folder = Path(environment["FORBEAR_DATA"]) / "stripe-double"
    folder.mkdir(mode=0o700, exist_ok=True)
    clock = Clock(environment["FORBEAR_DATABASE_URL"])
    clock.look()
    with StripeDouble(port=port, now=clock.now, prices=prices_of(policy_dir), file=folder / "books.json") as double:
        if environment.get("FORBEAR_TEST_CLOCK") == "1":
            token = environment["FORBEAR_ADMIN_TOKEN"]
            double.desk.let_pass = lambda hours: let_pass(system, token, hours)
        configure(double, chosen.behaviour)
        double.desk.delivery.off |= environment.get("FORBEAR_STRIPE_MODE") == "poll"
        double.books.endpoint(f"{system}/api/billing/webhook", is_enabled=not double.desk.delivery.off)
        secret = environment["STRIPE_WEBHOOK_SECRET"].split(",")[0].strip()
        deliverer = Deliverer(double.books, double.desk.delivery, f"{system}/api/billing/webhook", secret)
        while True:
            clock.look()
            double.books.pass_time()
            deliverer.step()
            time.sleep(STEP_SECONDS)


if __name__ == "__main__":
    main()
