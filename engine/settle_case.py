"""One account while it is being decided: a working copy that rules fire on, made only when the first one does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from engine.compiled import Compiled, CompiledMachine, CompiledRule
from engine.errors import UnknownState
from engine.executor import Subject
from engine.guards import Facts
from engine.model import Ask, IntentKind, Value
from engine.snapshot import Asked, Command, NoticeState, NoticeStatus, Snapshot, Step, StepKind, Waiting

Draft = tuple[dict[str, str], dict[str, int], dict[str, Value], dict[str, NoticeState]]

NO_DELAY = timedelta(0)


class Case:
    """The account's states, facts and notices as decided so far, and the steps that led there."""

    __slots__ = (
        "_draft", "brakes", "command", "due_at", "episodes", "facts", "notices", "now", "ready", "senders", "snapshot",
        "states", "steps", "waiting",
    )  # fmt: skip

    def __init__(self, ready: Compiled, snapshot: Snapshot, now: datetime, command: Command | None = None) -> None:
        self.ready = ready
        self.snapshot = snapshot
        self.now = now
        self.command = command  # until a rule takes it
        self.steps: list[Step] = []
        self.brakes: list[str] = []
        self.waiting: list[Waiting] = []
        self.due_at: datetime | None = None  # of the next rule of pressure
        self.states: Mapping[str, str] = snapshot.states
        if snapshot.states.keys() != ready.names:  # a machine is new in this policy, or gone from it
            self.states = {machine.name: machine.initial for machine in ready.machines} | dict(snapshot.states)
        self.episodes: Mapping[str, int] = snapshot.episodes
        self.facts: Facts = ready.view(self.states, snapshot.facts)
        self.notices: Mapping[str, NoticeState] = snapshot.notices
        self.senders: Mapping[str, str] = snapshot.senders
        self._draft: Draft | None = None

    def rung(self, machine: CompiledMachine) -> str:
        """Return the machine's state. Raises UnknownState for one that the policy does not have."""
        state = self.states[machine.name]
        if state not in machine.rank:
            raise UnknownState(machine.name, state)
        return state

    def fire(self, machine: CompiledMachine, rule: CompiledRule) -> None:
        """Let the rule act, through the executor, and write down why."""
        start = self.states[machine.name]
        sent = self.command if rule.event is not None else None
        told = rule.told(self.notices)
        subject = Subject(start, self.facts, self.now, told=told, role=sent.role if sent is not None else None)
        self.ready.executor.fire(rule.name, subject)
        read = {name: self.facts.get(name) for name in rule.reads}
        if sent is not None:
            self.senders = {**self.senders, sent.event: sent.actor}
            self.command = None
        if rule.mark is not None:
            self.draft()[2][rule.mark] = self.now + self.ready.plus.get(rule.mark, NO_DELAY)
        else:
            self._move(machine, start, subject.state)
        asked = self._ask(machine, rule.rule.do) if rule.rule.do else ()
        for permit in rule.brakes:
            self.brakes.append(permit.name)
        kind = StepKind.MARK if rule.mark is not None else StepKind.TRANSITION
        mark = rule.rule.mark
        self.steps.append(Step(kind, machine.name, rule.name, rule.place, start, subject.state, mark, read, asked))

    def blocks(self, rule: CompiledRule) -> list[tuple[str, datetime | None]]:
        """Return the permits that hold the rule back, and until when. A brake is only asked when nothing else does."""
        blocked = []
        for permits in (rule.needs, rule.brakes):
            for permit in permits:
                blocks, until = self.ready.permits.block(permit, self.snapshot, self.now)
                if blocks:
                    blocked.append((permit.name, until))
            if blocked:
                break
        return blocked

    def draft(self) -> Draft:
        """Return the states, episodes, facts and notices to write on; the snapshot's own are never touched."""
        if self._draft is None:
            self._draft = (dict(self.states), dict(self.episodes), dict(self.facts), dict(self.notices))
            self.states, self.episodes, self.facts, self.notices = self._draft
        return self._draft

    def ask_notice(self, notice: str, machine: CompiledMachine) -> tuple[Asked, ...]:
        """Ask for the notice's next round; for nothing while a round of this episode is open or unknown."""
        _, episodes, facts, notices = self.draft()
        episode = episodes.get(machine.name, 0)
        last = notices.get(notice)
        number, floor = 1, None
        if last is not None:
            same = last.episode == episode and last.machine in {machine.name, ""}
            if same and last.status in {NoticeStatus.OPEN, NoticeStatus.UNKNOWN}:
                return ()
            if same or notice in self.ready.shared:  # several machines count the rounds of a shared notice together
                number = last.round + 1
            if same:
                floor = latest(last.promise_at, last.floor_at)
        notices[notice] = NoticeState(episode, number, NoticeStatus.OPEN, machine=machine.name, floor_at=floor)
        for fact, _ in self.ready.delivered[notice]:
            facts[fact] = None
        return (Asked(notice, IntentKind.NOTICE, machine.name, episode, number),)

    def outcome(self) -> Snapshot:
        """Return the snapshot as decided; the very one that came in when nothing changed."""
        if self._draft is None and self.states is self.snapshot.states:
            return self.snapshot
        states, episodes, facts, notices = self.draft()
        before = self.snapshot
        for name, _ in self.ready.mirrors + self.ready.defaults:
            if name not in before.facts:
                facts.pop(name, None)
        return Snapshot(
            before.account_id, states, episodes, facts, notices, before.holds, before.permits, before.servers,
            before.zone, before.recheck_at, self.senders,
        )  # fmt: skip

    def _move(self, machine: CompiledMachine, start: str, to: str) -> None:
        states, episodes, facts, notices = self.draft()
        name = machine.name
        states[name] = to
        if start == machine.initial:
            episodes[name] = episodes.get(name, 0) + 1
        if to == machine.initial:
            self._end_episode(machine, facts, notices)
        elif machine.rank[to] < machine.rank[start]:  # what was entered above is no longer so
            for state, stamps in machine.entered.items():
                if machine.rank[state] > machine.rank[to]:
                    for fact, _ in stamps:
                        facts[fact] = None
        for fact, plus in machine.entered[to]:
            facts[fact] = self.now + plus
        for fact, of in self.ready.mirrors:
            if of == name:
                facts[fact] = to

    def _end_episode(self, machine: CompiledMachine, facts: dict[str, Value], notices: dict[str, NoticeState]) -> None:
        """Forget what the episode stamped, what it told and who sent what: the next one starts from nothing."""
        for fact in machine.clears:
            facts[fact] = None
        for notice in machine.episode_notices:
            notices.pop(notice, None)
        if self.senders:
            self.senders = {event: by for event, by in self.senders.items() if event not in machine.events}

    def _ask(self, machine: CompiledMachine, asks: tuple[Ask, ...]) -> tuple[Asked, ...]:
        asked: list[Asked] = []
        episode = self.episodes.get(machine.name, 0)
        for ask in asks:
            intent = self.ready.policy.intents[ask.intent]
            if intent.kind is IntentKind.NOTICE:
                asked.extend(self.ask_notice(intent.name, machine))
            elif ask.each_server or intent.per_server:
                asked.extend(
                    Asked(intent.name, intent.kind, machine.name, episode, 1, server.server_id)
                    for server in self.snapshot.servers
                )
            else:
                asked.append(Asked(intent.name, intent.kind, machine.name, episode, 1))
        return tuple(asked)


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two instants, either of which may be missing."""
    if one is None or other is None:
        return one or other
    return max(one, other)
