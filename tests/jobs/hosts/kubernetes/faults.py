"""The fault table: what can be wrong with a cluster while a server has to be suspended, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.hosts.base import HostError, HostFailed, HostMisconfigured, HostUnavailable
from tests.doubles.kubernetes import KubernetesDouble

Ends = str | type[HostError]
Begin = Callable[[KubernetesDouble, str], object]
HANG_SECONDS = 5.0


@dataclass(frozen=True)
class Row:
    """One fault. `begin` is told the cluster and the name of the server's resource."""

    name: str
    begin: Begin
    ends: Ends
    """What one try to suspend the server ends with: what was observed, or what was raised."""
    sees: str = "running"
    """What seeing all shows of the running server in the midst of the fault; `nothing`: the host says it cannot."""
    runs: bool | None = None
    """Whether it runs in truth after that try, where it is otherwise than what was observed."""


def failing(kind: str, match: str = "", *, seconds: float = 0, times: int = 1_000_000) -> Begin:
    """Return a fault of every request that matches."""
    return lambda cluster, _: cluster.fail(kind, match, seconds=seconds, times=times)


def operator(**how: object) -> Begin:
    """Return an operator that is not as it should be."""

    def begin(cluster: KubernetesDouble, _: str) -> None:
        for name, value in how.items():
            setattr(cluster, name, value)

    return begin


def changed_meanwhile(cluster: KubernetesDouble, name: str) -> None:
    """Let somebody write on it between the look and the command."""
    cluster.before["PATCH"] = lambda: cluster.edit(name, {"packages": ["voice"]})


def said_long_ago(cluster: KubernetesDouble, name: str) -> None:
    """Let its operator have said that it was suspended, resumed it since, and fallen silent."""
    cluster.deaf = True
    cluster.resources[name]["status"]["suspendedAt"] = "2026-03-01T00:00:00Z"
    cluster.resources[name]["metadata"]["generation"] += 1


def schema_without(cluster: KubernetesDouble, _: str) -> None:
    cluster.pruned.add("suspend")


def cut_short(cluster: KubernetesDouble, name: str) -> None:
    cluster.hidden.add(name)


def replaced(cluster: KubernetesDouble, name: str) -> None:
    """Let the name be another's resource."""
    del cluster.resources[name], cluster.runs[name]
    cluster.add(name, {"app": "payroll"})


def replaced_meanwhile(cluster: KubernetesDouble, name: str) -> None:
    cluster.before["PATCH"] = lambda: replaced(cluster, name)


def unlabelled(cluster: KubernetesDouble, name: str) -> None:
    cluster.resources[name]["metadata"]["labels"] = {}


def two_claim(cluster: KubernetesDouble, name: str) -> None:
    cluster.add("copy", dict(cluster.resources[name]["metadata"]["labels"]))


def being_deleted(cluster: KubernetesDouble, name: str) -> None:
    """Let somebody delete it, and its operator not come to that."""
    cluster.deaf = True
    cluster.resources[name]["metadata"] |= {
        "finalizers": ["example.com/world"],
        "deletionTimestamp": "2026-03-01T00:00:00Z",
    }


def too_old(cluster: KubernetesDouble, _: str) -> None:
    cluster.oldest, cluster.lag_seconds = 1_000_000, 0.03


def slow_and(begin: Begin) -> Begin:
    """Return a fault of watches, which begin only where something is waited for."""

    def both(cluster: KubernetesDouble, name: str) -> None:
        cluster.lag_seconds = 0.03
        begin(cluster, name)

    return both


WELL, AWAY, WRONG = "stopped", HostUnavailable, HostMisconfigured
ROWS = (
    Row("all goes well", lambda *_: None, WELL),
    Row("its operator takes its time", operator(lag_seconds=0.03), WELL),
    Row("every answer hangs", failing("hang", seconds=HANG_SECONDS), AWAY, "nothing"),
    Row("the command hangs", failing("hang", "PATCH", seconds=HANG_SECONDS), AWAY),
    Row("500", failing("500"), AWAY, "nothing"),
    Row("500 to the command", failing("500", "PATCH"), AWAY),
    Row("503", failing("503"), AWAY, "nothing"),
    Row("401", failing("401"), WRONG, "nothing"),
    Row("403 to the command", failing("403", "PATCH"), WRONG),
    Row("404 to everything", failing("404"), WRONG, "nothing"),
    Row("422 to the command", failing("422", "PATCH"), HostFailed),
    Row("429 for a moment", failing("429", times=2), WELL),
    Row("429 to the command, for a moment", failing("429", "PATCH", times=2), WELL),
    Row("429 without an end", failing("429"), AWAY, "nothing"),
    Row("HTML", failing("html"), AWAY, "nothing"),
    Row("an answer cut off", failing("cut"), AWAY, "nothing"),
    Row("an answer of another shape", failing("odd"), AWAY, "nothing"),
    Row("somebody else writes meanwhile", changed_meanwhile, WELL),
    Row("409 to every command", failing("409", "PATCH"), HostFailed),
    Row("the watch begins at too old a version", too_old, WELL),
    Row("the watch hangs", slow_and(failing("hang", "WATCH", seconds=0.3)), WELL),
    Row("the watch is cut off", slow_and(failing("cut", "WATCH")), WELL),
    Row("500 to the watch", slow_and(failing("500", "WATCH")), WELL),
    Row("it cannot be read again", slow_and(failing("500", "GET .*/s-")), AWAY, runs=False),
    Row("its operator does nothing", operator(deaf=True), "running"),
    Row("its operator does it and says nothing", operator(speechless=True), "running", runs=False),
    Row("its operator does not say what it speaks of", operator(terse=True), WELL),
    Row("its operator has said it long ago", said_long_ago, "unknown", "unknown", runs=True),
    Row("its schema leaves the suspension out", schema_without, HostFailed),
    Row("a list cut short", cut_short, WELL, "missing"),
    Row("its name is another's", replaced, "missing", "missing"),
    Row("its name becomes another's meanwhile", replaced_meanwhile, "missing"),
    Row("its label was taken away", unlabelled, "missing", "missing", runs=True),
    Row("two resources claim to be it", two_claim, HostFailed, "unknown"),
    Row("it is being deleted, without an end", being_deleted, "running"),
)
