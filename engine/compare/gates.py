"""Compares what is allowed: every cell of the gates, further reasons to deny, and what each rung does to servers."""

from __future__ import annotations

from collections.abc import Iterator

from engine.compare.guards import Facts, between, key_of, truth, valuations, write_facts, write_guard
from engine.compare.policies import Change, Effect
from engine.model import SERVER_BILLING_STATES, Machine, Policy, ServerLine
from engine.model_gates import Also, Gates


def compare_servers(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield what the machines' states mean for servers where it differs, for states that both policies know."""
    for name, after in new.machines.items():
        before = old.machines.get(name)
        if before is not None:
            for state in after.ladder:
                if state in before.ladder:
                    yield from _server_line(old, new, before, after, state)


def _server_line(old: Policy, new: Policy, before: Machine, after: Machine, state: str) -> Iterator[Change]:
    was, is_ = _lines(before, state), _lines(after, state)
    if [_key(line) for line in was] == [_key(line) for line in is_]:
        return
    seen: set[tuple[str, str]] = set()
    for facts in valuations(old, new, [line.when for line in was + is_]) or ({},):
        one, two = _first(was, facts), _first(is_, facts)
        told = _told(one), _told(two)
        if told[0] == told[1] or told in seen:
            continue
        seen.add(told)
        effect = Effect.CHANGED
        if one is not None and two is not None and one.is_ != two.is_:
            higher = SERVER_BILLING_STATES.index(two.is_) > SERVER_BILLING_STATES.index(one.is_)
            effect = Effect.STRICTER if higher else Effect.LENIENT
        subject = f"{after.name}.{state}"
        example = f"an account in {subject} with {write_facts(facts)}: its servers are {told[0]} before, {told[1]} now"
        place = two.place if two is not None else after.place
        yield Change("servers", subject, effect, *told, place, example)


def _lines(machine: Machine, state: str) -> list[ServerLine]:
    return [line for line in machine.servers if not line.in_ or state in line.in_]


def _key(line: ServerLine) -> object:
    return line.is_, line.code, key_of(line.when)


def _first(lines: list[ServerLine], facts: Facts) -> ServerLine | None:
    return next((line for line in lines if truth(line.when, facts)), None)


def _told(line: ServerLine | None) -> str:
    return "nothing" if line is None else line.is_ + (f" ({line.code})" if line.code else "")


def compare_gates(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield every cell whose verdict or code differs, and what the lines beside the matrices add or take away."""
    known = {action for gates in (old.gates, new.gates) for action in (*gates.account, *gates.server)}
    for action in sorted(known):
        yield from _action(old.gates, new.gates, action)
    yield from _also(old, new)
    for actor in sorted({*old.gates.may_also, *new.gates.may_also}):
        before = old.gates.may_also.get(actor, frozenset())
        after = new.gates.may_also.get(actor, frozenset())
        for action in sorted(before ^ after):
            effect = Effect.LENIENT if action in after else Effect.STRICTER
            example = f"{actor} asks for {action} where a customer is denied it"
            verdicts = ("yes", "no") if action in before else ("no", "yes")
            yield Change("gates", f"{action} for {actor}", effect, *verdicts, new.gates.places.get(action), example)


def _action(old: Gates, new: Gates, action: str) -> Iterator[Change]:
    before, after = _cells(old, action), _cells(new, action)
    if not before or not after:
        effect = Effect.ADDED if after else Effect.REMOVED
        example = f"{action} is denied everywhere {'before' if after else 'now'}: the policy does not know it"
        place = new.places.get(action) if after else old.places.get(action)
        yield Change("gates", action, effect, _row(before), _row(after), place, example, in_old=not after)
        return
    for column in [*before, *(each for each in after if each not in before)]:
        one, two = before.get(column), after.get(column)
        if one == two:
            continue
        subject = f"{action} in {column}"
        if one is None or two is None:
            effect, example = (Effect.ADDED if one is None else Effect.REMOVED), ""
        else:
            effect = Effect.CHANGED if (one == "yes") == (two == "yes") else _towards(stricter=two != "yes")
            what = "a server that is" if action in new.server else "an account in"
            example = f"{what} {column}, asked for {action}: {_verdict(one)} before, {_verdict(two)} now"
        place = new.places.get(action)
        yield Change("gates", subject, effect, one or "", two or "", place, example)


def _cells(gates: Gates, action: str) -> dict[str, str]:
    """Return the verdicts on an action by column: `yes`, or `no` with its code where the cell has one of its own."""
    cells = {column: "yes" if allow else "no" for column, allow in gates.server.get(action, {}).items()}
    for (machine, state), allow in gates.account.get(action, {}).items():
        code = gates.codes.get((machine, state), "")
        cells[f"{machine}.{state}"] = "yes" if allow else f"no {code}".rstrip()
    return cells


def _verdict(cell: str) -> str:
    return "allowed" if cell == "yes" else f"denied{cell.removeprefix('no')}"


def _row(cells: dict[str, str]) -> str:
    return ", ".join(f"{column} {cell}" for column, cell in cells.items())


def _towards(*, stricter: bool) -> Effect:
    return Effect.STRICTER if stricter else Effect.LENIENT


def _also(old: Policy, new: Policy) -> Iterator[Change]:
    before, after = _by_name(old.gates.also), _by_name(new.gates.also)
    for name in [*before, *(each for each in after if each not in before)]:
        one, two = before.get(name), after.get(name)
        subject = f"{name[0]} denied {name[1]}"
        if one is None or two is None:
            line = one or two
            assert line is not None
            effect = _towards(stricter=one is None)
            words = (write_guard(one.when) if one else "", write_guard(two.when) if two else "")
            example = f"{name[0]} when {write_guard(line.when)}: {'denied before only' if one else 'denied now'}"
            yield Change("gates", subject, effect, *words, line.place, example, in_old=two is None)
            continue
        more, less = between(old, new, one.when, two.when)
        words = write_guard(one.when), write_guard(two.when)
        if more is not None:
            told = f"denied only now with {write_facts(more)}"
            yield Change("gates", subject, Effect.STRICTER, *words, two.place, told)
        if less is not None:
            told = f"no longer denied with {write_facts(less)}"
            yield Change("gates", subject, Effect.LENIENT, *words, two.place, told)


def _by_name(lines: tuple[Also, ...]) -> dict[tuple[str, str], Also]:
    return {(line.action, line.deny): line for line in lines}
