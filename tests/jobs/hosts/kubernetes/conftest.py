"""A cluster for each test, and hosts that reach it: with much patience, but where it is sure to be waited out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobs.hosts.kubernetes import KubernetesHost
from jobs.hosts.kubernetes.options import KubernetesOptions
from tests.doubles.cluster import CERTIFICATE
from tests.doubles.kubernetes import GROUP, KIND, NAMESPACE, VERSION, KubernetesDouble
from tests.doubles.kubernetes_http import TOKEN

Reached = Callable[..., KubernetesHost]


def written(cluster: KubernetesDouble, **options: Any) -> dict[str, Any]:
    """Return what a hosts file says to reach a cluster; `None` leaves an option out."""
    given: dict[str, Any] = {
        "url": f"https://127.0.0.1:{cluster.port}",
        "token_variable": "KUBERNETES_TOKEN",
        "ca_file": str(CERTIFICATE),
        "namespace": NAMESPACE,
        "group": GROUP,
        "version": VERSION,
        "kind": KIND,
        "kinds": {"game": {"spec": {"size": "small", "image": {"name": "game", "tag": "1"}}}},
        "timeouts": {"request": 30.0, "start": 5.0, "force": 5.0, "create": 5.0, "delete": 5.0},
    }
    return {key: value for key, value in (given | options).items() if value is not None}


def options_for(cluster: KubernetesDouble, **options: Any) -> KubernetesOptions:
    """Return what reaches a cluster, and looks again soon."""
    checked = KubernetesOptions.checked("k8s", written(cluster, **options))
    return replace(checked, timeouts=replace(checked.timeouts, look=0.02))


HASTY = {"request": 0.5, "start": 0.3, "force": 0.3, "create": 0.3, "delete": 0.3}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesDouble]:
    monkeypatch.setenv("KUBERNETES_TOKEN", TOKEN)
    made = KubernetesDouble()
    made.serve()
    yield made
    made.close()


@pytest.fixture
def reached(cluster: KubernetesDouble) -> Reached:
    """Make hosts with options that differ."""
    return lambda **options: KubernetesHost("k8s", options_for(cluster, **options))


@pytest.fixture
def host(cluster: KubernetesDouble) -> KubernetesHost:
    return KubernetesHost("k8s", options_for(cluster))
