"""What the host makes of each fault: it says what it observed or that it could not, and touches nobody else."""

from __future__ import annotations

import pytest

from jobs.hosts.base import HostError, ServerSpec
from jobs.hosts.kubernetes import KubernetesHost
from tests.doubles.kubernetes import KubernetesDouble
from tests.jobs.hosts.kubernetes.conftest import HASTY, Reached
from tests.jobs.hosts.kubernetes.faults import ROWS, Row

SPEC = ServerSpec("faults-1", "Ada's world", "game", 0)
NAME = "s-faults-1"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_fault_ends_observed_or_is_said(cluster: KubernetesDouble, reached: Reached, row: Row) -> None:
    host = reached(timeouts=HASTY) if "hangs" in row.name else reached()
    cluster.add("payroll", {"app": "payroll"})
    uid = cluster.add(NAME, {"forbear/server": SPEC.server_id})["metadata"]["uid"]
    row.begin(cluster, NAME)
    if row.sees == "nothing":
        with pytest.raises(HostError):
            host.observe_all()
        with pytest.raises(HostError):
            host.tenants()
    else:
        seen = host.observe_all().get(SPEC.server_id)
        assert ("missing" if seen is None else seen.observed) == row.sees
    if isinstance(row.ends, str):
        assert host.stop(SPEC, 10 if row.ends == "stopped" else 0.4).observed == row.ends
    else:
        with pytest.raises(HostError) as raised:
            host.stop(SPEC, 0.4)
        assert type(raised.value) is row.ends
    is_there = cluster.resources[NAME]["metadata"]["uid"] == uid
    if is_there:
        runs = row.ends != "stopped" if row.runs is None else row.runs
        assert cluster.runs[NAME] is runs
    assert all(runs for name, runs in cluster.runs.items() if name != NAME or not is_there), "nobody else is touched"


def test_what_may_have_been_taken_is_not_asked_for_twice(cluster: KubernetesDouble, reached: Reached) -> None:
    host = reached(timeouts=HASTY)
    cluster.add(NAME, {"forbear/server": SPEC.server_id})
    cluster.fail("hang", "PATCH", seconds=0.7)
    with pytest.raises(HostError):
        host.stop(SPEC, 0.4)
    assert len(cluster.made("PATCH")) == 1


def test_a_stop_is_followed_by_watching_rather_than_by_asking_again(
    cluster: KubernetesDouble, host: KubernetesHost
) -> None:
    cluster.add(NAME, {"forbear/server": SPEC.server_id})
    cluster.lag_seconds = 0.3
    assert host.stop(SPEC, 10).observed == "stopped"
    assert [len(cluster.made(verb)) for verb in ("PATCH", "WATCH", "GET")] == [1, 1, 2]


def test_a_server_that_would_come_up_by_itself_stays_down(cluster: KubernetesDouble, host: KubernetesHost) -> None:
    cluster.add(NAME, {"forbear/server": SPEC.server_id}, suspend=True)
    cluster.deaf = True
    cluster.edit(NAME, {"suspend": False})
    assert host.observe(SPEC).autostart is True
    host.set_autostart(SPEC, on=False)
    cluster.deaf = False
    cluster.reconcile(NAME)
    assert cluster.runs[NAME] is False


def test_a_running_server_is_not_ended_by_taking_its_autostart_away(
    cluster: KubernetesDouble, host: KubernetesHost
) -> None:
    cluster.add(NAME, {"forbear/server": SPEC.server_id})
    host.set_autostart(SPEC, on=False)
    assert cluster.runs[NAME] is True
    assert cluster.made("PATCH") == []


def test_a_deletion_that_goes_on_is_waited_for_and_one_without_an_end_is_said(
    cluster: KubernetesDouble, reached: Reached
) -> None:
    host = reached(timeouts={**HASTY, "request": 5.0})
    metadata = cluster.add(NAME, {"forbear/server": SPEC.server_id}, finalizers=["example.com/world"])["metadata"]
    for _ in range(2):
        with pytest.raises(HostError, match="another deletion has not ended"):
            host.destroy(SPEC)
    assert len(cluster.made("DELETE")) == 1
    assert host.tenants() == []
    cluster.resources[NAME]["metadata"]["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    for command in (host.destroy, host.create, host.start):
        with pytest.raises(HostError, match="see to its finalizers"):
            command(SPEC)
    del cluster.resources[NAME]["metadata"]["finalizers"]
    cluster.reconcile(NAME)
    host.destroy(SPEC)
    assert metadata["name"] not in cluster.resources
