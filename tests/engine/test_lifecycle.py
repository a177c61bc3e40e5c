"""How a server moves: by events, by roles, by time, and what it remembers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.errors import UnknownState
from engine.lifecycle import Move, due, lifecycle_machine, move, since
from engine.model import FactType, Intent, IntentKind, Origin, Policy, RuleKind, Value
from tests.factories import HERE, START, atom, fact, machine, policy_of, rule

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def server_policy() -> Policy:
    """Return a lifecycle with a timed mark, a timed transition, roles, and moves that depend on facts."""

    def moves(id_: str, sources: str, to: str | None = None, **keys: object) -> object:
        return rule("server", id_, RuleKind.MOVE, sources.split(), to, **keys)  # type: ignore[arg-type]

    listed = (
        moves("start", "stopped failed", "starting", event="start_requested", do=("start_server",)),
        moves("restart", "running starting", "starting", event="restart_requested"),
        moves("stop", "running starting", "stopping", event="stop_requested", do=("stop_server",)),
        moves("runs", "starting stopped", "running", event="observed_running", by="worker"),
        moves("stands", "running stopping", "stopped", event="observed_stopped", by="worker"),
        moves("no_start", "starting", "failed", after={"starting_since": 5 * MINUTE}),
        moves("force", "stopping", mark="forced", after={"stopping_since": 2 * MINUTE}, do=("force_stop_server",)),
        moves("back_up", "running stopped", "backing_up", event="backup_started", by="worker"),
        moves("backed_up_running", "backing_up", "running", event="backup_finished", by="worker",
              when=atom("observed", "eq", "running")),
        moves("backed_up", "backing_up", "stopped", event="backup_finished", by="worker"),
    )  # fmt: skip
    server = machine(
        "server",
        ("stopped", "starting", "running", "stopping", "backing_up", "failed"),
        listed,  # type: ignore[arg-type]
        facts=(
            fact("observed", FactType.ENUM, origin=Origin.OBSERVED, values=("running", "stopped", "unknown")),
            fact("starting_since", origin=Origin.ENTERED, of="starting"),
            fact("stopping_since", origin=Origin.ENTERED, of="stopping"),
            fact("forced_at", origin=Origin.MARK, of="forced"),
        ),
        of="server",
    )
    commands = ("start_server", "stop_server", "force_stop_server")
    return policy_of(server, intents=(Intent(name, IntentKind.COMMAND, HERE, per_server=True) for name in commands))


POLICY = server_policy()


def taken(state: str, event: str | None, facts: dict[str, Value] | None = None, *, role: str = "worker") -> Move:
    """Return the move that must follow."""
    found = move(POLICY, state, facts or {}, event, START, role)
    assert found is not None
    return found


def test_an_event_moves_a_server_and_asks_for_what_it_needs() -> None:
    found = taken("stopped", "start_requested", role="customer")
    assert (found.to, found.mark, [ask.intent for ask in found.asks]) == ("starting", None, ["start_server"])
    assert found.rule.name == "server.start"
    assert found.place == "test.yaml:1"


def test_entering_a_state_sets_its_stamp_and_clears_every_other_stamp_and_mark() -> None:
    found = taken("running", "stop_requested", {"starting_since": START, "forced_at": START})
    assert found.stamps == {"starting_since": None, "stopping_since": START, "forced_at": None}


def test_entering_the_same_state_again_counts_its_time_anew() -> None:
    earlier = START - 4 * MINUTE
    assert taken("starting", "restart_requested", {"starting_since": earlier}).stamps["starting_since"] == START


@pytest.mark.parametrize(("off", "forced"), [(-SECOND, False), (0 * SECOND, True), (SECOND, True)])
def test_a_stop_is_forced_when_its_time_is_over_and_once_only(off: timedelta, forced: bool) -> None:
    facts: dict[str, Value] = {"stopping_since": START - 2 * MINUTE - off}
    found = move(POLICY, "stopping", facts, None, START)
    assert (found is not None) is forced
    if found is not None:
        assert (found.to, found.mark, found.stamps) == ("stopping", "forced", {"forced_at": START})
        assert move(POLICY, "stopping", {**facts, **found.stamps}, None, START + 99 * MINUTE) is None


def test_a_stop_after_a_forced_one_is_forced_in_its_own_time() -> None:
    facts: dict[str, Value] = {"stopping_since": START - 2 * MINUTE}
    facts |= taken("stopping", None, facts).stamps
    for state, event in (
        ("stopping", "observed_stopped"),
        ("stopped", "observed_running"),
        ("running", "stop_requested"),
    ):
        facts |= taken(state, event, facts).stamps
    assert facts["forced_at"] is None
    assert due(POLICY, "stopping", facts) == START + 2 * MINUTE


def test_what_waits_for_time_is_due_then() -> None:
    assert due(POLICY, "starting", {"starting_since": START}) == START + 5 * MINUTE
    assert due(POLICY, "starting", {"starting_since": None}) is None
    assert due(POLICY, "running", {}) is None
    assert due(POLICY, "stopping", {"stopping_since": START, "forced_at": START}) is None


def test_the_first_move_that_holds_is_taken() -> None:
    assert taken("backing_up", "backup_finished", {"observed": "running"}).to == "running"
    assert taken("backing_up", "backup_finished", {"observed": "unknown"}).to == "stopped"
    assert taken("backing_up", "backup_finished").to == "stopped"


@pytest.mark.parametrize(
    ("state", "event", "role"),
    [
        ("running", "start_requested", "customer"),  # not from here
        ("running", "observed_stopped", "customer"),  # only the worker observes
        ("running", "observed_stopped", "admin"),
        ("running", "explode", "worker"),  # nobody knows it
        ("running", None, "worker"),  # nothing follows by itself
    ],
)
def test_what_no_move_takes_moves_nothing(state: str, event: str | None, role: str) -> None:
    assert move(POLICY, state, {}, event, START, role) is None


def test_a_state_that_the_policy_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownState):
        move(POLICY, "exploded", {}, None, START)
    with pytest.raises(UnknownState):
        due(POLICY, "exploded", {})


def test_the_stamps_of_a_server_that_is_written_for_the_first_time() -> None:
    assert since(POLICY, "starting", START) == {"starting_since": START, "stopping_since": None}
    assert lifecycle_machine(POLICY).name == "server"
