"""Desired against observed: the first line that holds, what is unknown, and what no line can make happen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.model import Intent, IntentKind, Policy, Repair, Repairs
from engine.repairs import Recommendation, recommend
from tests.factories import HERE, policy_of

STOPPED = ("suspended_shutdown", "retained")
LINES = (
    Repair("wait", None, HERE, observed=("unknown",), alert_after=timedelta(minutes=15)),
    Repair("busy", None, HERE, lifecycle=("provisioning", "backing_up")),
    Repair("shutdown_suspended", "shutdown_suspended_server", HERE, server=STOPPED, observed=("running",),
           damped=False),
    Repair("autostart_off", "disable_autostart", HERE, server=STOPPED, autostart=True),
    Repair("suspended", None, HERE, server=STOPPED),
    Repair("start_stopped", "start_server", HERE, desired=("running",), observed=("stopped",), brake="repairs"),
    Repair("republish", "edge_republish", HERE, desired=("running",), observed=("running",), edge=("missing",),
           level="dry_run"),
    Repair("clear_lock", "clear_lock", HERE, lock_older_than=timedelta(minutes=30)),
)  # fmt: skip


def policy_with(*lines: Repair) -> Policy:
    """Return a policy with these lines of repairs."""
    names = ("shutdown_suspended_server", "disable_autostart", "edge_republish", "clear_lock")
    intents = (*(Intent(name, IntentKind.REPAIR, HERE, per_server=True) for name in names),
               Intent("start_server", IntentKind.COMMAND, HERE, starts_servers=True),
               Intent("wipe", IntentKind.EFFECT, HERE, destructive=True))  # fmt: skip
    return replace(policy_of(intents=intents), repairs=Repairs(lines, 3, {}))


POLICY = policy_with(*LINES)


def seen(
    desired: str = "running",
    observed: str = "running",
    server: str = "allowed",
    lifecycle: str = "running",
    *,
    policy: Policy = POLICY,
    autostart: bool | None = False,
    edge: str | None = "present",
    lock_age: timedelta | None = None,
) -> Recommendation:
    """Return the recommendation for a server seen so."""
    return recommend(policy, desired, observed, server, lifecycle, autostart, edge, lock_age)


def test_the_first_line_that_holds_decides() -> None:
    assert seen(observed="unknown", server="retained").repair == "wait"
    assert seen(observed="running", server="retained", lifecycle="backing_up").repair == "busy"
    assert seen(server="retained").repair == "shutdown_suspended"
    assert seen(desired="stopped", observed="stopped", server="retained", autostart=True).repair == "autostart_off"
    assert seen(desired="running", observed="stopped", server="retained").repair == "suspended"
    assert seen(observed="stopped").do == "start_server"
    assert seen(edge="missing").do == "edge_republish"


def test_no_line_means_nothing_to_do() -> None:
    found = seen()
    assert (found.repair, found.do) == (None, None)
    assert (
        found.reason
        == "desired running, observed running, servers allowed, lifecycle running: no line of repairs holds"
    )


def test_a_recommendation_carries_its_level_brake_damping_and_alarm() -> None:
    started = seen(observed="stopped")
    assert (started.level, started.brake, started.agreeing, started.place) == ("live", "repairs", 3, "test.yaml:1")
    assert seen(edge="missing").level == "dry_run"
    assert seen(server="retained").agreeing == 1, "a suspended server that runs is stopped at once"
    assert seen(observed="unknown").alert_after == timedelta(minutes=15)


def test_unknown_matches_no_line_but_its_own() -> None:
    without = policy_with(*LINES[1:])
    assert seen(observed="unknown", lock_age=timedelta(days=9), policy=without).do is None
    assert seen(observed="unknown", server="retained", autostart=True, policy=without).do is None


@pytest.mark.parametrize(("minutes", "repair"), [(None, None), (29, None), (30, None), (31, "clear_lock")])
def test_a_lock_is_stale_when_it_is_older(minutes: int | None, repair: str | None) -> None:
    age = timedelta(minutes=minutes) if minutes is not None else None
    assert seen(lock_age=age).repair == repair


def test_what_is_not_known_satisfies_no_line_that_asks_for_it() -> None:
    assert seen(desired="stopped", observed="stopped", server="retained", autostart=None).repair == "suspended"
    assert seen(edge=None).repair is None


@pytest.mark.parametrize("server", STOPPED)
def test_a_suspended_server_is_never_started_whatever_the_lines_say(server: str) -> None:
    careless = policy_with(Repair("start_stopped", "start_server", HERE, desired=("running",), observed=("stopped",)))
    found = seen(observed="stopped", server=server, policy=careless)
    assert found.do is None
    assert f"`start_server` would start a server that is {server}" in found.reason
    assert seen(observed="stopped", policy=careless).do == "start_server"


def test_no_repair_destroys_whatever_the_lines_say() -> None:
    found = seen(policy=policy_with(Repair("clean", "wipe", HERE)))
    assert (found.repair, found.do) == ("clean", None)
