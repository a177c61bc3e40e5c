"""Desired against observed: the first line that holds, what is unknown, and what no line can make happen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.load import load_policy
from engine.model import Intent, IntentKind, Policy
from engine.model_repairs import Repair, Repairs
from engine.repairs import Recommendation, Seen, lines_that_hold, recommend, recommendations
from tests.engine.mistakes import SHIPPED
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
           level=1, mode="dry_run"),
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
    **more: Any,
) -> Recommendation:
    """Return the recommendation for a server seen so."""
    return recommend(policy, Seen(desired, observed, server, lifecycle, **{"autostart": False, **more}))


def test_the_first_line_that_holds_decides() -> None:
    assert seen(observed="unknown", server="retained").repair == "wait"
    assert seen(observed="running", server="retained", lifecycle="backing_up").repair == "busy"
    assert seen(server="retained").repair == "shutdown_suspended"
    assert seen(desired="stopped", observed="stopped", server="retained", autostart=True).repair == "autostart_off"
    assert seen(desired="running", observed="stopped", server="retained").repair == "suspended"
    assert seen(observed="stopped").do == "start_server"


def test_no_line_means_nothing_to_do() -> None:
    found = seen()
    assert (found.repair, found.do) == (None, None)
    assert (
        found.reason
        == "desired running, observed running, servers allowed, lifecycle running: no line of repairs holds"
    )


def test_a_recommendation_carries_its_level_brake_damping_and_alarm() -> None:
    started = seen(observed="stopped")
    assert (started.mode, started.brake, started.agreeing, started.place) == ("live", "repairs", 3, "test.yaml:1")
    assert seen(server="retained").agreeing == 1, "a suspended server that runs is stopped at once"
    assert seen(observed="unknown").alert_after == timedelta(minutes=15)


def test_a_line_in_dry_run_is_told_and_keeps_no_line_below_from_acting() -> None:
    dry = Repair("clear_lock", "clear_lock", HERE, lock_older_than=timedelta(0), level=1, mode="dry_run")
    policy = policy_with(dry, *LINES[:-1])
    stopped = Seen("running", "stopped", "allowed", "running", lock_age=timedelta(hours=1))
    told = recommendations(policy, stopped)
    assert [(each.do, each.mode, each.level) for each in told] == [
        ("clear_lock", "dry_run", 1), ("start_server", "live", None),
    ]  # fmt: skip
    assert recommend(policy, stopped).do == "start_server"
    assert recommendations(policy, replace(stopped, server="retained"))[-1].repair == "suspended"


def test_a_line_that_is_off_is_passed_over() -> None:
    off = Repair("restart", "clear_lock", HERE, observed=("stopped",), level=2, mode="off")
    policy = policy_with(off, *LINES)
    stopped = Seen("running", "stopped", "allowed", "failed")
    assert [each.repair for each in recommendations(policy, stopped)] == ["start_stopped"]
    assert lines_that_hold(policy, stopped) == ("restart", "start_stopped")


@pytest.mark.parametrize(("minutes", "repair"), [(None, None), (10, None), (11, "end")])
def test_a_lifecycle_that_lasts_too_long_is_older(minutes: int | None, repair: str | None) -> None:
    policy = policy_with(Repair("end", "clear_lock", HERE, lifecycle_older_than=timedelta(minutes=10)))
    age = timedelta(minutes=minutes) if minutes is not None else None
    assert seen(policy=policy, lifecycle_age=age).repair == repair


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


def modes(**env: str) -> dict[str, str]:
    """Return what is done of each line of the shipped policy that does something."""
    policy = load_policy(SHIPPED, env)
    return {line.id: line.mode for line in policy.repairs.lines if line.do is not None}


def test_shipped_billing_and_starting_are_live_and_what_goes_further_is_off() -> None:
    found = modes()
    assert {found[line] for line in ("shutdown_suspended", "autostart_off", "start_stopped")} == {"live"}
    assert {found[line] for line in ("end_by_force", "restart_failed", "stop_unwanted", "make_again")} == {"off"}


def test_a_level_is_set_where_the_policy_is_deployed() -> None:
    usual, live = modes(), modes(BILLING_REPAIR_LEVEL_2="live", BILLING_REPAIR_LEVEL_3=" dry_run ")
    changed = {line: mode for line, mode in live.items() if usual[line] != mode}
    assert changed == {
        "end_by_force": "live",
        "restart_failed": "live",
        "stop_unwanted": "live",
        "make_again": "dry_run",
    }
    other = load_policy(SHIPPED, {"BILLING_REPAIR_LEVEL_2": "live"})
    assert other.digest != load_policy(SHIPPED).digest


AGED = timedelta(minutes=31)


@pytest.mark.parametrize(
    ("is_seen", "does"),
    [
        (Seen("running", "stopped", "allowed", "failed", lifecycle_age=AGED), "restart_server"),
        (Seen("running", "stopped", "allowed", "failed", lifecycle_age=timedelta(minutes=30)), "start_server"),
        (Seen("running", "stopped", "allowed", "failed", lifecycle_age=timedelta(hours=7)), "provision_server"),
        (Seen("stopped", "running", "allowed", "stopping", lifecycle_age=AGED), "force_stop_server"),
        (Seen("stopped", "running", "allowed", "stopping", lifecycle_age=timedelta(minutes=10)), None),
        (Seen("stopped", "running", "allowed", "running"), "stop_server"),
        (Seen("running", "unknown", "allowed", "failed", lifecycle_age=AGED), None),
        (Seen("running", "stopped", "retained", "failed", lifecycle_age=timedelta(hours=7)), None),
    ],
)
def test_with_every_level_live_what_does_not_obey_is_brought_to_it(is_seen: Seen, does: str | None) -> None:
    live = load_policy(SHIPPED, {"BILLING_REPAIR_LEVEL_2": "live", "BILLING_REPAIR_LEVEL_3": "live"})
    assert recommend(live, is_seen).do == does


@pytest.mark.parametrize(
    ("edge", "line", "does"),
    [
        (None, None, None),
        ("present", None, None),
        ("missing", "publish_edge", "edge_republish"),
        ("dns_missing", "publish_dns", "dns_republish"),
        ("proxy_missing", "register_at_proxy", "velocity_reregister"),
        ("taken", "edge_taken", None),
        ("unknown", "edge_unknown", None),
    ],
)
def test_what_leads_to_a_server_is_only_told_as_shipped_and_published_when_live(
    edge: str | None, line: str | None, does: str | None
) -> None:
    shipped, live = load_policy(SHIPPED), load_policy(SHIPPED, {"BILLING_REPAIR_LEVEL_1": "live"})
    for lifecycle in ("running", "stopped"):
        is_seen = Seen(lifecycle, lifecycle, "allowed", lifecycle, edge=edge)
        told = recommendations(shipped, is_seen)
        assert (told[0].repair, told[0].do) == (line, does)
        assert recommend(shipped, is_seen).do is None
        assert recommend(live, is_seen).do == does
        for stopped in STOPPED:
            found = recommend(live, replace(is_seen, server=stopped))
            assert found.do in {None, "shutdown_suspended_server"}
