"""Builders for tests, by keyword: a policy written by hand, snapshots, and an account that lives through a timeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from engine.decide import blank
from engine.invoicing.invoice import Party
from engine.model import (
    All,
    Any,
    Ask,
    Atom,
    Fact,
    FactType,
    Guard,
    Intent,
    IntentKind,
    Machine,
    Named,
    Not,
    Op,
    Origin,
    Place,
    Policy,
    Rule,
    RuleKind,
    ServerLine,
    Standing,
    Timer,
    Value,
)
from engine.model_gates import Gates
from engine.model_permits import Brake, Permit, PermitKind
from engine.model_repairs import Repairs
from engine.snapshot import ServerFacts, Snapshot

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
HERE = Place("test.yaml", 1, 1)


def hours(count: float) -> timedelta:
    """Return so many hours."""
    return timedelta(hours=count)


def at(count: float) -> datetime:
    """Return the instant so many hours after START."""
    return START + timedelta(hours=count)


# ---- policies --------------------------------------------------------------------------------------------------------


def atom(fact: str, op: Op, value: Value | tuple[Value, ...]) -> Atom:
    """Return `{fact: …, op: value}`."""
    return Atom(fact, op, value, HERE)


def every(*parts: Guard) -> All:
    """Return `{all: [...]}`."""
    return All(parts, HERE)


def some(*parts: Guard) -> Any:
    """Return `{any: [...]}`."""
    return Any(parts, HERE)


def negated(part: Guard) -> Not:
    """Return `{not: ...}`."""
    return Not(part, HERE)


def named(name: str, guard: Guard) -> Named:
    """Return a predicate used by its name."""
    return Named(name, guard, HERE)


def fact(
    name: str,
    type_: FactType = FactType.INSTANT,
    *,
    origin: Origin = Origin.STANDING,
    of: str | None = None,
    plus: timedelta = timedelta(0),
    values: tuple[str, ...] = (),
    default: Value = None,
) -> Fact:
    """Return a declared fact."""
    return Fact(name, type_, origin, HERE, of=of, plus=plus, values=values, default=default)


def rule(
    machine: str,
    id_: str,
    kind: RuleKind,
    sources: Iterable[str],
    to: str | None = None,
    *,
    mark: str | None = None,
    when: Guard | None = None,
    after: Mapping[str, timedelta] | None = None,
    before: Mapping[str, timedelta] | None = None,
    event: str | None = None,
    by: str | None = None,
    other_than: str | None = None,
    needs: tuple[str, ...] = (),
    do: tuple[str, ...] = (),
    each_server: tuple[str, ...] = (),
) -> Rule:
    """Return a rule; `do` names intents for the account, `each_server` those for each of its servers."""
    asks = tuple(Ask(name, False, HERE) for name in do) + tuple(Ask(name, True, HERE) for name in each_server)
    return Rule(
        id_,
        machine,
        kind,
        tuple(sources),
        HERE,
        to=to,
        mark=mark,
        when=when,
        event=event,
        by=by,
        other_than=other_than,
        after=tuple(Timer(anchor, duration, HERE) for anchor, duration in (after or {}).items()),
        before=tuple(Timer(anchor, duration, HERE) for anchor, duration in (before or {}).items()),
        needs=needs,
        do=asks,
    )


def machine(
    name: str,
    ladder: Iterable[str],
    rules: Iterable[Rule],
    *,
    facts: Iterable[Fact] = (),
    servers: Iterable[ServerLine] = (),
    of: Literal["account", "server"] = "account",
    cause: str | None = None,
) -> Machine:
    """Return a machine that starts on the lowest rung of its ladder."""
    states = tuple(ladder)
    listed = tuple(rules)
    return Machine(
        name,
        of,
        states[0],
        states,
        settings={},
        facts={each.name: each for each in facts},
        predicates={},
        servers=tuple(servers),
        relief=tuple(each for each in listed if each.kind is RuleKind.RELIEF),
        pressure=tuple(each for each in listed if each.kind is RuleKind.PRESSURE),
        moves=tuple(each for each in listed if each.kind is RuleKind.MOVE),
        place=HERE,
        cause=cause,
    )


def notice(name: str, *wanted_in: tuple[str, str], promises: str | None = None) -> Intent:
    """Return a declared notice."""
    return Intent(name, IntentKind.NOTICE, HERE, wanted_in=wanted_in, promises=promises)


def effect(name: str, *wanted_for: str, per_server: bool = False, destructive: bool = False) -> Intent:
    """Return a declared effect."""
    return Intent(name, IntentKind.EFFECT, HERE, per_server=per_server, wanted_for=wanted_for, destructive=destructive)


def policy_of(
    *machines: Machine,
    facts: Iterable[Fact] = (),
    intents: Iterable[Intent] = (),
    permits: Iterable[Permit] = (),
    gates: Gates | None = None,
) -> Policy:
    """Return a policy of these parts, with everything else empty."""
    shared = {each.name: each for each in facts}
    return Policy(
        digest="0" * 64,
        machines={each.name: each for each in machines},
        standing=Standing((), (), (), {}, shared, {}),
        facts=shared | {each.name: each for m in machines for each in m.facts.values()},
        permits={each.name: each for each in permits},
        intents={each.name: each for each in intents},
        gates=gates or Gates({}, {}, {}, {}),
        repairs=Repairs((), 1, {}),
        notices={},
        state_texts={},
        alerts={},
        calendars={},
        dates={},
    )


# ---- a policy that is small enough to read here, with the shapes of the one that ships -------------------------------

OWING = named(
    "owing",
    every(
        some(atom("overdue_invoices", "gt", 0), atom("subscription", "in", ("past_due", "unpaid"))),
        atom("exempt", "eq", False),
    ),
)
NOTHING_OWED = named("nothing_owed", negated(OWING))
LADDER = ("active", "past_due", "overdue_warning", "final_warning", "suspended", "retained", "pending_deletion")
SUBSCRIPTIONS = ("none", "trialing", "active", "past_due", "unpaid", "paused", "canceled")

STANDING_FACTS = (
    fact("overdue_invoices", FactType.INT),
    fact("past_due_since"),
    fact("subscription", FactType.ENUM, values=SUBSCRIPTIONS),
    fact("exempt", FactType.BOOL, origin=Origin.ADMIN, default=False),
)

SUSPENDING = ("no_hold", "fresh_standing", "suspension_brake", "safe_point")


def small_permits() -> tuple[Permit, ...]:
    """Return one permit of each kind but a calendar."""
    return (
        Permit(
            "no_hold",
            PermitKind.HOLD,
            HERE,
            holds=("extension", "processor_outage"),
            voids_promises=True,
            notify="send_hold_changed_notice",
        ),
        Permit("fresh_standing", PermitKind.SERVICE, HERE, service="standing"),
        Permit("safe_point", PermitKind.NO_SERVER, HERE, lifecycles=("provisioning", "backing_up")),
        Permit("suspension_brake", PermitKind.BRAKE, HERE, brake=Brake(0.02, 1, 10, hours(1))),
    )


def small_billing() -> Machine:
    """Return the account ladder."""

    def relief(*args: str, **keys: object) -> Rule:
        return rule("billing", args[0], RuleKind.RELIEF, args[1].split(), args[2], **keys)  # type: ignore[arg-type]

    def pressure(*args: str, **keys: object) -> Rule:
        to = args[2] if len(args) > 2 else None
        return rule("billing", args[0], RuleKind.PRESSURE, args[1].split(), to, when=OWING, **keys)  # type: ignore[arg-type]

    hold = ("no_hold",)
    return machine(
        "billing",
        LADDER,
        (
            relief(
                "paid", " ".join(LADDER[1:]), "active",
                when=NOTHING_OWED, do=("send_restored_notice",), each_server=("restore_access",),
            ),
            relief("deletion_withdrawn", "pending_deletion", "retained", event="deletion_withdrawn", by="admin"),
            pressure("late", "active", "past_due", needs=hold),
            pressure("warn", "past_due", "overdue_warning", after={"past_due_since": hours(0)}, needs=hold,
                     do=("send_billing_warning",)),
            pressure("warn_finally", "overdue_warning", "final_warning", needs=hold, do=("send_final_warning",),
                     after={"past_due_since": hours(72), "warning_sent_at": hours(24)}),
            pressure("block_backups", "past_due overdue_warning final_warning", mark="backups_blocked", needs=hold,
                     after={"past_due_since": hours(72), "warning_sent_at": hours(24)}, do=("block_backups",)),
            pressure("suspend", "final_warning", "suspended", needs=SUSPENDING,
                     after={"past_due_since": hours(120), "final_warning_sent_at": hours(48)},
                     do=("suspend_customer_servers", "send_suspended_notice"),
                     each_server=("shutdown_suspended_server",)),
            pressure("retain", "suspended", "retained", after={"suspended_at": hours(72)}, needs=hold),
            pressure("warn_retention", "suspended retained", mark="retention_told", needs=hold,
                     before={"retention_until": hours(72)}, do=("send_retention_warning",)),
            pressure("ask_deletion", "retained", "pending_deletion", event="deletion_requested", by="admin", needs=hold,
                     after={"retention_until": hours(0), "retention_warned_at": hours(72)}),
        ),
        facts=(
            fact("warning_sent_at", origin=Origin.DELIVERED, of="send_billing_warning"),
            fact("final_warning_sent_at", origin=Origin.DELIVERED, of="send_final_warning"),
            fact("backup_blocked_at", origin=Origin.MARK, of="backups_blocked"),
            fact("retention_told_at", origin=Origin.MARK, of="retention_told"),
            fact("retention_warned_at", origin=Origin.DELIVERED, of="send_retention_warning"),
            fact("suspended_at", origin=Origin.ENTERED, of="suspended"),
            fact("retention_until", origin=Origin.ENTERED, of="suspended", plus=timedelta(days=14)),
        ),
        servers=(
            ServerLine("retained", HERE, in_=("retained", "pending_deletion"), code="BILLING_RETAINED"),
            ServerLine("suspended_shutdown", HERE, in_=("suspended",), code="BILLING_SUSPENDED"),
            ServerLine("backup_blocked", HERE, when=atom("backup_blocked_at", "is_null", False),
                       code="BILLING_BACKUP_BLOCKED"),
            ServerLine("allowed", HERE),
        ),
        cause="debt",
    )  # fmt: skip


def small_abuse() -> Machine:
    """Return another cause of suspension, moved by admins alone."""
    return machine(
        "abuse",
        ("clear", "restricted", "stopped"),
        (
            rule("abuse", "cleared", RuleKind.RELIEF, ("restricted", "stopped"), "clear",
                 event="abuse_cleared", by="admin", each_server=("restore_access",)),
            rule("abuse", "restrict", RuleKind.PRESSURE, ("clear",), "restricted", event="abuse_reported", by="admin"),
            rule("abuse", "stop", RuleKind.PRESSURE, ("restricted",), "stopped", event="abuse_confirmed", by="admin"),
        ),
        servers=(
            ServerLine("suspended_shutdown", HERE, in_=("stopped",), code="ABUSE_SUSPENDED"),
            ServerLine("backup_blocked", HERE, in_=("restricted",), code="ABUSE_RESTRICTED"),
            ServerLine("allowed", HERE),
        ),
        cause="abuse",
    )  # fmt: skip


def small_policy(*further: Machine) -> Policy:
    """Return billing and abuse, with further machines when given."""
    stopped = ("suspended_shutdown", "retained")
    return policy_of(
        small_billing(),
        small_abuse(),
        *further,
        facts=STANDING_FACTS,
        permits=small_permits(),
        intents=(
            notice("send_billing_warning", ("billing", "past_due"), ("billing", "overdue_warning")),
            notice("send_final_warning", ("billing", "final_warning"), promises="billing.suspend"),
            notice("send_suspended_notice", ("billing", "suspended"), ("billing", "retained")),
            notice("send_restored_notice", ("billing", "active")),
            notice("send_retention_warning", ("billing", "suspended"), ("billing", "retained"),
                   promises="billing.ask_deletion"),
            notice("send_hold_changed_notice"),
            effect("block_backups"),
            effect("suspend_customer_servers", *stopped),
            effect("shutdown_suspended_server", *stopped, per_server=True),
            effect("restore_access", "allowed", "backup_blocked", per_server=True),
            effect("delete_suspended_server", per_server=True, destructive=True),
        ),
    )  # fmt: skip


@lru_cache(maxsize=1)
def shipped_policy() -> Policy:
    """Return the policy that ships, as the shipped files say it, without the environment."""
    from engine.load import load_policy

    return load_policy(Path(__file__).parent.parent / "policy")


# ---- accounts --------------------------------------------------------------------------------------------------------


def snapshot_of(policy: Policy, *, servers: Iterable[ServerFacts] = (), **facts: Value) -> Snapshot:
    """Return an account that nothing has happened to yet, with every permit that answers from outside granted."""
    states, episodes = blank(policy)
    asked = (PermitKind.SERVICE, PermitKind.BRAKE)
    known: dict[str, Value] = {"overdue_invoices": 0, "subscription": "active", "exempt": False, **facts}
    return Snapshot(
        "account-1",
        states,
        episodes,
        known,
        servers=tuple(servers),
        permits={name: True for name, permit in policy.permits.items() if permit.kind in asked},
    )


def party(name: str, **fields: str) -> Party:
    """Return a party of an invoice with a whole address."""
    place = {"street": "Seestrasse", "house_number": "1", "postal_code": "8001", "town": "Zürich", "country": "CH"}
    return Party(name, **{**place, **fields})
