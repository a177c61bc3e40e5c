"""Runs scenarios: plays each timeline and holds what happened against what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.errors import EngineError
from engine.gates import GateVerdict, verdict
from engine.lifecycle import lifecycle_machine, move
from engine.model import Place, Policy, Rule, Timer, Value
from engine.repairs import Seen, lines_that_hold, recommend
from engine.scenario.read import Expect, Scenario
from engine.servers import server_state
from engine.snapshot import StepKind
from engine.timeline.play import Moment, Player, promises
from engine.timeline.text import NOTHING, write_offset, written_instant
from engine.wanted import wanted

ROLES, ANYBODY = ("admin", "customer", "worker"), "anybody"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One expectation that did not come true."""

    key: str
    place: Place
    expected: str
    found: str
    why: str = ""  # the rules that fired, or what held them back


@dataclass(frozen=True, slots=True)
class Checked:
    """One item of a scenario: what happened since the item before, and what of it was not expected."""

    at: datetime
    note: str
    moments: tuple[Moment, ...]
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate that was asked in a scenario, where it was asked."""

    action: str
    actor: str
    on_server: bool  # judged by the servers' billing state, not by rungs
    states: tuple[tuple[str, str], ...]
    server: str
    verdict: GateVerdict


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a scenario. `error` says why it could not be played to its end."""

    scenario: Scenario
    items: tuple[Checked, ...]
    moments: tuple[Moment, ...]
    judged: tuple[Judged, ...]
    repairs: frozenset[str]  # lines of repairs that an expectation named and that came true
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether everything came true."""
        return self.error is None and not any(item.mismatches for item in self.items)


def run_scenario(policy: Policy, scenario: Scenario) -> Result:
    """Play the scenario; nothing that the policy does makes this raise."""
    run = _Run(policy, scenario)
    error = None
    try:
        run.play()
    except (EngineError, LookupError) as raised:
        error = str(raised)
    return Result(scenario, tuple(run.items), tuple(run.moments), tuple(run.judged), frozenset(run.repairs), error)


class _Run:
    def __init__(self, policy: Policy, scenario: Scenario) -> None:
        self.policy = with_settings(policy, scenario.settings) if scenario.settings else policy
        self.scenario = scenario
        self.player = Player(self.policy, scenario.timeline)
        self.items: list[Checked] = []
        self.moments: list[Moment] = []
        self.judged: list[Judged] = []
        self.repairs: set[str] = set()
        self.asked: set[str] = set()

    def play(self) -> None:
        """Go through all moments; those before an item belong to it."""
        since: list[Moment] = []
        for moment in self.player.run(self.scenario.until):
            self.moments.append(moment)
            since.append(moment)
            self.asked.update(_asked(moment))
            if moment.item is not None:
                expect = self.scenario.expects[moment.item]
                item = self.scenario.timeline.items[moment.item]
                found = list(self._mismatches(expect, since)) if expect is not None else []
                if moment.refused is not None and (expect is None or expect.refused is None):
                    place = item.place or Place(self.scenario.file, 1, 1)
                    found.insert(0, Mismatch("event", place, "the command is taken", f"refused: {moment.refused}"))
                self.items.append(Checked(moment.at, self.scenario.notes[moment.item], tuple(since), tuple(found)))
                since = []

    def _mismatches(self, expect: Expect, since: list[Moment]) -> Iterator[Mismatch]:
        """Yield what did not come true, in the order in which a reader asks."""
        fired = [step.because for m in since for step in m.steps if step.kind in {StepKind.TRANSITION, StepKind.MARK}]
        fired += [move.rule for m in since for move in m.moves if move.rule]
        why = f"fired: {', '.join(fired)}" if fired else _held_back(since[-1])
        for key, expected, found in self._compare(expect, since, fired):
            if expected != found:
                place = expect.places.get(key) or Place(self.scenario.file, 1, 1)
                yield Mismatch(key, place, expected, found, why if key in {"state", "because", "nothing"} else "")

    def _compare(self, expect: Expect, since: list[Moment], fired: list[str]) -> Iterator[tuple[str, str, str]]:
        last = since[-1]
        for machine, state in expect.states:
            yield "state", f"{machine}.{state}", f"{machine}.{last.snapshot.states.get(machine)}"
        yield from self._responsible(expect, since, fired)
        if expect.nothing:
            yield "nothing", "no rule fires", _row(fired) if fired else "no rule fires"
        for name, state in expect.servers.items():
            found = self._state_of(name) if name else last.server.state
            yield "servers", f"{name} {state}".strip(), f"{name} {found}".strip()
        if expect.notices is not None:
            delivered = sorted(name for moment in since for name in moment.notices)
            yield "notices", _row(sorted(expect.notices)), _row(delivered)
        told = promises(self.policy, last.snapshot)
        for rule, at in expect.promised.items():
            yield "promised", f"{rule} {self._when(at)}", f"{rule} {self._when(told.get(rule))}"
        yield from self._gates(expect, last)
        asked = {name for moment in since for name in _asked(moment)}
        yield from (("intents", name, name if name in asked else _row(asked)) for name in expect.intents)
        dropped = {name for moment in since for move in moment.moves for name in move.dropped}
        yield from (("dropped", name, name if name in dropped else _row(dropped)) for name in expect.dropped)
        if expect.wanted is not None:
            yield "wanted", _row(sorted(expect.wanted)), _row(self._wanted(last))
        for name in expect.never:
            yield "never", f"no {name}", f"no {name}" if name not in self.asked else f"{name} was asked for"
        for name, value in expect.facts.items():
            yield "facts", f"{name} {self._value(value)}", f"{name} {self._value(last.snapshot.facts.get(name))}"
        if "due" in expect.places:
            yield "due", self._when(expect.due), self._when(last.due_at)
        if expect.waiting is not None:
            yield "waiting", _row(sorted(expect.waiting)), _row(sorted({each.permit for each in last.waiting}))
        if expect.refused is not None:
            found = last.refused or next(
                (move.reason for move in last.moves if not move.rule and move.reason), "the command is taken"
            )
            yield "refused", expect.refused, expect.refused if expect.refused in found else found
        yield from self._servers(expect)

    def _responsible(self, expect: Expect, since: list[Moment], fired: list[str]) -> Iterator[tuple[str, str, str]]:
        for rule in expect.because:
            yield "because", rule, rule if rule in fired else _row(fired)
        machines = {rule.partition(".")[0] for rule in expect.because}
        for machine, state in expect.states:
            moves = [
                step.because
                for moment in since
                for step in moment.steps
                if step.kind is StepKind.TRANSITION and step.machine == machine
            ]
            if machine in machines and moves and moves[-1] not in expect.because:
                named = _row(rule for rule in expect.because if rule.startswith(f"{machine}."))
                if not any(self.policy.rule(rule).to is None for rule in expect.because if rule.startswith(machine)):
                    yield "because", f"{machine}.{state} by {named}", f"by {moves[-1]}"

    def _gates(self, expect: Expect, last: Moment) -> Iterator[tuple[str, str, str]]:
        asked = [(action, "allowed", "allow") for action in expect.allow]
        asked += [(action, f"denied, {code}", "deny") for action, code in expect.deny.items()]
        states = tuple(last.snapshot.states.items())
        for action, expected, key in asked:
            found = verdict(self.policy, states, last.server, action, expect.actor, last.snapshot.facts)
            self.judged.append(
                Judged(action, expect.actor, action in self.policy.gates.server, states, last.server.state, found)
            )
            said = "allowed" if found.allow else f"denied, {found.code}"
            yield key, f"{action} {expected}", f"{action} {said}"

    def _servers(self, expect: Expect) -> Iterator[tuple[str, str, str]]:
        for name, state in expect.lifecycle.items():
            yield "lifecycle", f"{name} {state}", f"{name} {self.player.servers.all[name].lifecycle}"
        for name, state in expect.invoices.items():
            yield "invoice", f"{name} {state}", f"{name} {self.player.invoices.all[name].state}"
        assert self.player.last is not None
        for name, line in expect.repair.items():
            server = self.player.servers.all[name]
            seen = Seen(
                str(server.facts["desired"]), str(server.facts["observed"]), self._state_of(name),
                server.lifecycle, lifecycle_age=self.player.now - server.entered_at,
            )  # fmt: skip
            found = recommend(self.policy, seen).repair or NOTHING
            if line in lines_that_hold(self.policy, seen):
                found = line  # also one whose level is off, or only told
                self.repairs.add(line)
            yield "repair", f"{name} {line}", f"{name} {found}"

        for state, events in expect.takes.items():
            yield "takes", f"{state}: {_events(events)}", f"{state}: {_events(self._taken(state))}"
        modes = {str(line.level): line.mode for line in self.policy.repairs.lines if line.level is not None}
        for level, mode in expect.levels.items():
            yield "levels", f"{level} {mode}", f"{level} {modes.get(level, NOTHING)}"
        for case in expect.repairs:
            seen = replace(case.seen, server=self.player.last.server.state)
            lines = lines_that_hold(self.policy, seen)
            self.repairs.update(lines)
            yield "repairs", f"{seen}: {_row(case.lines)}", f"{seen}: {_row(lines)}"

    def _state_of(self, name: str) -> str:
        """Return a server's billing state, with rungs of its own."""
        assert self.player.last is not None
        snapshot = replace(self.player.last.snapshot, servers=self.player.servers.facts())
        return server_state(self.policy, snapshot, name).state

    def _taken(self, lifecycle: str) -> dict[str, str]:
        """Return the events that a server takes that is as wanted and seen as the first, and who may send each."""
        facts = next(iter(self.player.servers.all.values())).facts
        events = {rule.event for rule in lifecycle_machine(self.policy).moves if rule.event is not None}
        found = {}
        for event in events:
            roles = [role for role in ROLES if move(self.policy, lifecycle, facts, event, self.player.now, role)]
            if roles:
                found[event] = ANYBODY if len(roles) == len(ROLES) else " or ".join(roles)
        return found

    def _wanted(self, last: Moment) -> list[str]:
        """Return, of the intents that are not wanted everywhere, those that would be carried out if asked for now."""
        found = []
        for intent in self.policy.intents.values():
            if not (intent.wanted_in or intent.wanted_for):
                continue
            machine = intent.wanted_in[0][0] if intent.wanted_in else self.policy.account_machines[0].name
            episode = last.snapshot.episodes.get(machine, 0)
            if wanted(self.policy, last.snapshot, intent.name, machine, episode, last.at).ok:
                found.append(intent.name)
        return sorted(found)

    def _when(self, at: datetime | None) -> str:
        if at is None:
            return NOTHING
        start = self.scenario.timeline.start
        return f"{write_offset(at - start)} ({written_instant(at)})"

    def _value(self, value: Value) -> str:
        return self._when(value) if isinstance(value, datetime) else NOTHING if value is None else str(value).lower()


def with_settings(policy: Policy, settings: Mapping[tuple[str, str], timedelta]) -> Policy:
    """Return the policy with other numbers for its timers, by machine and setting."""

    def timers(machine: str, listed: tuple[Timer, ...]) -> tuple[Timer, ...]:
        return tuple(replace(t, duration=settings.get((machine, t.setting or ""), t.duration)) for t in listed)

    def rules(listed: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(
            replace(rule, after=timers(rule.machine, rule.after), before=timers(rule.machine, rule.before))
            for rule in listed
        )

    machines = {
        name: replace(m, relief=rules(m.relief), pressure=rules(m.pressure), moves=rules(m.moves))
        for name, m in policy.machines.items()
    }
    return replace(policy, machines=machines)


def _asked(moment: Moment) -> list[str]:
    return [each.intent for each in moment.asked] + [name for move in moment.moves for name in move.asked]


def _events(events: Mapping[str, str]) -> str:
    return _row(f"{event} from {who}" for event, who in sorted(events.items()))


def _row(names: Iterable[str]) -> str:
    return ", ".join(names) or NOTHING


def _held_back(moment: Moment) -> str:
    if moment.waiting:
        return "; ".join(f"{each.rule} waits for {each.permit}" for each in moment.waiting)
    return f"nothing is due before {written_instant(moment.due_at)}" if moment.due_at else "nothing is due"
