"""What one machine must mean: relief descends, pressure climbs one rung and waits for what the rung before stamped."""

from __future__ import annotations

from collections.abc import Mapping

from engine.faults import Faults, listed
from engine.model import SERVER_BILLING_STATES, Intent, IntentKind, Machine, Origin, Place, Rule, ServerLine

STAMPED = (Origin.DELIVERED, Origin.ENTERED)  # what outlasts no episode, so that an old debt found late skips nothing


def check_machine(faults: Faults, machine: Machine, intents: Mapping[str, Intent], *, whole: bool) -> None:
    """Note what is wrong with a machine; what needs all of its rules is judged only when it could be read whole."""
    rank = {state: index for index, state in enumerate(machine.ladder)}
    if machine.of == "account":
        _check_initial(faults, machine)
        for rule in machine.relief:
            _check_relief(faults, rule, rank)
        for rule in machine.pressure:
            _check_pressure(faults, rule, rank, machine)
        _check_lines(faults, machine, whole=whole)
        if machine.each_server:
            _check_alone(faults, machine)
        if whole:
            _check_anchors(faults, machine, rank, intents)
    for rule in machine.moves:
        if whole and rule.event is None and not rule.after and rule.when is None:
            faults.add(
                "M345",
                rule.place,
                f"the move `{rule.id}` would happen at once, always",
                "add `event:`, `after:` or `when:`",
            )
    if whole:
        _check_reachable(faults, machine)


def _check_initial(faults: Faults, machine: Machine) -> None:
    if machine.ladder and machine.initial in machine.ladder and machine.initial != machine.ladder[0]:
        message = f"machine `{machine.name}` begins at `{machine.initial}`, and its ladder at `{machine.ladder[0]}`"
        faults.add("M344", machine.place, message, "nothing is less severe than the beginning: put it first")


def _check_relief(faults: Faults, rule: Rule, rank: Mapping[str, int]) -> None:
    if rule.when is None and rule.event is None:
        faults.add("M345", rule.place, f"the relief `{rule.id}` would fire at once, always", "add `when:` or `event:`")
    higher = [state for state in rule.sources if rule.to is not None and rank[rule.to] >= rank[state]]
    if higher:
        message = f"relief only descends, and `{rule.id}` goes from {listed(higher)} to `{rule.to}`"
        faults.add("M340", rule.place, message, "lead to a rung below, or move it to `pressure:`")


def _check_pressure(faults: Faults, rule: Rule, rank: Mapping[str, int], machine: Machine) -> None:
    if rule.when is None and rule.event is None:
        faults.add("M345", rule.place, f"the rule `{rule.id}` presses whoever is there, for no reason", "add `when:`")
    if rule.to is None:
        return
    wrong = [state for state in rule.sources if rank[rule.to] != rank[state] + 1]
    if wrong:
        ladder = machine.ladder
        nexts = [ladder[rank[state] + 1] for state in wrong if rank[state] + 1 < len(ladder)]
        hint = f"from `{wrong[0]}` the next rung is `{nexts[0]}`" if nexts else f"`{wrong[0]}` is the last rung"
        faults.add(
            "M341",
            rule.place,
            f"pressure climbs one rung, and `{rule.id}` goes from {listed(wrong)} to `{rule.to}`",
            hint,
        )


def _check_alone(faults: Faults, machine: Machine) -> None:
    """Check that people alone move a machine in which single servers stand: they have no facts, stamps or dates."""
    about = f"`{machine.name}` is a machine of each server"
    for rule in machine.rules:
        if rule.event is None:
            words, hint = f"{about}, and `{rule.id}` waits for no command", "add `event:` and `by:`"
        elif rule.mark is not None or rule.when or rule.after or rule.before or rule.needs or rule.other_than:
            words = f"{about}, and `{rule.id}` asks for more than its command"
            hint = "leave `from`, `to`, `event`, `by` and `do`, or take `each_server:` away"
        else:
            continue
        faults.add("M329", rule.place, words, hint)
    for line in machine.servers:
        if line.when is not None:
            faults.add("M329", line.place, f"{about}, and this line reads a fact", "say it by rungs alone: `in:`")


def _check_anchors(faults: Faults, machine: Machine, rank: Mapping[str, int], intents: Mapping[str, Intent]) -> None:
    """Check that every automatic step beyond the first notice waits for something that this episode stamped.

    INVARIANT: without it an outage of ours, or an old debt that is found late, would skip a rung and its notice.
    """
    automatic = [rule for rule in machine.pressure if rule.event is None]
    telling = [rule for rule in automatic if _tells(rule, intents)]
    first = min(telling, key=lambda rule: min(rank[state] for state in rule.sources), default=None)
    reach = min(rank[state] for state in first.sources) if first is not None else 0
    stamps = {fact.name for fact in machine.facts.values() if fact.origin in STAMPED}
    for rule in automatic:
        silent = not rule.do and rule.to is not None and rank[rule.to] <= max(reach, 1)
        if rule is first or silent or {timer.anchor for timer in (*rule.after, *rule.before)} & stamps:
            continue
        told = f"of `{machine.name}` " if not stamps else ""
        known = listed(sorted(stamps)) if stamps else "a fact `from: delivered …` or `from: entered …`"
        message = f"the rule `{rule.id}` waits for no notice or rung {told}of the running episode"
        faults.add(
            "M343",
            rule.place,
            message.replace("  ", " "),
            f"add to its `after:` one of {known}" if stamps else f"declare and await {known}",
        )


def _tells(rule: Rule, intents: Mapping[str, Intent]) -> bool:
    return any(ask.intent in intents and intents[ask.intent].kind is IntentKind.NOTICE for ask in rule.do)


def _check_reachable(faults: Faults, machine: Machine) -> None:
    reached, waiting = {machine.initial}, [machine.initial]
    while waiting:
        state = waiting.pop()
        for rule in machine.rules:
            if state in rule.sources and rule.to is not None and rule.to not in reached:
                reached.add(rule.to)
                waiting.append(rule.to)
    lost = [state for state in machine.ladder if state not in reached]
    if lost:
        message = f"no rule leads to {listed(lost)}" if len(lost) > 1 else f"no rule leads to `{lost[0]}`"
        key = "ladder" if machine.of == "account" else "states"
        faults.add(
            "M342", machine.place, f"{message} of machine `{machine.name}`", f"add one, or take it out of `{key}:`"
        )


def _check_lines(faults: Faults, machine: Machine, *, whole: bool) -> None:
    """Check that the last line of `servers` holds always, codes are given, and severity never falls up the ladder."""
    for index, line in enumerate(machine.servers):
        last = index == len(machine.servers) - 1
        always = not line.in_ and line.when is None
        if always and not last:
            faults.add("M347", line.place, "no line after this one is ever reached", "put it last")
        if not always and last and whole:
            faults.add("M347", line.place, "no line holds when none of these does", "end with `- {is: allowed}`")
        if line.is_ != SERVER_BILLING_STATES[0] and line.code is None:
            faults.add(
                "M363",
                line.place,
                f"servers that are {line.is_} by this line have no code for a denial",
                "add `code: A_CODE`",
            )
        if line.is_ == SERVER_BILLING_STATES[0] and line.code is not None:
            faults.add("M364", line.place, "a line that allows needs no code", "remove `code:`")
    if whole:
        _check_severity(faults, machine)


def _check_severity(faults: Faults, machine: Machine) -> None:
    before: tuple[str, ServerLine] | None = None
    for state in machine.ladder:
        line = next(
            (line for line in machine.servers if line.when is None and (not line.in_ or state in line.in_)), None
        )
        if line is None:
            continue
        if before is not None and _severity(line) < _severity(before[1]):
            place = Place(line.place.file, line.place.line, line.place.column)
            message = f"servers are {line.is_} in `{state}`, less strict than {before[1].is_} in `{before[0]}` below it"
            faults.add("M348", place, message, "the ladder's order is its severity")
        before = (state, line)


def _severity(line: ServerLine) -> int:
    return SERVER_BILLING_STATES.index(line.is_)
