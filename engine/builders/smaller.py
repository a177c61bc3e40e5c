"""The smaller files: standing, intents, permits, alerts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from engine.builders.calendars import read_calendar
from engine.builders.draft import Draft, each, entries, flag_of, text_of
from engine.faults import listed, shown
from engine.model import Fact, Intent, IntentKind, Plan, Standing, WaitsFor
from engine.model_permits import Brake, Permit, PermitKind
from engine.source import Node

# ---- intents ---------------------------------------------------------------------------------------------------------


def build_intents(draft: Draft) -> None:
    """Read intents.yaml. What `promises` names is checked when rules are known."""
    for name, key, node in entries(draft.tree("intents")):
        if draft.names["intent"].declare(name, key, draft.faults):
            draft.intents[name] = None if node.hurt or key.hurt else _intent(draft, name, key, node)


def _intent(draft: Draft, name: str, key: Node, node: Node) -> Intent | None:
    kind = IntentKind(text_of(node, "kind") or "effect")
    if kind is not IntentKind.NOTICE and (
        wrong := [each_ for each_ in ("promises", "waits_for") if each_ in node.entries]
    ):
        draft.fault(
            "M356", node.key(wrong[0]), f"`{wrong[0]}` is for notices; `{name}` is of kind {kind.value}", "remove it"
        )
        return None
    if kind is IntentKind.NOTICE and "per" in node.entries:
        draft.fault("M356", node.key("per"), "a notice is to a customer, not per server", "remove `per:`")
        return None
    waits = node.get("waits_for")
    wanted_in = [draft.rung(rung) for rung in each(node.get("wanted_in"))]
    return Intent(
        name=name,
        kind=kind,
        place=key.place,
        per_server="per" in node.entries,
        wanted_in=tuple(rung for rung in wanted_in if rung is not None),
        wanted_for=tuple(state.text for state in each(node.get("wanted_for"))),
        promises=_full(text_of(node, "promises")),
        waits_for=_waits(draft, waits) if waits is not None else None,
        destructive=flag_of(node, "destructive"),
        starts_servers=flag_of(node, "starts_servers"),
        enforcement=flag_of(node, "enforcement"),
    )


def _full(rule: str | None) -> str | None:
    """Return a rule's full name: a bare one is billing's."""
    return rule if rule is None or "." in rule else f"billing.{rule}"


def _waits(draft: Draft, node: Node) -> WaitsFor | None:
    at_most = draft.duration(node.get("at_most"))
    servers = node.get("all_servers")
    observed = text_of(servers, "observed") if servers is not None else None
    return WaitsFor(observed, at_most) if at_most is not None and observed is not None else None


# ---- permits and alerts ----------------------------------------------------------------------------------------------


def build_alerts(draft: Draft) -> dict[str, str]:
    """Read alerts.yaml: which alert goes to which channel."""
    for name, key, _ in entries(draft.tree("alerts")):
        draft.names["alert"].declare(name, key, draft.faults)
    return {name: node.text for name, _, node in entries(draft.tree("alerts")) if not node.hurt}


def build_permits(draft: Draft) -> None:
    """Read permits.yaml."""
    for name, key, node in entries(draft.tree("permits")):
        if draft.names["permit"].declare(name, key, draft.faults):
            draft.permits[name] = None if node.hurt or key.hurt else _permit(draft, name, key, node)


def _permit(draft: Draft, name: str, key: Node, node: Node) -> Permit | None:
    kind = next(kind for kind in PermitKind if kind.value in node.entries)
    value = node.entries[kind.value][1]
    alert, notify = node.get("alert"), node.get("notify")
    if alert is not None:
        draft.known("alert", alert)
    if notify is not None:
        draft.intent(notify, kind=IntentKind.NOTICE, whose=", and only a notice tells a customer")
    if kind is PermitKind.NO_SERVER:
        check_lifecycles(draft, value.get("lifecycle"))
    return Permit(
        name=name,
        kind=kind,
        place=key.place,
        holds=tuple(item.text for item in each(value)) if kind is PermitKind.HOLD else (),
        voids_promises="voids" in node.entries,
        notify=notify.text if notify is not None else None,
        service=value.text if kind is PermitKind.SERVICE else None,
        younger_than=draft.duration(node.get("younger_than")),
        calendar=read_calendar(draft, value, outside=flag_of(node, "outside")) if kind is PermitKind.CALENDAR else None,
        lifecycles=tuple(item.text for item in each(value.get("lifecycle"))) if kind is PermitKind.NO_SERVER else (),
        brake=read_brake(draft, value) if kind is PermitKind.BRAKE else None,
        alert=alert.text if alert is not None else None,
        alert_after=draft.duration(node.get("alert_after")),
    )


def check_lifecycles(draft: Draft, node: Node | None) -> None:
    """Check states of the servers' machine."""
    lifecycle = next((machine for machine in draft.machines.values() if machine.of == "server"), None)
    for state in each(node):
        if lifecycle is not None:
            draft.state(lifecycle, state)


def read_brake(draft: Draft, node: Node) -> Brake | None:
    """Return a brake; None when it lets nothing through or cannot be read."""
    per = draft.duration(node.get("per"))
    least, most = (value.value if (value := node.get(key)) is not None else 0 for key in ("at_least", "at_most"))
    if per is None or not isinstance(least, int) or not isinstance(most, int):
        return None
    if least > most:
        at = node.entries["at_least"][1]
        draft.fault("M390", at, f"`at_least: {least}` is more than `at_most: {most}`", "swap them")
        return None
    if per == timedelta(0):
        draft.fault("M390", node.entries["per"][1], "a brake counts in a period, and `0` is none", "write `1h`")
        return None
    return Brake(int((text_of(node, "share") or "0%").rstrip("%")) / 100, least, most, per)


# ---- standing --------------------------------------------------------------------------------------------------------


def build_standing(draft: Draft) -> Standing | None:
    """Read what of standing.yaml is neither facts nor predicates."""
    root = draft.tree("standing")
    if root is None:
        return None
    prices: dict[str, str] = {}
    plans = {}
    for name, key, node in entries(root.get("plans")):
        for price in each(node.get("prices")):
            if (other := prices.setdefault(price.text, name)) != name:
                draft.fault(
                    "M320",
                    price,
                    f"the price `{shown(price.text)}` means plan `{other}` already",
                    "a price means one plan",
                )
        count = node.get("servers")
        number = count.value if count is not None and isinstance(count.value, int) else 0
        trial = node.get("trial_days")
        days = trial.value if trial is not None and isinstance(trial.value, int) else 0
        plans[name] = Plan(name, tuple(price.text for price in each(node.get("prices"))), number, key.place, days)
    _check_statuses(draft, root)
    own = [name for name, _, _ in entries(root.get("facts"))]
    free = root.get("free_servers")
    guards = [name for name, _, _ in entries(root.get("predicates"))]
    return Standing(
        owed_invoice_statuses=_texts(root.get("owed_invoice_statuses")),
        late_subscription_statuses=_texts(root.get("late_subscription_statuses")),
        active_subscription_statuses=_texts(root.get("active_subscription_statuses")),
        plans=plans,
        facts={name: fact for name in own if (fact := draft.facts.get(name)) is not None},
        predicates={name: guard for name in guards if (guard := draft.predicates.get(name)) is not None},
        open_dispute_statuses=_texts(root.get("open_dispute_statuses")),
        lost_dispute_statuses=_texts(root.get("lost_dispute_statuses")),
        free_servers=free.value if free is not None and isinstance(free.value, int) else 0,
    )


def _texts(node: Node | None) -> tuple[str, ...]:
    return tuple(item.text for item in each(node))


# What storage computes and the web asks for. A policy may declare more, but then nobody writes it.
EVIDENCE: Mapping[str, str] = {
    "overdue_invoices": "int",
    "past_due_since": "instant",
    "subscription": "enum",
    "subscription_ended_at": "instant",
    "open_disputes": "int",
    "lost_disputes": "int",
    "disputed_since": "instant",
    "dispute_lost_at": "instant",
    "invoices_to_confirm": "int",
    "trial_ends_at": "instant",
    "has_active_plan": "bool",
    "at_plan_limit": "bool",
    "free_server_left": "bool",
    "exempt": "bool",
    "observed": "enum",
    "desired": "enum",
    "settled": "bool",
    "reminds": "bool",
    "payable_until": "instant",
}


def check_evidence(draft: Draft) -> None:
    """Refuse evidence that nobody writes, or of another type than it is written in: it would be null for ever."""
    for fact in _declared(draft):
        if fact.origin.value not in {"standing", "admin", "observed"}:
            continue
        node = draft.names["fact"].nodes[fact.name]
        written = EVIDENCE.get(fact.name)
        if written is None:
            names = listed(name for name in EVIDENCE if name not in draft.facts)
            hint = f"what can be known: {names}" if names else "remove it"
            draft.fault("M338", node, f"nobody writes the fact `{fact.name}`; it would have no value for ever", hint)
        elif written != fact.type.value:
            draft.fault(
                "M338",
                node,
                f"`{fact.name}` is written as {written}, not as {fact.type.value}",
                f"write `type: {written}`",
            )


def _declared(draft: Draft) -> list[Fact]:
    return [fact for fact in draft.facts.values() if fact is not None]


def _check_statuses(draft: Draft, root: Node) -> None:
    """Check that late statuses are among those that a subscription can have."""
    fact = draft.facts.get("subscription")
    if fact is None or not fact.values:
        return
    for key in ("late_subscription_statuses", "active_subscription_statuses"):
        for status in each(root.get(key)):
            if status.text not in fact.values:
                draft.fault(
                    "M330", status, f"`subscription` is never `{shown(status.text)}`", "add it to the fact's `of:`"
                )
