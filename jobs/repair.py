"""Desired against observed, each tick: what `repairs.yaml` recommends is asked for, once it was seen often enough.

Nothing is done here but asking: workers carry it out, with the same re-check under lock as anything else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, text

from engine.model import Permit, PermitKind, Place, Policy
from engine.repairs import Recommendation, recommend
from jobs.context import Context
from jobs.isolation import by_itself
from jobs.logs import say
from jobs.observe import Seat, fleet
from storage import brakes, clock
from storage.alerts import raise_alert
from storage.intents_ask import ask_server
from storage.intents_outbox import Outbox
from storage.leases import Fence, check

# A server that keeps needing the same repair is left alone for longer each time, so that one that crashes at its start
# neither keeps a worker busy nor uses up everybody's brake.
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=15)
REMEMBERED = timedelta(hours=1)
MOST_A_PASS = 200  # the next pass goes on

ALERT_KINDS: Mapping[str, str] = {"wait": "host_unknown", "busy": "safe_point_missed"}

SEEN = text("SELECT server_id, signature, count, since FROM observations")
NOTE = text(
    """
    INSERT INTO observations (server_id, signature, count, since)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:signatures AS text[]), CAST(:counts AS int[]),
                         CAST(:sinces AS timestamptz[]))
    ON CONFLICT (server_id) DO UPDATE
    SET signature = excluded.signature, count = excluded.count, since = excluded.since
    """
)
FORGET = text("DELETE FROM observations WHERE server_id = ANY(:ids)")
UNFINISHED = text(
    "SELECT 1 FROM intents WHERE server_id = :server_id AND intent = :intent AND (status = 'started' "
    "OR (status = 'open' AND (not_before IS NULL OR not_before <= :now))) LIMIT 1"
)
BEFORE = text(
    "SELECT count(*), max(at) FROM repair_events WHERE server_id = :server_id AND repair = :repair AND did IS NOT NULL "
    "AND at > :since"
)
REMEMBER = text(
    "INSERT INTO repair_events (server_id, repair, did, reason, at) VALUES (:server_id, :repair, :did, :reason, :at)"
)


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How long, and how often in a row, the same was recommended for a server."""

    signature: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """One server for which a line of repairs holds that asks for something, or for patience that ends."""

    seat: Seat
    advice: Recommendation
    standing: Standing


@dataclass(slots=True)
class Repaired:
    """What one pass did."""

    asked: int = 0
    pending: int = 0
    """Repairs that wait to be seen again before anything is done."""


def repair(context: Context, policy: Policy, fence: Fence) -> Repaired:
    """Look at every server and ask for what is due."""
    done = Repaired()
    with context.database.begin() as conn:
        now = clock.now(conn)
        needs = _weigh(conn, policy, fence, now)
    braked: set[str] = set()
    for need in needs:
        if need.advice.do is None:
            continue
        if need.standing.count < need.advice.agreeing or done.asked >= MOST_A_PASS:
            done.pending += 1
            continue
        if need.advice.brake in braked:
            continue
        with by_itself(f"the repair of server {need.seat.id}"):
            work = partial(_ask, context=context, policy=policy, need=need, fence=fence, braked=braked)
            done.asked += context.database.transact(f"server `{need.seat.id}`", work)
    _tell_impatience(context, needs, now, fence)
    return done


def _weigh(conn: Connection, policy: Policy, fence: Fence, now: datetime) -> list[Need]:
    """Compare what is recommended now with what was before, and write down what changed."""
    before = {server_id: Standing(*standing) for server_id, *standing in conn.execute(SEEN)}
    needs = []
    for seat in fleet(conn):
        advice = recommend(policy, seat.seen(now))
        if advice.repair is None or (advice.do is None and advice.alert_after is None):
            continue
        known = before.get(seat.id)
        if known is None or known.signature != advice.repair:
            standing = Standing(advice.repair, 1, now)
        else:
            standing = Standing(advice.repair, min(known.count + 1, max(advice.agreeing, known.count)), known.since)
        needs.append(Need(seat, advice, standing))
    changed = [need for need in needs if before.get(need.seat.id) != need.standing]
    gone = sorted(set(before) - {need.seat.id for need in needs})
    if changed or gone:
        check(conn, fence)
    if changed:
        conn.execute(
            NOTE,
            {
                "ids": [need.seat.id for need in changed],
                "signatures": [need.standing.signature for need in changed],
                "counts": [need.standing.count for need in changed],
                "sinces": [need.standing.since for need in changed],
            },
        )
    if gone:
        conn.execute(FORGET, {"ids": gone})
    return needs


def _ask(conn: Connection, *, context: Context, policy: Policy, need: Need, fence: Fence, braked: set[str]) -> bool:
    """Ask for one repair unless it is under way, too early again, braked, or only to be written down."""
    seat, advice = need.seat, need.advice
    now = clock.now(conn)
    assert advice.do is not None
    assert advice.repair is not None
    if conn.execute(UNFINISHED, {"server_id": seat.id, "intent": advice.do, "now": now}).first() is not None:
        return False
    if not _is_time(conn, need, now):
        return False
    event = {"server_id": seat.id, "repair": advice.repair, "did": None, "reason": advice.reason, "at": now}
    if advice.brake is not None and not _slot(conn, policy, advice.brake, seat, now):
        braked.add(advice.brake)  # nobody else gets a slot in this pass
        return False
    asked = _ask_server(conn, context=context, policy=policy, need=need, fence=fence)
    if not asked:
        return False
    conn.execute(REMEMBER, {**event, "did": advice.do})
    if advice.repair == "shutdown_suspended":
        words = f"server {seat.id} is {seat.billing_state} and was found running; it is being shut down"
        key = f"suspended_running:{seat.id}:{need.standing.since.isoformat()}"
        raise_alert(conn, "suspended_running", words, seat.account_id, key=key)
    say(log, logging.WARNING, f"repair: {advice.do}", server=seat.id, because=advice.reason)
    return True


def _ask_server(conn: Connection, *, context: Context, policy: Policy, need: Need, fence: Fence) -> tuple[Outbox, ...]:
    assert need.advice.do is not None
    return ask_server(
        conn,
        policy,
        need.seat.id,
        need.advice.do,
        actor="controller",
        machine="repair",
        because=f"{need.advice.repair}: {need.advice.reason}",
        fence=fence,
        world=context.world,
    )


def _is_time(conn: Connection, need: Need, now: datetime) -> bool:
    """Tell whether enough time has passed since the last such repair. What must never run is never waited for."""
    if need.advice.agreeing == 1:
        return True
    given = {"server_id": need.seat.id, "repair": need.advice.repair, "since": now - REMEMBERED}
    times, last = conn.execute(BEFORE, given).one()
    if not times:
        return True
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(times - 1, 20), LONGEST_PAUSE)
    return bool(now >= last + pause)


def _slot(conn: Connection, policy: Policy, name: str, seat: Seat, now: datetime) -> bool:
    brake = policy.repairs.brakes[name]
    permit = Permit(
        f"repairs.{name}", PermitKind.BRAKE, Place("repairs.yaml", 1, 1), brake=brake, alert="repair_brake_tripped"
    )
    return bool(brakes.take(conn, permit, [seat.id], now))


def _tell_impatience(context: Context, needs: Sequence[Need], now: datetime, fence: Fence) -> None:
    """Tell people what has lasted too long: one alert for each host and reason, not one for each server."""
    lasting: dict[tuple[str, str], list[Need]] = {}
    for need in needs:
        if need.advice.alert_after is not None and now - need.standing.since >= need.advice.alert_after:
            lasting.setdefault((need.seat.host, need.standing.signature), []).append(need)
    for (host, signature), group in lasting.items():
        since = min(need.standing.since for need in group)
        kind = ALERT_KINDS.get(signature, "repair_failed")
        words = (
            f"{len(group)} servers on host {host} have been at `{signature}` since {since:%Y-%m-%d %H:%M} UTC, "
            f"for one {group[0].seat.id}: {group[0].advice.reason}"
        )
        with by_itself("an alert"), context.database.begin() as conn:
            check(conn, fence)
            raise_alert(conn, kind, words, key=f"{kind}:{host}:{signature}:{since.isoformat()}")


def boot(context: Context, policy: Policy, fence: Fence, host: str) -> int:
    """Start what should run on a machine that has just come up with nothing running; return how many were asked for.

    What a machine's own boot does with autostart, but through workers, who ask billing first. It is no repair: what was
    stopped with the machine is neither counted against a brake nor watched for a while.
    """
    with context.database.begin() as conn:
        now = clock.now(conn)
        seats = [seat for seat in fleet(conn) if seat.host == host]
    if any(seat.observed != "stopped" for seat in seats):
        return 0
    standing = Standing("boot", 1, datetime.now(UTC))
    count = 0
    for seat in seats:
        advice = recommend(policy, seat.seen(now))
        if advice.do != "start_server":
            continue
        need = Need(seat, Recommendation("boot", "start_server", "live", "its host has come up"), standing)
        with by_itself(f"the start of server {seat.id}"):
            work = partial(_ask_server, context=context, policy=policy, need=need, fence=fence)
            count += len(context.database.transact(f"server `{seat.id}`", work))
    if count:
        say(log, logging.INFO, "the host has come up", host=host, servers=count)
    return count
