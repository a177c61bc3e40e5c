"""A deployment of one test: a migrated database, a policy, accounts in any condition, and time that the test moves."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import Connection, text

from engine.decide import blank
from engine.model import Plan, Policy
from storage import clock, intents, ledger, operations
from storage.database import Database
from storage.ledger import Recorded
from storage.operations import Operation
from storage.settings import Settings
from tests.factories import HERE, small_policy
from tests.sessions import LastingDatabase

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
_numbers = itertools.count(1)


def small_deployed_policy() -> Policy:
    """Return the small policy with a plan of two servers."""
    policy = small_policy()
    return replace(policy, standing=replace(policy.standing, plans={"game": Plan("game", (), 2, HERE)}))


class Deployment:
    """What a test talks to."""

    def __init__(self, url: str, policy: Policy | None = None) -> None:
        self.url = url
        self.settings = Settings(database_url=url, test_clock=True)
        self.database: Database = LastingDatabase(self.settings, pool_size=8)
        self.policy = policy or small_deployed_policy()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction."""
        with self.database.begin() as conn:
            yield conn

    def session(self) -> psycopg.Connection[Any]:
        """Open a session of its own, in autocommit."""
        return self.database.connect()

    def close(self) -> None:
        """Close what was opened."""
        self.database.close()

    # ---- accounts ----------------------------------------------------------------------------------------------------

    def customer(self) -> UUID:
        """Make a customer."""
        add = "INSERT INTO customers (email, name, token_hash) VALUES ('a@example.org', 'A', :hash) RETURNING id"
        return UUID(str(self.scalar(add, hash=str(next(_numbers)).encode())))

    def account(self, *, states: Mapping[str, str] | None = None, **columns: Any) -> UUID:
        """Make an account that nothing has happened to, or one in the given condition."""
        first, episodes = blank(self.policy)
        values: dict[str, Any] = {
            "customer_id": columns.pop("customer_id", None) or self.customer(),
            "stripe_customer_id": f"cus_{next(_numbers)}",
            "subscription_status": "active",
            "plan": "game",
            "has_active_plan": True,
            "states": json.dumps(first | dict(states or {})),
            "episodes": json.dumps(episodes),
            "billing_status": (first | dict(states or {}))["billing"],
        } | columns
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        return UUID(str(self.scalar(f"INSERT INTO accounts ({names}) VALUES ({places}) RETURNING id", **values)))

    def late(self, hours: float = 1, **columns: Any) -> UUID:
        """Make an account that has been late for so many hours, and has not been decided yet."""
        since = self.now() - timedelta(hours=hours)
        return self.account(overdue_invoices=1, past_due_since=since, due_at=since, **columns)

    def server(
        self, account_id: UUID, *, lifecycle: str = "running", observed: str = "running", **columns: Any
    ) -> UUID:
        """Make a server that should run."""
        values = {"account_id": account_id, "name": "s", "kind": "game", "desired": "running"} | columns
        values |= {"lifecycle": lifecycle, "observed": observed}
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        return UUID(str(self.scalar(f"INSERT INTO servers ({names}) VALUES ({places}) RETURNING id", **values)))

    def pay(self, account_id: UUID) -> Recorded:
        """Take in that nothing is owed any more, as the inbox does: evidence and decision in one transaction."""
        with self.begin() as conn:
            ledger.lock(conn, [account_id])
            paid = "UPDATE accounts SET overdue_invoices = 0, past_due_since = NULL WHERE id = :id"
            conn.execute(text(paid), {"id": account_id})
            return ledger.record(conn, self.policy, account_id, actor="stripe")

    # ---- time --------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return what time it is for decisions."""
        with self.begin() as conn:
            return clock.now(conn)

    def advance(self, hours: float) -> None:
        """Move the clock."""
        with self.begin() as conn:
            clock.advance(conn, hours, self.settings)

    def operation(self, conn: Connection, account_id: UUID, kind: str) -> Operation:
        """Write an operation of the account's customer down."""
        customer_id = self.row(account_id)["customer_id"]
        whose = {"customer_id": customer_id, "account_id": account_id}
        return operations.create(conn, **whose, idempotency_key=str(uuid4()), request_hash=b"", kind=kind)[0]

    # ---- work --------------------------------------------------------------------------------------------------------

    def record(self, *account_ids: UUID, **more: Any) -> list[Recorded]:
        """Decide accounts."""
        with self.begin() as conn:
            return ledger.record_many(conn, self.policy, account_ids, **more)

    def sweep(self, batch: int = 100, *, force: bool = False) -> int:
        """Decide whatever is due, until nothing new comes up; return how many were decided."""
        seen: set[UUID] = set()
        while True:
            with self.begin() as conn:
                found = [each for each in ledger.due(conn, clock.now(conn), batch, force=force) if each not in seen]
            if not found:
                return len(seen)
            self.record(*found)
            seen |= set(found)

    def claim(self, intent_id: UUID, worker: int | None = None, **more: Any) -> intents.Claim | None:
        """Claim an intent."""
        with self.begin() as conn:
            return intents.claim(conn, self.policy, intent_id, worker, **more)

    def finish(self, claim: intents.Claim, outcome: intents.Outcome) -> intents.Finished:
        """Report how it ended."""
        with self.begin() as conn:
            return intents.finish(conn, self.policy, claim, outcome)

    def work(self) -> list[str]:
        """Let workers do everything that can be done now; return the names of the intents that were done, in order."""
        done: list[str] = []
        while True:
            with self.begin() as conn:
                found = intents.runnable(conn, clock.now(conn), 100)
            if not found:
                return done
            for outbox in found:
                claim = self.claim(outbox.intent_id)
                if claim is not None:
                    self.finish(claim, intents.Done())
                    done.append(claim.intent)

    def settle(self) -> list[str]:
        """Sweep and work in turn until nothing follows; return what was done."""
        done: list[str] = []
        while True:
            self.sweep()
            more = self.work()
            if not more:
                return done
            done += more

    # ---- looking -----------------------------------------------------------------------------------------------------

    def scalar(self, statement: str, **given: Any) -> Any:
        """Run a statement and return its one value."""
        with self.begin() as conn:
            return conn.execute(text(statement), given).scalar_one()

    def rows(self, statement: str, **given: Any) -> list[dict[str, Any]]:
        """Run a query."""
        with self.begin() as conn:
            return [dict(row) for row in conn.execute(text(statement), given).mappings()]

    def row(self, account_id: UUID) -> dict[str, Any]:
        """Return an account's row."""
        return self.rows("SELECT * FROM accounts WHERE id = :id", id=account_id)[0]

    def intents_of(self, account_id: UUID, name: str | None = None) -> list[dict[str, Any]]:
        """Return an account's intents, oldest first."""
        find = (
            "SELECT * FROM intents WHERE account_id = :id AND (CAST(:name AS text) IS NULL OR intent = :name) "
            "ORDER BY created_at, intent, round"
        )
        return self.rows(find, id=account_id, name=name)

    def audit_of(self, account_id: UUID | None) -> list[dict[str, Any]]:
        """Return an account's audit."""
        from storage import audit

        with self.begin() as conn:
            return audit.read(conn, account_id)

    def alerts(self) -> list[str]:
        """Return the kinds of the alerts that were raised."""
        return [row["kind"] for row in self.rows("SELECT kind FROM alerts ORDER BY id")]


def eventually(holds: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


def together(count: int, act: Callable[[int], T]) -> list[T]:
    """Run `act` so many times at once; return what each returned."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))
