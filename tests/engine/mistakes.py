"""Small mistakes in the shipped policy, one for every code of a fault, and what is to be underlined.

Here: what cannot be read, has the wrong shape, or names and compares what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.load import bundle

SHIPPED = Path(__file__).resolve().parents[2] / "policy"


@dataclass(frozen=True)
class Mistake:
    """Replace `old` by `new` in a file and find exactly `code` (and `also`), with `at` underlined."""

    code: str
    file: str
    old: str
    new: str
    at: str
    also: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    elsewhere: str | None = None  # the file of the fault, where it is not the changed one

    def texts(self) -> dict[str, str]:
        """Return the shipped policy with this mistake in it."""
        texts = bundle(SHIPPED)
        assert self.old in texts.get(self.file, ""), f"`{self.old}` is no longer in {self.file}"
        return texts | {self.file: texts[self.file].replace(self.old, self.new, 1)}

    def __str__(self) -> str:
        return f"{self.code}: {self.file}: {self.new.strip()[:40]}"


CANNOT_BE_READ = [
    Mistake("P101", "abuse.yaml", "[clear, restricted, stopped]", "[clear, restricted, stopped", ":"),
    Mistake("P101", "abuse.yaml", "cause: abuse", "cause: 'abuse", ""),
    Mistake("P101", "alerts.yaml", "policy_deployed:          audit-log", "policy_deployed: audit: log", ":"),
    Mistake("P101", "alerts.yaml", "policy_deployed:          audit-log", "\tpolicy_deployed: audit-log", "\t"),
    Mistake("P104", "abuse.yaml", "ladder: [clear,", "deep: " + "[" * 30 + "]" * 30 + "\nladder: [clear,", "["),
    Mistake("P105", "maintenance.yaml", "maintenance: []", f"maintenance: [{'a,' * 20_001}]", "a"),
    Mistake("P106", "abuse.yaml", "initial: clear", "initial: &start clear", "&start"),
    Mistake("P106", "abuse.yaml", "initial: clear", "initial: *start", "*start"),
    Mistake("P107", "abuse.yaml", "initial: clear", "<<: {initial: clear}\ninitial: clear", "<<"),
    Mistake("P108", "abuse.yaml", "initial: clear", "initial: clear\ninitial: clear", "initial"),
    Mistake("P109", "abuse.yaml", "initial: clear", "initial: !!str clear", "!!str"),
    Mistake(
        "P109", "abuse.yaml", "initial: clear", "initial: !!python/name:os.system clear", "!!python/name:os.system"
    ),
    Mistake("P110", "abuse.yaml", "initial: clear", "initial: clear\n---\nmachine: other", "---"),
    Mistake("P111", "abuse.yaml", "initial: clear", "initial: clear\n? [a, b]\n: c", "["),
    Mistake("P112", "abuse.yaml", "event: abuse_reported", "on: abuse_reported", "on"),
    Mistake("P112", "permits.yaml", "outside: true", "outside: yes", "yes"),
    Mistake("P112", "gates.yaml", "codes:  ", "off: 1\ncodes:  ", "off"),
    Mistake("P112", "standing.yaml", "of: [none, incomplete,", "of: [none, no, incomplete,", "no"),
    Mistake("P113", "standing.yaml", "servers: 10}", "servers: 010}", "010"),
    Mistake("P113", "standing.yaml", "servers: 10}", "servers: 1_0}", "1_0"),
    Mistake("P113", "standing.yaml", "servers: 10}", "servers: 10:30}", "10:30"),
    Mistake("P113", "standing.yaml", "servers: 10}", "servers: 1.5}", "1.5"),
    Mistake("P113", "permits.yaml", "outside: true", "outside: True", "True"),
    Mistake("P114", "abuse.yaml", "initial: clear", "initial: clear # \u202eraelc", "\u202e"),
]

WRONG_SHAPE = [
    Mistake("S201", "abuse.yaml", "initial: clear\n", "", "machine"),
    Mistake("S201", "abuse.yaml", "initial: clear\n", "inital: clear\n", "machine", ("S202",)),
    Mistake("S202", "billing.yaml", "    needs: suspending\n", "    need: suspending\n", "need"),
    Mistake("S202", "billing.yaml", "relief:   ", "colour: red\nrelief:   ", "colour"),
    Mistake("S203", "abuse.yaml", "ladder: [clear, restricted, stopped]", "ladder: clear", "clear"),
    Mistake("S203", "standing.yaml", "servers: 10}", "servers: many}", "many"),
    Mistake("S203", "abuse.yaml", "initial: clear", "initial: 5", "5"),
    Mistake("S203", "abuse.yaml", "initial: clear", "initial:", "initial"),
    Mistake("S204", "abuse.yaml", "cause: abuse", "cause: abuze", "abuze"),
    Mistake("S204", "gates.yaml", "[yes,   no,         no]", "[yes,   maybe,      no]", "maybe"),
    Mistake("S204", "gates.yaml", "[yes,   no,         no]", "[true,  no,         no]", "true"),
    Mistake("S204", "intents.yaml", "kind: notice, wanted_in: [active]", "kind: notise, wanted_in: [active]", "notise"),
    Mistake("S205", "abuse.yaml", "machine: abuse", "machine: Abuse!", "Abuse!"),
    Mistake("S205", "permits.yaml", "younger_than: 5m", "younger_than: 5 minutes", "5 minutes"),
    Mistake("S205", "permits.yaml", "share: 2%", "share: 200%", "200%"),
    Mistake("S205", "gates.yaml", "host.reinstall: ", "reinstall: ", "reinstall"),
    Mistake("S206", "standing.yaml", "servers: 10}", "servers: -1}", "-1"),
    Mistake("S207", "standing.yaml", "{fact: exempt, eq: false}", "{fact: exempt}", "{fact: exempt}"),
    Mistake(
        "S207",
        "standing.yaml",
        "{fact: exempt, eq: false}",
        "{fact: exempt, eq: false, ne: true}",
        "{fact: exempt, eq: false, ne: true}",
    ),
    Mistake("S207", "abuse.yaml", "from: [restricted, stopped]", "from: []", "[]"),
    Mistake("S208", "abuse.yaml", "from: [restricted, stopped]", "from: [stopped, stopped]", "stopped"),
    Mistake(
        "S210", "billing.yaml", "    mark: retention_told\n", "    mark: retention_told\n    to: retained\n", "mark"
    ),
    Mistake("S210", "abuse.yaml", "event: abuse_reported,  by: admin", "event: abuse_reported", "event"),
    Mistake(
        "S210",
        "permits.yaml",
        "{calendar: maintenance, outside: true}",
        "{alert: clock_not_sane}",
        "{alert: clock_not_sane}",
    ),
]

UNKNOWN_NAMES = [
    Mistake("M301", "billing.yaml", "{fact: backup_blocked_at, is", "{fact: backup_bloked_at, is", "backup_bloked_at"),
    Mistake(
        "M301", "billing.yaml", "after: {past_due_since: warning_after}", "after: {past_due: warning_after}", "past_due"
    ),
    Mistake("M302", "billing.yaml", "when: nothing_owed", "when: nothing_ower", "nothing_ower"),
    Mistake("M302", "billing.yaml", "when: nothing_owed", "when: exempt", "exempt"),
    Mistake(
        "M303", "billing.yaml", "{suspended_at: retain_after}", "{suspended_at: retain_afer}", "retain_afer", ("M385",)
    ),
    Mistake("M303", "billing.yaml", "at_least: warning_after", "at_least: warning", "warning"),
    Mistake("M304", "abuse.yaml", "from: [restricted, stopped]", "from: [restricted, halted]", "halted"),
    Mistake("M304", "permits.yaml", "[provisioning, backing_up,", "[provisioning, backingup,", "backingup"),
    Mistake("M305", "billing.yaml", "do: [send_billing_warning]", "do: [send_billing_warnin]", "send_billing_warnin"),
    Mistake("M306", "abuse.yaml", "by: admin,\n     do:", "by: admin, needs: [no_holds],\n     do:", "no_holds"),
    Mistake("M306", "ended.yaml", "[fresh_standing, no_maint", "[fresh_standings, no_maint", "fresh_standings"),
    Mistake("M307", "gates.yaml", "  abuse:\n", "  abuses:\n", "abuses", ("M362", "M364")),
    Mistake("M308", "intents.yaml", "promises: ended.stop", "promises: ended.halt", "ended.halt"),
    Mistake("M309", "permits.yaml", "alert: standing_stale", "alert: standing_stall", "standing_stall"),
    Mistake("M310", "permits.yaml", "{calendar: maintenance,", "{calendar: maintenence,", "maintenence"),
    Mistake(
        "M310",
        "permits.yaml",
        "{calendar: maintenance,",
        "{calendar: {hours: 09:00-16:00, zone: Europe/Berlim},",
        "Europe/Berlim",
    ),
    Mistake(
        "M311",
        "gates.yaml",
        "{action: instance.create, deny: PLAN",
        "{action: instance.make, deny: PLAN",
        "instance.make",
    ),
    Mistake(
        "M312",
        "abuse.yaml",
        "event: abuse_confirmed, by: admin,",
        "event: abuse_confirmed, by: admin, other_than: abused,",
        "abused",
    ),
    Mistake("M313", "repairs.yaml", "brake: repairs}", "brake: repair}", "repair"),
    Mistake("M314", "repairs.yaml", "except: [shutdown_suspended,", "except: [shutdown_suspend,", "shutdown_suspend"),
    Mistake("M315", "server.yaml", "of: server", "of: account", "server", ("M362", "M315", "S201", "S202")),
    Mistake("M315", "billing.yaml", "machine: billing", "machine: debts", "debts", ("M307", "M308", "M362", "M370")),
    Mistake("M320", "abuse.yaml", "{id: stop, ", "{id: restrict, ", "restrict"),
    Mistake("M320", "abuse.yaml", "machine: abuse", "machine: ended", "ended", elsewhere="ended.yaml"),
    Mistake("M320", "ended.yaml", "facts:\n", "facts:\n  exempt: {type: bool, from: admin}\n", "exempt"),
    Mistake(
        "M320",
        "ended.yaml",
        "stop_after:         {default: 7d,",
        "stop_after: {default: 7d, env: {BILLING_RETENTION_DAYS: days},",
        "BILLING_RETENTION_DAYS",
    ),
    Mistake("M322", "abuse.yaml", "ladder:", "mapping: {clear: stopped}\nladder:", "clear"),
    Mistake(
        "M321", "ended.yaml", "predicates:\n", "predicates:\n  owing: {fact: exempt, eq: true}\n", "owing", ("M325",)
    ),
]

WRONG_TYPES = [
    Mistake(
        "M330", "ended.yaml", "{fact: subscription, eq: canceled}", "{fact: subscription, eq: cancelled}", "cancelled"
    ),
    Mistake("M330", "standing.yaml", "unpaid, paused, canceled]", "unpaid, canceled]", "paused"),
    Mistake("M331", "ended.yaml", "{fact: subscription, eq: canceled}", "{fact: subscription, lt: canceled}", "lt"),
    Mistake("M331", "ended.yaml", "{fact: exempt, eq: false}", "{fact: past_due_since, gt: 72}", "gt"),
    Mistake("M331", "ended.yaml", "{fact: exempt, eq: false}", "{fact: exempt, is_null: true}", "is_null"),
    Mistake("M332", "standing.yaml", "{fact: overdue_invoices, gt: 0}", "{fact: overdue_invoices, gt: none}", "none"),
    Mistake("M332", "standing.yaml", "{fact: overdue_invoices, gt: 0}", "{fact: overdue_invoices, gt: -1}", "-1"),
    Mistake(
        "M332",
        "standing.yaml",
        "{fact: overdue_invoices, gt: 0}",
        "{fact: overdue_invoices, between: [5, 1]}",
        "[5, 1]",
    ),
    Mistake("M332", "standing.yaml", "{fact: exempt, eq: false}", "{fact: exempt, eq: 0}", "0"),
    Mistake("M333", "ended.yaml", "after: {subscription_ended_at: 0h}", "after: {subscription: 0h}", "subscription"),
    Mistake(
        "M334", "billing.yaml", "{fact: backup_blocked_at, is_null: false}", "{fact: observed, eq: running}", "observed"
    ),
    Mistake("M334", "server.yaml", "after: {starting_since:", "after: {past_due_since:", "past_due_since", ("M388",)),
    Mistake("M334", "server.yaml", "when: {fact: desired, eq: running}", "when: owing", "owing"),
    Mistake(
        "M335", "standing.yaml", "exempt:                {type: bool, from: admin}", "exempt: {type: bool}", "exempt"
    ),
    Mistake("M335", "abuse.yaml", "ladder: [", "facts: {a_at: {type: bool, from: entered stopped}}\nladder: [", "bool"),
    Mistake(
        "M335", "abuse.yaml", "ladder: [", "facts: {a_at: {type: instant, from: entered stopped}}\nladder: [", "a_at"
    ),
    Mistake(
        "M335",
        "standing.yaml",
        "overdue_invoices:      {type: int, min: 0,",
        "overdue_invoices: {type: int, of: [a],",
        "of",
    ),
    Mistake("M336", "ended.yaml", "  over: {all: [", "  over: {all: [over, ", "over"),
    Mistake(
        "M337",
        "ended.yaml",
        "predicates:\n",
        "predicates:\n  p0: {fact: exempt, eq: true}\n"
        + "".join(f"  p{n}: {{all: [p{n - 1}, p{n - 1}, p{n - 1}]}}\n" for n in range(1, 8)),
        "{all: [p5, p5, p5]}",
        ("M325", "M387"),
    ),
    Mistake("M338", "standing.yaml", "  exempt:    ", "  happy: {type: bool, from: standing}\n  exempt:    ", "happy"),
    Mistake("M338", "standing.yaml", "{type: bool, from: admin}", "{type: int, from: admin}", "exempt", ("M332",)),
]

TEXT_MISTAKES = [*CANNOT_BE_READ, *WRONG_SHAPE, *UNKNOWN_NAMES, *WRONG_TYPES]
