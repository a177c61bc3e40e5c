"""What a policy must mean beyond its parts: what takes more than one line to judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.analyse.guard import GuardJudge
from engine.analyse.machine import Listing, check_rules
from engine.builders.draft import Draft, each
from engine.consent import may_destroy
from engine.effects import CREDIT_NOTE, IMPLEMENTED
from engine.faults import listed, meant, shown
from engine.meaning_ladder import check_machine
from engine.model import (
    OVERDUE,
    STOPPED_BILLING_STATES,
    Fact,
    Intent,
    IntentKind,
    Machine,
    Origin,
    Place,
    Rule,
    RuleKind,
)
from engine.model_repairs import Repair, Repairs
from engine.model_words import NoticeText, StateText
from engine.notices import fields_of
from engine.source import Node

FREE_BILLING_STATES = ("allowed", "backup_blocked")  # in these a server may run
TOLD = (IntentKind.NOTICE, IntentKind.LETTER)  # whose words customers read
PROMISED_FIELDS = ("promise_at", "suspend_at", "stop_at")


class Meaning:
    """Checks the parts against each other. `whole` names the machines that could be read entirely."""

    def __init__(self, draft: Draft, machines: Mapping[str, Machine], whole: frozenset[str]) -> None:
        self.draft = draft
        self.faults = draft.faults
        self.machines = machines
        self.whole = whole
        self.intents = {name: intent for name, intent in draft.intents.items() if intent is not None}
        self.all_whole = whole == machines.keys() and draft.names["machine"].complete

    def check_machines(self) -> None:
        """Check each machine by itself, and that those which others rely on are there."""
        judge = GuardJudge(self.faults, {name: fact for name, fact in self.draft.facts.items() if fact is not None})
        for name, guard in self.draft.predicates.items():
            if guard is not None:
                judge.predicate(name.rpartition(".")[2], guard)
        for machine in self.machines.values():
            whole = machine.name in self.whole
            check_machine(self.faults, machine, self.intents, whole=whole)
            if whole:
                check_rules(self.faults, judge, machine, self.intents, self._listing(machine.name))
        if not self.draft.names["machine"].complete:
            return
        billing = self.machines.get("billing")
        if billing is None or billing.of != "account":
            place = billing.place if billing is not None else self._usual_place("billing")
            self.faults.add(
                "M315",
                place,
                "the policy has no machine `billing` of accounts",
                "its rung is an account's billing status",
            )
        lifecycles = [machine for machine in self.machines.values() if machine.of == "server"]
        if len(lifecycles) != 1:
            place = lifecycles[1].place if lifecycles else self._usual_place("server")
            found = listed(machine.name for machine in lifecycles) or "none"
            self.faults.add(
                "M315", place, f"expected one machine `of: server`, found {found}", "every server runs the same one"
            )
        of_invoices = [machine for machine in self.machines.values() if machine.of == "invoice"]
        if len(of_invoices) > 1:
            found = listed(machine.name for machine in of_invoices)
            message = f"expected at most one machine `of: invoice`, found {found}"
            self.faults.add("M315", of_invoices[1].place, message, "every invoice runs the same one")
        for machine in of_invoices:
            if OVERDUE not in machine.ladder and self.draft.machines[machine.name].states_known:
                message = f"`{machine.name}` has no state `{OVERDUE}`, so that no invoice would ever count"
                self.faults.add("M315", machine.place, message, f"name the state `{OVERDUE}` in which debts count")

    def _listing(self, name: str) -> Listing:
        drafted = self.draft.machines[name]
        states = drafted.root.get("ladder" if drafted.of == "account" else "states")
        return Listing({state.text: state.place for state in each(states)}, drafted.final or drafted.states[-1:])

    def _usual_place(self, name: str) -> Place:
        """Return where a machine of this name is usually written."""
        root = self.draft.trees.get(f"{name}.yaml")
        machine = root.get("machine") if root is not None else None
        return machine.place if machine is not None else Place(f"{name}.yaml", 1, 1)

    # ---- intents -----------------------------------------------------------------------------------------------------

    def check_intents(self, repairs: Repairs | None) -> None:
        """Check who asks for what, and what asking for it means."""
        for machine in self.machines.values():
            for rule in machine.rules:
                self._check_asks(machine, rule)
        for repair in repairs.lines if repairs is not None else ():
            self._check_repair(repair, repairs.lines if repairs is not None else ())
        asked = self._asked()
        for intent in self.intents.values():
            self._check_intent(intent)
            if intent.name not in asked and self._must_be_asked(intent):
                who = "repair" if intent.kind is IntentKind.REPAIR else "rule"
                self.faults.add("M352", intent.place, f"no {who} asks for `{intent.name}`", "ask for it, or remove it")

    def _check_asks(self, machine: Machine, rule: Rule) -> None:
        for ask in rule.do:
            intent = self.intents.get(ask.intent)
            if intent is None:
                continue
            if intent.destructive and not may_destroy(machine, rule):
                message = f"`{ask.intent}` is destructive, and rule `{rule.id}` fires without an admin"
                hint = "give the rule `event:` and `by: admin`, or a rung that only `other_than:` leads to"
                self.faults.add("M350", ask.place, message, hint)
            if intent.starts_servers and machine.of == "account":
                message = f"`{ask.intent}` starts servers, and no rule of an account may"
                self.faults.add(
                    "M351",
                    ask.place,
                    message,
                    "nothing is started by billing: customers start their servers themselves",
                )
            if intent.kind is IntentKind.REPAIR:
                message = f"`{ask.intent}` is of kind repair, and only repairs.yaml asks for those"
                self.faults.add("M356", ask.place, message, "make it a command, or remove it from `do:`")
            if intent.kind is IntentKind.NOTICE and machine.of != "account":
                message = f"`{ask.intent}` tells a customer about the account; a machine of each {machine.of} does not"
                self.faults.add("M356", ask.place, message, "ask for it in a machine of accounts")
            if (
                intent.kind is IntentKind.COMMAND
                and machine.of == "account"
                and not intent.destructive
                and not intent.starts_servers
            ):
                message = f"`{ask.intent}` is a command of people, and a rule of an account is none"
                self.faults.add("M356", ask.place, message, "ask for an effect")

    def _check_intent(self, intent: Intent) -> None:
        if intent.promises is not None:
            self._check_promise(intent)
        if intent.starts_servers and (not intent.wanted_for or set(intent.wanted_for) - set(FREE_BILLING_STATES)):
            hint = f"write `wanted_for: [{', '.join(FREE_BILLING_STATES)}]`"
            self.faults.add(
                "M357", intent.place, f"`{intent.name}` starts servers, and is wanted where none may run", hint
            )
        unbuilt = intent.name not in IMPLEMENTED
        if unbuilt and not (intent.destructive and intent.name not in self._asked()):
            self.faults.add(
                "M353",
                intent.place,
                f"nothing carries out `{intent.name}`",
                "" if intent.destructive else meant(intent.name, IMPLEMENTED, "is the name right?"),
            )

    def _asked(self) -> set[str]:
        """Return every intent that a line somewhere names, also in lines with faults."""
        asked = set()
        for machine in self.draft.machines.values():
            for key in ("relief", "pressure", "moves"):
                section = machine.root.get(key)
                for rule in section.items if section is not None else []:
                    for item in each(rule.get("do")):
                        asked |= {item.text} if item.kind == "scalar" else set(item.entries)
        for permit in self.draft.permits.values():
            asked |= {permit.notify} if permit is not None and permit.notify is not None else set()
        for repair in each(self.draft.section("repairs", "repairs")):
            do = repair.get("do")
            asked |= {do.text} if do is not None else set()
        return asked

    def _must_be_asked(self, intent: Intent) -> bool:
        """Tell whether only the policy could ask for it, and all of the policy could be read."""
        if intent.kind is IntentKind.COMMAND or intent.destructive or intent.name == CREDIT_NOTE:
            return False  # people ask for commands, and credit notes for theirs; what is destructive is refused
        root = self.draft.tree("repairs")
        permits = self.draft.tree("permits")
        parts_whole = root is not None and not root.hurt and permits is not None and not permits.hurt
        return self.all_whole and parts_whole

    def _check_promise(self, intent: Intent) -> None:
        name = intent.promises or ""
        node = self.draft.section("intents", intent.name)
        at = node.entries["promises"][1] if node is not None else None
        place = at.place if at is not None else intent.place
        machine, _, rule_id = name.partition(".")
        found = self.machines.get(machine)
        rule = next((rule for rule in found.rules if rule.id == rule_id), None) if found is not None else None
        if rule is None or not self.draft.machines[machine].states_known:
            if name not in self.draft.names["rule"] and at is not None:
                self.draft.known("rule", at, name)
            return
        if rule.kind is not RuleKind.PRESSURE:
            self.faults.add(
                "M355",
                place,
                f"`{rule.name}` is no rule of pressure; nothing is feared of it",
                "promise the date of a pressure rule",
            )
            return
        stamps = [
            fact.name for fact in self._stamps(found) if fact.origin is Origin.DELIVERED and fact.of == intent.name
        ]
        if not {timer.anchor for timer in rule.after} & set(stamps):
            anchor = f"`{stamps[0]}`" if stamps else f"a fact `from: delivered {intent.name}`"
            message = f"`{intent.name}` promises the date of `{rule.name}`, whose `after:` does not wait for it"
            self.faults.add("M355", place, message, f"add {anchor} to the `after:` of {rule.place}")

    @staticmethod
    def _stamps(machine: Machine | None) -> Iterable[Fact]:
        return machine.facts.values() if machine is not None else ()

    # ---- repairs -----------------------------------------------------------------------------------------------------

    def _check_repair(self, repair: Repair, lines: tuple[Repair, ...]) -> None:
        intent = self.intents.get(repair.do or "")
        if intent is None:
            return
        if intent.kind is IntentKind.NOTICE or not intent.per_server:
            self.faults.add(
                "M356",
                repair.place,
                f"a repair acts on one server, and `{intent.name}` does not",
                "name an intent with `per: server`",
            )
        if intent.destructive:
            self.faults.add(
                "M350",
                repair.place,
                f"`{intent.name}` is destructive, and no repair may be",
                "repairs only start, stop and set",
            )
        if repair.level is not None and _is_billings(intent):
            message = f"the repair `{repair.id}` keeps down what billing stopped, and level {repair.level} can be off"
            self.faults.add("M397", repair.place, message, "write `level: always`")
        if intent.starts_servers and not self._spares_stopped(repair, lines):
            message = (
                f"the repair `{repair.id}` could start a server that is {' or '.join(sorted(STOPPED_BILLING_STATES))}"
            )
            hint = "let a line above it take those: `{server: [suspended_shutdown, retained]}`, `do: nothing`"
            self.faults.add("M351", repair.place, message, hint)

    @staticmethod
    def _spares_stopped(repair: Repair, lines: tuple[Repair, ...]) -> bool:
        """Tell whether the line, by its own words or by one above, never holds for a server that billing stopped."""
        if repair.server and not STOPPED_BILLING_STATES & set(repair.server):
            return True
        spared: set[str] = set()
        for line in lines[: lines.index(repair)]:
            narrow = (line.observed, line.desired, line.lifecycle, line.edge)
            exact = (line.autostart, line.lifecycle_older_than, line.lock_older_than, line.level)
            if line.server and not any(narrow) and all(each_ is None for each_ in exact):
                spared |= set(line.server)
        return spared >= STOPPED_BILLING_STATES

    # ---- words -------------------------------------------------------------------------------------------------------

    def check_words(self, notices: Mapping[str, NoticeText], states: Mapping[tuple[str, str], StateText]) -> None:
        """Check that every notice, letter and rung has its words, and that a date which is told was promised."""
        section = self.draft.section("notices", "notices")
        for intent in self.intents.values():
            if intent.kind in TOLD and section is not None and intent.name not in section.entries:
                message = f"the {intent.kind.value} `{intent.name}` has no text"
                self.faults.add("M370", intent.place, message, "write it in notices.yaml")
        for notice in notices.values():
            told = self.intents.get(notice.intent)
            if told is None:
                continue
            if told.kind not in TOLD:
                message = f"`{notice.intent}` is of kind {told.kind.value}; nothing of it is written to a customer"
                self.faults.add("M371", notice.place, message, "remove the text")
            self._check_dates(notice, told)
        self._check_state_texts(states)

    def _check_dates(self, notice: NoticeText, intent: Intent) -> None:
        """Check that a notice tells no date but that of the rule which it promises: `suspend_at` for `….suspend`."""
        rule = (intent.promises or "").rpartition(".")[2]
        if rule and intent.promises not in self._pressing():
            return  # what is promised is a fault already
        named = [name for name in fields_of(notice.words.whole) if name in PROMISED_FIELDS]
        unknown = [name for name in named if not rule or name not in {"promise_at", f"{rule}_at"}]
        if unknown:
            promised = f"promises `{intent.promises}`" if rule else "promises nothing"
            hint = "write `{promise_at}`" if rule else "add `promises:` to the intent, or do not tell a date"
            self.faults.add("M373", notice.place, f"`{intent.name}` tells {listed(unknown)} and {promised}", hint)

    def _pressing(self) -> set[str]:
        return {rule.name for machine in self.machines.values() for rule in machine.pressure}

    def _check_state_texts(self, states: Mapping[tuple[str, str], StateText]) -> None:
        section = self.draft.section("notices", "states")
        if section is None or section.kind != "map":
            return
        bare = {name if "." in name else f"billing.{name}" for name in section.entries}
        for machine in self.machines.values():
            judged = machine.of == "account" and self.draft.machines[machine.name].states_known
            for state in machine.ladder if judged else ():
                if f"{machine.name}.{state}" not in bare:
                    key = self._state_key(machine, state)
                    self.faults.add(
                        "M370",
                        key.place,
                        f"no words for a customer in `{machine.name}.{shown(state)}`",
                        "write them in notices.yaml, under `states:`",
                    )
        for (machine_name, _), text in states.items():
            found = self.machines.get(machine_name)
            if found is not None and found.of != "account":
                self.faults.add(
                    "M371",
                    text.place,
                    f"`{machine_name}` is of each {found.of}; the words are about an account",
                    "remove them",
                )

    def _state_key(self, machine: Machine, state: str) -> Node:
        ladder = self.draft.machines[machine.name].root.entries["ladder"][1]
        return next((item for item in ladder.items if item.text == state), ladder)


def _is_billings(intent: Intent) -> bool:
    """Tell whether an intent only keeps down what billing stopped."""
    return intent.enforcement or (bool(intent.wanted_for) and set(intent.wanted_for) <= STOPPED_BILLING_STATES)
