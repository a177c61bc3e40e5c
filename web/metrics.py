"""`/metrics` for Prometheus, and which servers there are for it to look at. Both ask for the token of a file."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from typing import Any

from litestar import Response, Router, get
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from storage import figures, policies, processes
from storage.figures import QUEUES, Figures
from web.auth import bearer_token, refused
from web.problems import Problem
from web.services import Services, TheServices

TARGETS = text(
    "SELECT s.id, s.account_id, s.name, s.kind, s.host, coalesce(s.published_port, s.port) AS port, "
    "stricter(a.server_billing_state, s.own_billing_state) AS server_billing_state "
    "FROM servers s JOIN accounts a ON a.id = s.account_id "
    "WHERE s.lifecycle NOT IN ('deleting', 'destroying', 'deleted') AND coalesce(s.published_port, s.port) > 0 "
    "ORDER BY s.id"
)
LOOPBACK = "127.0.0.1"

Rows = Sequence[tuple[tuple[str, ...], float]]  # the values of the labels, and the figure


async def scrapers_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let only the holder of the metrics token pass. Without a token there is nobody."""
    services: Services = connection.app.state.services
    expected = await services.in_thread(_token, services)
    if expected is None:
        words = "No metrics token is set: FORBEAR_METRICS_TOKEN_FILE names no file that holds one."
        raise Problem(503, "METRICS_OFF", words)
    given = hashlib.sha256(bearer_token(connection).encode()).digest()
    if not hmac.compare_digest(given, hashlib.sha256(expected.encode()).digest()):
        raise refused(connection, "This token is not the one for metrics.")


@get("/metrics", sync_to_thread=True, include_in_schema=False)
def show_metrics(services: TheServices) -> Response[bytes]:
    """Show how it goes, in the text format of Prometheus."""
    began = time.perf_counter()
    with services.database.begin() as conn:
        policy = policies.in_force(conn)
        found = figures.read(conn, policy)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(found, policy.digest, time.perf_counter() - began))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@get("/metrics/servers", sync_to_thread=True, include_in_schema=False)
def show_targets(services: TheServices) -> list[dict[str, Any]]:
    """List servers as Prometheus's HTTP service discovery reads them. One that is being deleted is not there."""
    with services.database.begin() as conn:
        rows = conn.execute(TARGETS).all()
    return [
        {
            "targets": [f"{_address(services, row.host)}:{row.port}"],
            "labels": {
                "__meta_forbear_server_id": str(row.id),
                "__meta_forbear_account_id": str(row.account_id),
                "__meta_forbear_name": row.name,
                "__meta_forbear_kind": row.kind,
                "__meta_forbear_host": row.host,
                "__meta_forbear_billing_state": row.server_billing_state,
            },
        }
        for row in rows
    ]


router = Router("/", route_handlers=[show_metrics, show_targets], guards=[scrapers_only])


def _token(services: Services) -> str | None:
    file = services.settings.metrics_token_file
    if file is None:
        return None
    try:
        return file.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _address(services: Services, host: str) -> str:
    entry = services.catalog.entries.get(host)
    given = entry.options.get("address") if entry is not None else None
    return str(given) if given else LOOPBACK if host in services.catalog.local_names else host


class _Shown(Collector):
    """The figures as metric families: gauges all, because each is read anew from the database."""

    def __init__(self, found: Figures, digest: str, took_seconds: float) -> None:
        self.found = found
        self.digest = digest
        self.took_seconds = took_seconds

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield from self._work()
        yield from self._standing()
        yield from self._trouble()
        yield from self._running()
        yield _gauge("scrape_seconds", "How long it took to read all of this.", self.took_seconds)

    def _work(self) -> Iterator[Metric]:
        found = self.found
        ages: dict[str, float] = {}
        for each in found.intents:
            if each.age_seconds is not None:
                ages[each.intent] = max(ages.get(each.intent, 0.0), float(each.age_seconds))
        words = "Age of the oldest intent that has not ended, by what it asks for."
        yield _family("intent_oldest_open_seconds", words, ["intent"], [((name,), age) for name, age in ages.items()])
        words = "Intents that have not ended, or ended so that a person has to look."
        counts = [((each.intent, each.status), each.count) for each in found.intents]
        yield _family("intents", words, ["intent", "status"], _summed(counts))
        words = "For how long the oldest work of a queue could have been done already; 0 when nothing waits."
        staleness = [((queue,), found.staleness_of(queue)) for queue in QUEUES]
        yield _family("queue_staleness_seconds", words, ["queue"], staleness)
        words = "For how long the oldest due account or server has been waiting to be decided."
        yield _gauge("due_oldest_seconds", words, found.oldest_due_seconds or 0.0)

    def _standing(self) -> Iterator[Metric]:
        found = self.found
        rows: Rows = [((rung,), count) for rung, count in found.rungs]
        yield _family("accounts", "Accounts by rung.", ["billing_status"], rows)
        labels = ["host", "billing_state", "desired", "observed"]
        rows = [((each.host, each.billing_state, each.desired, each.observed), each.count) for each in found.fleet]
        yield _family("servers", "Servers by what they should do, what was seen, and what billing says.", labels, rows)
        drift = sum(each.count for each in found.fleet if each.drifts)
        yield _gauge("servers_drifting", "Servers seen otherwise than they should be.", drift)

    def _trouble(self) -> Iterator[Metric]:
        found = self.found
        rows: Rows
        rows = [((each.name,), float(each.latched_at is not None)) for each in found.brakes]
        yield _family("brake_tripped", "1 while a brake is tripped and waits for a person.", ["brake"], rows)
        rows = [((each.name,), each.slots_taken) for each in found.brakes]
        yield _family("brake_slots_taken", "Slots given out in the running window.", ["brake"], rows)
        counts = {each.status: each for each in found.unsettled}
        for status, words in (("parked", "whose account is not known"), ("quarantined", "that were set aside")):
            one = counts.get(status)
            yield _gauge(f"events_{status}", f"Stripe's events {words}.", one.count if one else 0)
            age = float(one.age_seconds) if one else 0.0
            yield _gauge(f"events_{status}_oldest_seconds", f"Age of the oldest of Stripe's events {words}.", age)
        unknown = sum(each.count for each in found.intents if each.queue == "notices" and each.status == "unknown")
        yield _gauge("notices_unknown", "Notices that may have left or not: a person has to look.", unknown)
        yield _gauge("alerts_untold", "Alerts that nobody was told of yet.", found.alerts)
        yield _gauge("alerts_untold_oldest_seconds", "Age of the oldest of them.", found.alert_age_seconds or 0.0)

    def _running(self) -> Iterator[Metric]:
        found = self.found
        if found.worked_seconds is not None:
            words = "Since the controller last did all that it leads for."
            yield _gauge("controller_last_success_seconds", words, found.worked_seconds)
        arrived: Rows = [((way,), at.timestamp()) for way, at in found.event_received_at.items()]
        words = "When the newest of Stripe's events arrived, as seconds since 1970, by its way: webhook, or our reader."
        yield _family("event_received_timestamp_seconds", words, ["came_by"], arrived)
        if found.events_read_at is not None:
            words = "When Stripe's list of events was last read to its end, as seconds since 1970."
            yield _gauge("events_read_timestamp_seconds", words, found.events_read_at.timestamp())
        roles: dict[str, int] = {}
        for process in found.processes:
            roles[process.role] = roles.get(process.role, 0) + process.alive
        rows: Rows = [((role,), count) for role, count in sorted(roles.items())]
        yield _family("processes", "Processes that live, by role.", ["role"], rows)
        count = len(processes.stale(found.processes, self.digest))
        yield _gauge("processes_stale", "Processes that run other code or another policy than this one.", count)
        yield _family(
            "build_info", "What runs.", ["version", "policy"], [((processes.own_version(), self.digest[:12]), 1)]
        )


def _summed(rows: Rows) -> Rows:
    found: dict[tuple[str, ...], float] = {}
    for labels, count in rows:
        found[labels] = found.get(labels, 0.0) + count
    return [*found.items()]


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"forbear_{name}", words, value=float(value))


def _family(name: str, words: str, labels: list[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(f"forbear_{name}", words, labels=labels)
    for values, number in rows:
        family.add_metric(list(values), float(number))
    return family
