"""Desired against observed, each tick: what `repairs.yaml` recommends is asked for, once it was seen often enough.

Nothing is done here but asking: workers carry it out, with the same re-check under lock as anything else. Each
recommendation and what became of it is an event, told once and not each tick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from engine.maintenance import is_running
from engine.model import IntentKind, Policy
from engine.repairs import Recommendation, recommend, recommendations
from jobs.context import Context
from jobs.isolation import by_itself, made_anew_each_tick
from jobs.logs import say
from jobs.observe import Seat, fleet
from storage import brakes, clock, policies, repairs
from storage.alerts import raise_alert
from storage.intents_ask import ask_server
from storage.intents_outbox import REPAIR, Outbox
from storage.leases import Fence, check
from storage.repairs import Event, Key, Standing

# A server that keeps needing the same repair is left alone for longer each time, so that one that crashes at its start
# neither keeps a worker busy nor uses up everybody's brake.
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=15)
REMEMBERED = timedelta(hours=1)
MOST_A_PASS = 200  # of what no brake bounds; the next pass goes on

ALERT_KINDS: Mapping[str, str] = {"wait": "host_unknown", "busy": "safe_point_missed"}
QUIET = frozenset({repairs.DRY_RUN, repairs.BRAKED, repairs.PAUSED, repairs.RESTING})  # no intent's end closes these

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Need:
    """One server for which a line of repairs holds that asks for something, or for patience that ends."""

    seat: Seat
    advice: Recommendation
    standing: Standing

    @property
    def key(self) -> Key:
        """The server and the line."""
        return self.seat.id, self.advice.repair or ""

    @property
    def agreed(self) -> bool:
        """Whether it was seen often enough to be done."""
        return self.advice.do is not None and self.standing.count >= self.advice.agreeing

    def event(self, outcome: str, now: datetime, intent: Outbox | None = None) -> Event:
        """Return what is remembered of it."""
        advice = self.advice
        number = intent.intent_id if intent is not None else None
        return Event(*self.key, advice.do, advice.level, outcome, advice.reason, now, number)


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
        outcomes = judge(conn, policy, needs, now)
    live = [need for need in needs if need.advice.mode == "live" and need.advice.do is not None]
    ready = [need for need in live if need.agreed and need.key not in outcomes]
    under_way = _under_way(context, ready, now)
    ready = [need for need in ready if (need.seat.id, need.advice.do) not in under_way]
    free = [need for need in ready if need.advice.brake is None]
    braked = [need for need in ready if need.advice.brake is not None]
    granted = _granted(context, policy, fence, braked)
    outcomes |= {need.key: repairs.BRAKED for need in braked if need.key not in granted}
    done.pending = sum(need.advice.do is not None and not need.agreed for need in needs) + len(free[MOST_A_PASS:])
    for need in free[:MOST_A_PASS] + [need for need in braked if need.key in granted]:
        with by_itself(f"the repair of server {need.seat.id}"):
            work = partial(_ask, context=context, policy=policy, need=need, fence=fence)
            done.asked += context.database.transact(f"server `{need.seat.id}`", work)
    _tell_quiet(context, fence, needs, outcomes)
    _tell_impatience(context, needs, now, fence)
    return done


def look_back(context: Context, fence: Fence, *, prune: bool) -> None:
    """Tell how what was asked for has ended; now and then, remove what is old or too many: events, slots of brakes."""
    with context.database.begin() as conn:
        if not (prune or repairs.is_unsettled(conn)):
            return

    def work(conn: Connection) -> None:
        made_anew_each_tick(conn)
        check(conn, fence)
        now = clock.now(conn)
        repairs.settle(conn, now)
        if prune:
            repairs.prune(conn, now)
            brakes.prune(conn, policies.in_force(conn), now)

    context.database.transact("repair events", work)


# ---- what is needed --------------------------------------------------------------------------------------------------


def _weigh(conn: Connection, policy: Policy, fence: Fence, now: datetime) -> list[Need]:
    """Compare what is recommended now with what was before, and write down what changed."""
    before = repairs.standings(conn)
    needs = list(needs_of(policy, fleet(conn), before, now))
    changed = {need.key: need.standing for need in needs if before.get(need.key) != need.standing}
    gone = before.keys() - {need.key for need in needs}
    if changed or gone:
        made_anew_each_tick(conn)
        check(conn, fence)
        repairs.note(conn, changed)
        repairs.forget(conn, gone)
        over = [key for key in sorted(gone) if before[key].told in QUIET]
        repairs.tell(conn, [Event(*key, None, None, repairs.OVER, "it no longer holds", now) for key in over])
    return needs


def needs_of(policy: Policy, seats: Iterable[Seat], before: Mapping[Key, Standing], now: datetime) -> Iterable[Need]:
    """Return for whom a line of repairs holds, with how often in a row it has been seen, this time included."""
    for seat in seats:
        for advice in recommendations(policy, seat.seen(now)):
            if advice.repair is None or (advice.do is None and (advice.alert_after is None or advice.mode != "live")):
                continue
            known = before.get((seat.id, advice.repair))
            standing = Standing(1, now)
            if known is not None:
                count = min(known.count + 1, max(advice.agreeing, known.count))
                standing = Standing(count, known.since, known.told)
            yield Need(seat, advice, standing)


def judge(conn: Connection, policy: Policy, needs: Sequence[Need], now: datetime) -> dict[Key, str]:
    """Return what is not asked for, and why: only to be told, too early again, or while maintenance runs."""
    agreed = [need for need in needs if need.agreed]
    # what must never run is never waited for
    damped = [need for need in agreed if need.advice.mode == "live" and need.advice.agreeing > 1]
    history = repairs.history(conn, [need.seat.id for need in damped], now - REMEMBERED) if damped else {}
    early = {need.key: repairs.PAUSED for need in damped if not _is_time(history.get(need.key), now)}
    rests = is_running(policy, now)
    resting = {need.key: repairs.RESTING for need in agreed if rests and not need.advice.in_maintenance}
    return early | resting | {need.key: repairs.DRY_RUN for need in agreed if need.advice.mode == "dry_run"}


def _is_time(before: tuple[int, datetime] | None, now: datetime) -> bool:
    """Tell whether enough time has passed since the last such repair."""
    if before is None:
        return True
    times, last = before
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(times - 1, 20), LONGEST_PAUSE)
    return now >= last + pause


# ---- asking ----------------------------------------------------------------------------------------------------------


def _under_way(context: Context, ready: Sequence[Need], now: datetime) -> set[tuple[UUID, str]]:
    """Return what somebody is doing already."""
    if not ready:
        return set()
    with context.database.begin() as conn:
        return repairs.under_way(conn, [need.seat.id for need in ready], now)


def _granted(context: Context, policy: Policy, fence: Fence, braked: Sequence[Need]) -> set[Key]:
    """Ask the brakes, each once for all; return whom they let through."""
    granted: set[Key] = set()
    for name in dict.fromkeys(need.advice.brake for need in braked if need.advice.brake is not None):
        wanting = {need.seat.id: need.key for need in braked if need.advice.brake == name}
        with by_itself(f"the brake {name}"):
            work = partial(_slots, policy=policy, name=name, servers=list(wanting), fence=fence)
            granted |= {wanting[server] for server in context.database.transact(f"brake `{name}`", work)}
    return granted


def _slots(conn: Connection, *, policy: Policy, name: str, servers: Sequence[UUID], fence: Fence) -> frozenset[UUID]:
    check(conn, fence)
    return brakes.take(conn, brakes.of_repairs(policy)[name], servers, clock.now(conn))


def _ask(conn: Connection, *, context: Context, policy: Policy, need: Need, fence: Fence) -> bool:
    """Ask for one repair, and remember it; tell whether anything was asked for."""
    seat, advice = need.seat, need.advice
    asked = _ask_server(conn, context=context, policy=policy, need=need, fence=fence)
    if not asked:
        return False
    now = clock.now(conn)
    repairs.tell(conn, [need.event(repairs.ASKED, now, asked[0])])
    repairs.note(conn, {need.key: replace(need.standing, told=repairs.ASKED)})
    if advice.do == "shutdown_suspended_server":
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
        queue=REPAIR if policy.intents[need.advice.do].kind is IntentKind.COMMAND else None,
        because=f"{need.advice.repair}: {need.advice.reason}",
        fence=fence,
        world=context.world,
    )


# ---- telling ---------------------------------------------------------------------------------------------------------


def _tell_quiet(context: Context, fence: Fence, needs: Sequence[Need], outcomes: Mapping[Key, str]) -> None:
    """Remember what was not asked for, when that is news."""
    news = [need for need in needs if (outcome := outcomes.get(need.key)) is not None and outcome != need.standing.told]
    if not news:
        return

    def work(conn: Connection) -> None:
        made_anew_each_tick(conn)
        check(conn, fence)
        now = clock.now(conn)
        repairs.tell(conn, [need.event(outcomes[need.key], now) for need in news])
        repairs.note(conn, {need.key: replace(need.standing, told=outcomes[need.key]) for need in news})

    context.database.transact("repair events", work)


def _tell_impatience(context: Context, needs: Sequence[Need], now: datetime, fence: Fence) -> None:
    """Tell people what has lasted too long: one alert for each host and reason, not one for each server."""
    lasting: dict[tuple[str, str], list[Need]] = {}
    for need in needs:
        if need.advice.alert_after is not None and now - need.standing.since >= need.advice.alert_after:
            lasting.setdefault((need.seat.host, need.advice.repair or ""), []).append(need)
    for (host, signature), group in lasting.items():
        since = min(need.standing.since for need in group)
        kind = ALERT_KINDS.get(signature, "repair_failed")
        words = (
            f"{len(group)} servers on host {host} have been at `{signature}` since {since:%Y-%m-%d %H:%M} UTC, "
            f"for one {group[0].seat.id}: {group[0].advice.reason}{_in_the_end(signature, group[0].seat.id)}"
        )
        with by_itself("an alert"), context.database.begin() as conn:
            check(conn, fence)
            raise_alert(conn, kind, words, key=f"{kind}:{host}:{signature}:{since.isoformat()}")


def _in_the_end(signature: str, server_id: UUID) -> str:
    """Return what a person has to know of a host that does not show a server: nothing is concluded from that, ever."""
    if ALERT_KINDS.get(signature) != "host_unknown":
        return ""
    return (
        "; a tenant that its host has lost is billed on until somebody deletes it, "
        f"this one by `POST /api/admin/tenants/{server_id}/delete`"
    )


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
    standing = Standing(1, datetime.now(UTC))
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
