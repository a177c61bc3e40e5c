"""May this caller do this now? One function that every route asks, and that says why not.

Where a write follows, the caller asks with `lock`: the account's row is locked first and read in a later statement, and
the write belongs to the same transaction. So no suspension can slip between the verdict and the write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, select, text
from sqlalchemy.engine import RowMapping

from engine import gates as matrix
from engine.model import SERVER_BILLING_STATES, Policy, Value
from engine.servers import rungs_of
from engine.snapshot import ServerState
from jobs.hosts.base import ServerSpec
from storage import audit, gather, policies
from storage.audit import AuditNote
from storage.tables import accounts, servers
from web.auth import Caller
from web.inputs import identifier
from web.problems import Problem, nothing_here
from web.services import Services
from web.told import AccountRow, Teller, why_denied

Answer = TypeVar("Answer")

BILLING = ("billingStatus", "serverBillingState", "nextStep", "payUrl", "retentionUntil")
GONE = frozenset({"deleting", "destroying", "deleted"})
# What its owner still reaches of a server that is gone, until the policy's time for that is over.
KEPT = frozenset({"backups.list", "backups.download"})


@dataclass(frozen=True, slots=True)
class Permitted:
    """What a permitted request stands on: the rows as they are, locked when that was asked for."""

    policy: Policy
    account: AccountRow
    """The account's row; where a server is named, as it is for that one, which may stand on rungs of its own."""
    server: RowMapping | None = None

    @property
    def spec(self) -> ServerSpec:
        """What the server's host needs to know of it."""
        assert self.server is not None
        row = self.server
        return ServerSpec(str(row["id"]), row["name"], row["kind"], row["port"])

    @property
    def host(self) -> str:
        """The name of the server's host."""
        assert self.server is not None
        return str(self.server["host"])


def ask(
    conn: Connection,
    services: Services,
    caller: Caller,
    action: str,
    *,
    server_id: str | None = None,
    account_id: str | None = None,
    lock: bool = False,
    also_gone: bool = False,
) -> Permitted:
    """Return what the caller may act on, or raise why not: 404 when it is not theirs, 402 when billing says no.

    also_gone: judge a server that is being deleted like any other.
    """
    there = find(conn, caller, server_id=server_id, account_id=account_id, lock=lock)
    if there.server is not None and not also_gone and _is_gone(there.server, action):
        raise nothing_here("server")
    if (why_not := refusal(conn, services, caller, there, action)) is not None:
        raise why_not
    return there


def find(
    conn: Connection,
    caller: Caller,
    *,
    server_id: str | None = None,
    account_id: str | None = None,
    lock: bool = False,
) -> Permitted:
    """Return what the caller names, without asking what may be done with it. Raises the 404 when it is not theirs."""
    policy = policies.in_force(conn)
    server, account = _rows(conn, server_id, account_id, lock=lock)
    if account is None or not _is_theirs(caller, account):
        raise nothing_here("account" if server_id is None else "server")
    return Permitted(policy, account if server is None else _seen_by(policy, account, server), server)


def refusal(conn: Connection, services: Services, caller: Caller, there: Permitted, action: str) -> Problem | None:
    """Return why billing says no to an action now; None: it does not."""
    verdict = _verdict(conn, there.policy, there.account, action, caller)
    return None if verdict.allow else denial(conn, services, there.policy, there.account, verdict)


def _rows(
    conn: Connection, server_id: str | None, account_id: str | None, *, lock: bool
) -> tuple[RowMapping | None, RowMapping | None]:
    """Read the server and its account; lock the account first when asked to."""
    if server_id is not None:
        known = select(servers.c.account_id).where(servers.c.id == identifier(server_id, "server"))
        owner = conn.execute(known).scalar_one_or_none()
    else:
        owner = identifier(account_id or "", "account")
    if owner is None:
        return None, None
    if lock:
        conn.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR NO KEY UPDATE"), {"id": owner})
    account = conn.execute(select(accounts).where(accounts.c.id == owner)).mappings().one_or_none()
    if server_id is None:
        return None, account
    return conn.execute(select(servers).where(servers.c.id == server_id)).mappings().one(), account


def _seen_by(policy: Policy, account: RowMapping, server: RowMapping) -> AccountRow:
    if not server["states"]:
        return account
    found = {**account, "states": rungs_of(policy, account["states"], server["states"])}
    how_strict = SERVER_BILLING_STATES.index
    if how_strict(server["own_billing_state"]) > how_strict(account["server_billing_state"]):
        found |= {f"server_billing_{each}": server[f"own_billing_{each}"] for each in ("state", "machine", "code")}
    return found


def _is_gone(server: RowMapping, action: str) -> bool:
    if action in KEPT and "backups_expired_at" not in server["stamps"]:
        return False
    return server["lifecycle"] in GONE


def _is_theirs(caller: Caller, account: AccountRow) -> bool:
    return caller.role == "admin" or str(account["customer_id"]) == caller.customer_id


def _verdict(conn: Connection, policy: Policy, account: AccountRow, action: str, caller: Caller) -> matrix.GateVerdict:
    """Judge by the columns alone where they suffice; further reasons to deny need the account's facts."""
    server_state = ServerState(
        account["server_billing_state"], account["server_billing_machine"], account["server_billing_code"]
    )
    facts: Mapping[str, Value] = {}
    if any(also.action == action for also in policy.gates.also):
        facts = gather.snapshots(conn, policy, [account["id"]])[account["id"]].facts
    return matrix.verdict(policy, account["states"], server_state, action, caller.role, facts)


def denial(
    conn: Connection, services: Services, policy: Policy, account: AccountRow, verdict: matrix.GateVerdict
) -> Problem:
    """Build the 402: the code, a sentence for the customer, and what to do next."""
    told = Teller(conn, services.settings, policy).account(account)
    code = verdict.code or "DENIED"
    return Problem(402, code, why_denied(code, told["message"]), billing={name: told[name] for name in BILLING})


# ---- the ways in which routes ask ------------------------------------------------------------------------------------


def gate_of(request: Any) -> str:
    """Return the action that the route declared. Every route that asks declares one; the app refuses others."""
    return str(request.route_handler.opt["gate"])


def locked(
    request: Any,
    work: Callable[[Connection, Permitted], Answer],
    *,
    server_id: str | None = None,
    account_id: str | None = None,
    also_gone: bool = False,
) -> Answer:
    """Ask under the account's lock and write in that transaction; from the start again when others were in the way."""
    services: Services = request.app.state.services
    action = gate_of(request)

    def attempt(conn: Connection) -> Answer:
        caller: Caller = request.state.caller
        about: dict[str, Any] = {"server_id": server_id, "account_id": account_id, "also_gone": also_gone}
        allowed = ask(conn, services, caller, action, lock=True, **about)
        return work(conn, allowed)

    return services.database.transact(action, attempt)


def permitted(request: Any, server_id: str) -> Permitted:
    """Ask, and hold nothing: for work on the host, which can take long. What an admin changes there is audited."""
    services: Services = request.app.state.services
    caller: Caller = request.state.caller
    action = gate_of(request)
    with services.database.begin() as conn:
        allowed = ask(conn, services, caller, action, server_id=server_id)
        if caller.role == "admin" and request.scope.get("method", "GET") != "GET":
            note = AuditNote("admin", action, caller.actor, "on a tenant's server", facts={"server_id": server_id})
            audit.append(conn, allowed.account["id"], [note], allowed.policy.digest)
    return allowed


class StillPermitted:
    """Asks again while something long goes on, at most every `every_seconds`."""

    def __init__(self, request: Any, server_id: str, *, every_seconds: float = 0.5) -> None:
        self._request = request
        self._server_id = server_id
        self._every_seconds = every_seconds
        self._next = time.monotonic() + every_seconds

    def check(self) -> None:
        """Ask when it is time. Raises Problem."""
        if time.monotonic() >= self._next:
            self.now()

    def now(self) -> None:
        """Ask. Raises Problem."""
        services: Services = self._request.app.state.services
        caller: Caller = self._request.state.caller
        with services.database.begin() as conn:
            ask(conn, services, caller, gate_of(self._request), server_id=self._server_id)
        self._next = time.monotonic() + self._every_seconds
