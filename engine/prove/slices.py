"""Which account machines a guarantee can depend on: those concerned, and all whose states or stamps these read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from engine.compiled import compiled
from engine.guarantees import ANY_NOTICE, AtMostOnce, Happening, Never
from engine.guards import facts_of
from engine.model import Fact, IntentKind, Machine, Origin, Policy, Rule


def slice_of(policy: Policy, guarantee: Never) -> tuple[str, ...]:
    """Return the machines that the guarantee can depend on; none when no rule does what is never to happen."""
    concerned = concerned_by(policy, guarantee.happening)
    if not concerned:
        return ()
    for before in guarantee.without:
        concerned |= concerned_by(policy, before.happening)
    guards = tuple(guard for guard in (guarantee.while_, guarantee.given) if guard is not None)
    return closed(policy, concerned, [name for guard in guards for name in facts_of(guard)] + list(guarantee.elapsed))


def askers(policy: Policy, guarantee: AtMostOnce) -> list[tuple[str, ...]]:
    """Return one slice for each machine whose rules ask for one of the notices."""
    wanted = set(guarantee.notices)
    asking = [m.name for m in policy.account_machines if any(ask.intent in wanted for r in m.rules for ask in r.do)]
    return [closed(policy, {name}, ()) for name in asking]


def closed(policy: Policy, machines: Iterable[str], reading: Iterable[str]) -> tuple[str, ...]:
    """Add every machine whose state or stamps are read, or whose notices stamp; return all in the policy's order."""
    wanted = set(machines) | {name for fact in reading for name in _owners(policy, policy.facts[fact])}
    new = set(wanted)
    while new:
        found = {
            name
            for machine in new
            for fact in _read(policy.machines[machine])
            for name in _owners(policy, policy.facts[fact])
        }
        new = found - wanted
        wanted |= new
    return tuple(machine.name for machine in policy.account_machines if machine.name in wanted)


def asked_by(policy: Policy, test: Callable[[str], bool]) -> set[str]:
    """Return the machines whose rules, or whose voided promises, ask for such an intent."""
    found = {m.name for m in policy.account_machines for rule in m.rules if any(test(ask.intent) for ask in rule.do)}
    for promise in compiled(policy).promises:
        told = [promise.notice, *(permit.notify for permit in promise.voiding if permit.notify is not None)]
        if any(test(name) for name in told):
            found.add(promise.rule.rule.machine)
    return found


def concerned_by(policy: Policy, happening: Happening) -> set[str]:
    """Return the machines whose rules can do this."""
    if happening.kind in {"enter", "rule", "climb"}:
        return {happening.name.partition(".")[0]}
    if happening.kind == "event":
        return {m.name for m in policy.account_machines if any(rule.event == happening.name for rule in m.rules)}
    return asked_by(policy, lambda name: is_such(policy, happening.name, name))


def is_such(policy: Policy, wanted: str, name: str) -> bool:
    """Tell whether an intent is the wanted one, or of the wanted kind."""
    intent = policy.intents[name]
    if wanted == "destructive":
        return intent.destructive
    if wanted == "starts_servers":
        return intent.starts_servers
    return wanted == name or (wanted == ANY_NOTICE and intent.kind is IntentKind.NOTICE)


def _read(machine: Machine) -> Iterator[str]:
    """Yield the facts that the machine's rules read, and its stamps: what sets them belongs to the slice too."""
    for rule in machine.rules:
        yield from _read_by(rule)
    yield from (fact.name for fact in machine.facts.values() if fact.origin is Origin.DELIVERED)


def _read_by(rule: Rule) -> Iterator[str]:
    yield from facts_of(rule.when)
    yield from (timer.anchor for timer in rule.after + rule.before)


def _owners(policy: Policy, fact: Fact) -> Iterator[str]:
    """Yield the account machines that decide what the fact is; none for evidence."""
    accounts = {machine.name for machine in policy.account_machines}
    if fact.origin is Origin.MACHINE and fact.of in accounts:
        yield fact.of
    if fact.origin in (Origin.DELIVERED, Origin.ENTERED, Origin.MARK):
        yield from (m.name for m in policy.account_machines if fact.name in m.facts)
    if fact.origin is Origin.DELIVERED:
        yield from asked_by(policy, lambda name: name == fact.of)
