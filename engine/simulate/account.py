"""What happens to one account, told moment by moment: what it meets, what it is told, what is blocked.

`engine.timeline.play` decides; this puts it into words and numbers that text, JSON and the picture share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.calendar import zone_of
from engine.errors import NoticeIncomplete
from engine.gates import verdict
from engine.model import Policy, Value
from engine.notices import FIELDS, FieldValue, render
from engine.snapshot import Snapshot, StepKind
from engine.timeline.play import Item, Moment, Player, Sent, Timeline, promises
from engine.timeline.servers import ServerMove
from engine.timeline.text import write_offset

LOOK_AHEAD = timedelta(days=400)  # beyond the last item, when nobody says how far

SAMPLE: Mapping[str, FieldValue] = {
    "customer_name": "Ada Lovelace",
    "account_id": "account",
    "plan": "game",
    "amount_due": "12.00 EUR",
    "pay_url": "https://pay.example/invoice",
    "confirm_url": "https://pay.example/invoice",
    "portal_url": "https://pay.example/portal",
    "support_email": "support@example.com",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that the policy did, and the line that says so."""

    kind: StepKind
    machine: str
    because: str
    place: str
    from_: str
    to: str
    asked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice as the customer gets it. Without a subject: it could not be written, and `problem` says why."""

    intent: str
    round: int
    outcome: str
    subject: str | None
    text: str | None
    rule: str | None  # whose date it promises
    promise_at: datetime | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One moment of the story."""

    at: datetime
    local: datetime
    offset: timedelta
    happened: tuple[str, ...]  # from outside
    changes: tuple[Change, ...]
    letters: tuple[Letter, ...]
    moves: tuple[str, ...]
    refused: str | None
    blocked: tuple[tuple[str, str], ...]  # actions that are denied from here on, with the code
    freed: tuple[str, ...]  # actions that are allowed again
    states: Mapping[str, str]
    server: str
    promised: Mapping[str, datetime]
    waiting: tuple[str, ...]
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Story:
    """All rows of one account, and the timeline behind them. `ends_at` is how far was looked."""

    timeline: Timeline
    rows: tuple[Row, ...]
    moments: tuple[Moment, ...]
    ends_at: datetime


def simulate(policy: Policy, timeline: Timeline, until: datetime | None = None) -> Story:
    """Return the story of the timeline; without `until`, to where nothing more follows by itself."""
    last = timeline.start + max((item.at for item in timeline.items), default=timedelta(0))
    ends_at = until or last + LOOK_AHEAD
    player = Player(policy, timeline)
    moments = list(player.run(ends_at))
    rows = []
    denied: dict[str, str] | None = None
    before = moments[0].snapshot
    for moment in moments:
        now = _denied(policy, moment)
        if moment.item is not None or not moment.quiet:
            rows.append(_row(policy, timeline, moment, before, (denied or {}, now)))
        denied, before = now, moment.snapshot
    return Story(timeline, tuple(rows), tuple(moments), until or (rows[-1].at if rows else last))


def _row(
    policy: Policy, timeline: Timeline, moment: Moment, before: Snapshot, denied: tuple[dict[str, str], dict[str, str]]
) -> Row:
    item = timeline.items[moment.item] if moment.item is not None else None
    changes = tuple(
        Change(s.kind, s.machine, s.because, s.place, s.from_, s.to, tuple(dict.fromkeys(a.intent for a in s.asked)))
        for s in moment.steps
    )
    old, new = denied
    moves = tuple(_move(move) for move in moment.moves)
    return Row(
        at=moment.at,
        local=moment.at.astimezone(zone_of(timeline.zone)),
        offset=moment.at - timeline.start,
        happened=tuple(happened(item, before, timeline.start)) if item is not None else (),
        changes=changes,
        letters=tuple(letter(policy, sent, timeline.zone) for sent in moment.sent),
        moves=moves,
        refused=moment.refused,
        blocked=tuple((action, code) for action, code in new.items() if old.get(action) != code),
        freed=tuple(action for action in old if action not in new),
        states=moment.snapshot.states,
        server=moment.server.state,
        promised=promises(policy, moment.snapshot),
        waiting=tuple(dict.fromkeys(f"{each.rule} waits for {each.permit}" for each in moment.waiting)),
        due_at=moment.due_at,
    )


def _move(move: ServerMove) -> str:
    if not move.rule:
        return f"{move.server_id}: {move.reason}"
    words = f"{move.server_id} {move.from_} → {move.to}" if move.from_ != move.to else f"{move.server_id} {move.rule}"
    asked = f", {', '.join(move.asked)}" if move.asked else ""
    dropped = f"; {', '.join(move.dropped)} dropped: {move.reason}" if move.dropped else ""
    return words + asked + dropped


def _denied(policy: Policy, moment: Moment) -> dict[str, str]:
    """Return what a customer may not do, with the code."""
    states = tuple(moment.snapshot.states.items())
    found = {}
    for action in (*policy.gates.account, *policy.gates.server):
        answer = verdict(policy, states, moment.server, action, facts=moment.snapshot.facts)
        if not answer.allow:
            found[action] = answer.code or ""
    return found


def letter(policy: Policy, sent: Sent, zone: str) -> Letter:
    """Return the notice as it would be written to a customer called Ada."""
    rule = policy.intents[sent.intent].promises
    promise_at = sent.promise_at if rule is not None else None
    told: dict[str, FieldValue] = {**SAMPLE, **_known(sent.snapshot)}
    stopped = [server.server_id for server in sent.snapshot.servers if server.observed == "stopped"]
    told |= {
        "servers": [server.server_id for server in sent.snapshot.servers],
        "stopped_servers": stopped,
        "stopping_servers": [s.server_id for s in sent.snapshot.servers if s.server_id not in stopped],
        "hold_until": max((hold.until for hold in sent.snapshot.holds if hold.until is not None), default=None),
        "promise_at": promise_at,
    }
    field = f"{(rule or '').rpartition('.')[2]}_at"
    if field in FIELDS:
        told[field] = promise_at
    try:
        subject, text = render(policy, sent.intent, told, zone)
    except NoticeIncomplete as missing:
        return Letter(sent.intent, sent.round, sent.outcome, None, None, rule, promise_at, str(missing))
    except KeyError:
        return Letter(
            sent.intent, sent.round, sent.outcome, None, None, rule, promise_at, "the policy has no text for it"
        )
    return Letter(sent.intent, sent.round, sent.outcome, subject, text, rule, promise_at)


def _known(snapshot: Snapshot) -> dict[str, FieldValue]:
    return {
        name: value
        for name, value in snapshot.facts.items()
        if FIELDS.get(name) == "instant" and isinstance(value, datetime)
    }


def happened(item: Item, before: Snapshot, start: datetime) -> Iterable[str]:
    """Yield in words what an item brings from outside."""
    now = start + item.at
    yield from _evidence(item.set, before, now)
    for kind, hold in item.holds.items():
        if hold is None:
            yield f"{_words(kind)} is ended"
        else:
            yield f"{_words(kind)} " + (f"until {_when(hold.until, start)}" if hold.until else "until somebody ends it")
    if item.command is not None:
        yield f"{_words(item.command.event)}, by {item.command.actor}"
    for name, answer in item.permits.items():
        yield f"{_words(name)} is " + {True: "given again", False: "withheld", None: "not known"}[answer]
    if item.post is not None:
        yield {"auto": "notices arrive at once", "delayed": "notices are not sent yet"}.get(
            item.post, f"notices end as {item.post}"
        )
    for name, outcome in item.send.items():
        yield f"{name} is {'sent again' if outcome == 'again' else outcome}"
    yield from (f"{server}: {_words(event)}" for server, event in item.servers.items())
    yield from (f"{server} is seen {seen}" for server, seen in item.observe.items())
    if item.obeys is not None:
        yield "the host does as it is told" if item.obeys else "the host does nothing that it is told"


def _evidence(changes: Mapping[str, Value], before: Snapshot, now: datetime) -> Iterable[str]:
    rest = dict(changes)
    count, had = rest.get("overdue_invoices"), before.facts.get("overdue_invoices")
    if isinstance(count, int) and isinstance(had, int):
        del rest["overdue_invoices"]
        since = rest.pop("past_due_since", None)
        if count > had:
            ago = f", {write_offset(now - since)} ago" if isinstance(since, datetime) and since < now else ""
            yield f"a payment has failed{ago}" if count == 1 else f"{count} payments have failed{ago}"
        elif count == 0 and had:
            yield "everything is paid"
        elif count < had:
            yield f"{had - count} of {had} invoices is paid"
    for name, value in rest.items():
        if isinstance(value, datetime):
            yield f"{_words(name)}: {_relative(value, now)}"
        else:
            yield f"{_words(name)}: {'none' if value is None else str(value).lower()}"


def _relative(at: datetime, now: datetime) -> str:
    if at == now:
        return "now"
    return f"{write_offset(now - at)} ago" if at < now else f"in {write_offset(at - now)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _when(at: datetime, start: datetime) -> str:
    return f"+{write_offset(at - start)}"
