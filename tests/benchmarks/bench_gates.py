"""A gate decision against a bare dict lookup, and a settlement against a bare trigger of `transitions`."""

from __future__ import annotations

from transitions import Machine

from engine.decide import compiled, settle
from engine.gates import verdict
from tests.benchmarks.table import Row, microseconds_each
from tests.factories import at, shipped_policy
from tests.story import Story

COUNT = 20_000
QUIET_MICROSECONDS = 5.0


class Bare:
    """A slotted model and nothing else."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = "low"


def bare_trigger() -> float:
    """Return the µs that one trigger of a machine with one condition takes by itself."""
    machine = Machine(model=None, states=["low", "high"], initial="low", auto_transitions=False, send_event=True)
    machine.add_transition("climb", ["low"], "high", conditions=lambda _: True)
    trigger = machine.events["climb"].trigger
    return microseconds_each(lambda: trigger(Bare()), 200, 200)


def run() -> list[Row]:
    """Measure verdicts and settlements on the policy that ships."""
    policy = shipped_policy()
    story = Story(policy)
    server, states = story.last.server, story.snapshot.states
    facts = {"has_active_plan": True, "at_plan_limit": False}
    cells = {("files.write", "allowed"): True}
    gates = compiled(policy).gates

    def lookup() -> bool:
        return cells["files.write", "allowed"]

    limit = microseconds_each(lookup, COUNT)
    gate = microseconds_each(lambda: gates.server("files.write", server, "customer"), COUNT)
    create = microseconds_each(
        lambda: verdict(policy, states, server, "instance.create", "customer", facts), COUNT // 4
    )
    calm, now = story.snapshot, story.now
    quiet = microseconds_each(lambda: settle(policy, calm, now), 200, 200)
    story.evidence(overdue_invoices=1, past_due_since=now)
    story.until(71)
    late, later = story.snapshot, at(72)
    steps = len(settle(policy, late, later).steps)
    each = microseconds_each(lambda: settle(policy, late, later), 200, 200) / steps
    bare = bare_trigger()
    return [
        Row("gate on a server / dict lookup", gate, limit, gate / limit, "µs", "<= 5"),
        Row("gate on making a server, with its limits / dict lookup", create, limit, create / limit, "µs", "<= 25"),
        Row("settle when nothing fires / budget", quiet, QUIET_MICROSECONDS, quiet / QUIET_MICROSECONDS, "µs", "<= 1"),
        Row("settle, each step / bare trigger of transitions", each, bare, each / bare, "µs", "<= 4"),
    ]
