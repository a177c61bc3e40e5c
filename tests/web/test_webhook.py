"""The webhook over HTTP: 200 only for what is committed, clear refusals without a trace, nothing taken is lost."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from sqlalchemy import text

from storage import policies
from storage.embedded import Postgres
from storage.migrate import upgrade
from storage.settings import SHIPPED_POLICY, Settings, StripeMode
from tests.doubles import stripe as double
from tests.doubles.stripe_sender import PATH, Sender, serving
from tests.storage.billing import CREATED, Billing, failed
from web.problems import HANDLERS
from web.webhook import SignatureRefused, WebhookPlugin, verify
from web.webhook_alarm import REPEATED

OLD_SECRET = "whsec_of_last_year"


@dataclass
class Endpoint(Billing):
    """A deployment whose webhook is served over HTTP."""

    secrets: tuple[str, ...] = (OLD_SECRET, double.SECRET)
    key: str = ""
    mode: StripeMode = "webhook"
    sender: Sender = field(init=False)

    @contextmanager
    def open(self) -> Iterator[Endpoint]:
        """Put the policy in force and serve."""
        policies.deploy_folder(self.database.engine, SHIPPED_POLICY, {}, "test")
        with self.database.begin() as conn:
            conn.execute(text("DELETE FROM alerts"))
        settings = Settings(
            database_url=self.url, stripe_webhook_secrets=self.secrets, stripe_api_key=self.key, stripe_mode=self.mode
        )
        app = Litestar(
            plugins=[WebhookPlugin(settings, self.database)],
            exception_handlers=HANDLERS,
            openapi_config=None,
            logging_config=None,
        )
        with serving(app) as url:
            self.sender = Sender(url)
            yield self
            self.sender.client.close()
        self.database.close()


@pytest.fixture
def endpoint(database_url: str) -> Iterator[Endpoint]:
    with Endpoint(database_url).open() as opened:
        yield opened


def test_an_event_is_taken_and_answered_in_json(endpoint: Endpoint) -> None:
    account = endpoint.account()
    answer = endpoint.sender.deliver(failed())
    assert (answer.status_code, answer.json()) == (200, {"received": True, "status": "applied"})
    assert answer.headers["content-type"] == "application/json"
    assert endpoint.view(account)["billing_status"] == "overdue_warning"


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (failed(customer="cus_unknown"), "parked"),
        (failed(status="on_fire"), "quarantined"),
        (double.event("product.created", {"id": "prod_1"}, created=CREATED), "ignored"),
    ],
)
def test_parked_quarantined_ignored_and_duplicates_are_taken_too(
    endpoint: Endpoint, event: double.Event, status: str
) -> None:
    assert endpoint.sender.deliver(event).json()["status"] == status
    again = endpoint.sender.deliver(event)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")


def test_each_of_several_secrets_is_good(endpoint: Endpoint) -> None:
    endpoint.account()
    for number, secret in enumerate(endpoint.secrets):
        assert endpoint.sender.deliver(failed(f"in_{number}"), secret=secret).status_code == 200


def test_a_test_event_is_ignored_where_a_live_key_is_configured(database_url: str) -> None:
    with Endpoint(database_url, key="sk_live_x").open() as endpoint:
        assert endpoint.sender.deliver(failed()).json()["status"] == "ignored"


def test_without_a_secret_nothing_is_taken_and_stripe_sends_again(database_url: str) -> None:
    with Endpoint(database_url, secrets=()).open() as endpoint:
        answer = endpoint.sender.deliver(failed())
        assert (answer.status_code, answer.json()["code"]) == (503, "WEBHOOK_NOT_CONFIGURED")
        assert endpoint.count("stripe_events") == 0


def test_thin_notification_is_verified_and_kept_until_its_object_is_fetched(endpoint: Endpoint) -> None:
    thin = double.notification("v1.invoice.paid", "in_1", "invoice", created=CREATED)
    assert endpoint.sender.deliver(thin, secret="whsec_wrong").status_code == 400
    answer = endpoint.sender.deliver(thin)
    assert (answer.status_code, answer.json()["status"]) == (200, "parked")
    assert endpoint.sender.deliver(thin).json()["status"] == "duplicate"


def test_where_events_are_polled_no_webhook_is_taken(database_url: str) -> None:
    with Endpoint(database_url, mode="poll").open() as endpoint:
        answer = endpoint.sender.deliver(failed())
        assert (answer.status_code, answer.json()["code"]) == (503, "WEBHOOK_OFF")
        assert endpoint.count("stripe_events") == 0


# ---- hostile input ---------------------------------------------------------------------------------------------------

GOOD = double.body_of(failed())
NOW = time.time()


def signed(body: bytes) -> tuple[bytes, bytes]:
    return body, double.signature(body).encode()


def header(pattern: str, body: bytes = GOOD) -> tuple[bytes, bytes]:
    """Fill a header: {t} is now, {v} the right digest."""
    stamp = int(time.time())
    return body, pattern.format(t=stamp, v=double.digest(body, double.SECRET, stamp)).encode("latin-1")


def changed(**fields: Any) -> tuple[bytes, bytes]:
    return signed(json.dumps({**failed(), **fields}).encode())


HOSTILE: dict[str, Any] = {
    "no header": lambda: (GOOD, None),
    "an empty header": lambda: (GOOD, b""),
    "a word": lambda: (GOOD, b"hello"),
    "no time": lambda: header("v1={v}"),
    "no signature": lambda: header("t={t}"),
    "an empty signature": lambda: header("t={t},v1="),
    "another scheme": lambda: header("t={t},v0={v}"),
    "another secret": lambda: (GOOD, double.signature(GOOD, secret="whsec_x").encode()),
    "another body": lambda: (GOOD + b" ", header("t={t},v1={v}")[1]),
    "half a signature": lambda: (GOOD, double.signature(GOOD)[:-8].encode()),
    "capital letters": lambda: (GOOD, double.signature(GOOD).upper().encode()),
    "a signature of other characters": lambda: header("t={t},v1=é"),
    "a signature with other characters behind": lambda: header("t={t},v1={v}é"),
    "a time that is none": lambda: header("t=now,v1={v}"),
    "a time of a fraction": lambda: header("t={t}.5,v1={v}"),
    "a time without end": lambda: (GOOD, b"t=" + b"9" * 5000 + b",v1=00"),
    "a huge time": lambda: (GOOD, double.signature(GOOD, at_seconds=10**30).encode()),
    "a negative time": lambda: (GOOD, double.signature(GOOD, at_seconds=-5).encode()),
    "no equals sign": lambda: header("t,v1"),
    "only commas": lambda: (GOOD, b",,,,,,"),
    "ten thousand signatures": lambda: (GOOD, b"t=1" + b",v1=00" * 10_000),
    "301 s old": lambda: (GOOD, double.signature(GOOD, at_seconds=time.time() - 302).encode()),
    "301 s ahead": lambda: (GOOD, double.signature(GOOD, at_seconds=time.time() + 303).encode()),
    "a year ahead": lambda: (GOOD, double.signature(GOOD, at_seconds=time.time() + 31e6).encode()),
    "an empty body": lambda: signed(b""),
    "a body that is no text": lambda: (b"\xff\xfe{}", b"t=1,v1=00"),
    "a signed body that is no text": lambda: signed(b'{"id": "\xff"}'),
    "a word in the body": lambda: signed(b"hello"),
    "half an object": lambda: signed(GOOD[:-20]),
    "a list": lambda: signed(b"[]"),
    "null": lambda: signed(b"null"),
    "NaN": lambda: signed(b'{"id": NaN}'),
    "a deep list": lambda: signed(b"[" * 100_000),
    "deep objects": lambda: signed(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "an empty object": lambda: signed(b"{}"),
    "no id": lambda: changed(id=None),
    "an id of a number": lambda: changed(id=1),
    "an id with NUL": lambda: changed(id="evt_\0"),
    "an id with half a character": lambda: changed(id="evt_\udcff"),
    "an id of a megabyte": lambda: changed(id="e" * 1_000_000),
    "no type": lambda: changed(type=None),
    "a type of a list": lambda: changed(type=["invoice.paid"]),
    "no created": lambda: changed(created=None),
    "a created of text": lambda: changed(created="yesterday"),
    "a created beyond time": lambda: changed(created=10**18),
    "no data": lambda: changed(data=None),
    "data of a list": lambda: changed(data=[]),
    "no object": lambda: changed(data={"object": None}),
    "an object of text": lambda: changed(data={"object": "in_1"}),
    "a thin event of no time": lambda: signed(b'{"id":"evt_1","object":"v2.core.event","type":"x","created":"never"}'),
    "eleven megabytes": lambda: signed(b'{"pad": "' + b"x" * 11_000_000 + b'"}'),
    "eleven megabytes unsigned": lambda: (b"x" * 11_000_000, None),
}


def test_hostile_input_is_refused_clearly_and_leaves_no_trace(endpoint: Endpoint) -> None:
    assert len(HOSTILE) >= 40
    endpoint.account()
    before = endpoint.trace()
    answers = {}
    for name, make in HOSTILE.items():
        answer = endpoint.sender.post(*make())
        expected = 413 if name.startswith("eleven") else 400
        answers[name] = (answer.status_code, answer.headers.get("content-type")), (expected, "application/problem+json")
        assert set(answer.json()) >= {"type", "title", "status", "detail", "code"}, name
        assert "Traceback" not in answer.text, name
    assert {name: got for name, (got, expected) in answers.items() if got != expected} == {}
    # Refused signatures are counted, and told to operators in time; that is all there is of them.
    after = endpoint.trace()
    assert {table: rows for table, rows in after.items() if table != "alerts"} == {
        table: rows for table, rows in before.items() if table != "alerts"
    }
    assert endpoint.rows("SELECT DISTINCT kind FROM alerts") == [{"kind": "webhook_failed"}]
    assert endpoint.sender.deliver(failed()).status_code == 200


def test_another_method_is_refused(endpoint: Endpoint) -> None:
    assert endpoint.sender.client.get(PATH).status_code == 405


@pytest.mark.parametrize(
    ("offset", "good"), [(-301, False), (-299, True), (0, True), (299, True), (301, False), (86_400, False)]
)
def test_a_signature_is_good_within_300_seconds_in_both_directions(offset: int, good: bool) -> None:
    stamp = 1_780_000_000
    signature = double.signature(GOOD, at_seconds=stamp + offset)
    if good:
        verify(GOOD, signature, (double.SECRET,), stamp)
    else:
        with pytest.raises(SignatureRefused, match="300 s"):
            verify(GOOD, signature, (double.SECRET,), stamp)


def test_the_first_time_in_a_header_is_the_one_that_is_signed_and_checked() -> None:
    stamp = 1_780_000_000
    digest = double.digest(GOOD, double.SECRET, stamp)
    with pytest.raises(SignatureRefused, match="300 s"):
        verify(GOOD, f"t={stamp},v1={digest},t={stamp + 1000}", (double.SECRET,), stamp + 1000)
    with pytest.raises(SignatureRefused, match="no signature fits"):
        verify(GOOD, f"t={stamp + 1000},v1={digest},t={stamp}", (double.SECRET,), stamp + 1000)


# ---- at once ---------------------------------------------------------------------------------------------------------


def test_fifty_copies_at_once_are_one_row_and_one_effect(endpoint: Endpoint) -> None:
    account = endpoint.account()
    event = failed(event_id="evt_same")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: endpoint.sender.deliver(event), range(50)))
    assert [answer.status_code for answer in answers] == [200] * 50
    assert sorted(answer.json()["status"] for answer in answers) == ["applied"] + ["duplicate"] * 49
    assert (endpoint.count("stripe_events"), endpoint.count("intents")) == (1, 1)
    assert len(endpoint.rows("SELECT 1 FROM audit WHERE kind = 'transition'")) == 2
    assert endpoint.view(account)["overdue_invoices"] == 1


def test_an_event_that_cannot_be_written_harms_only_itself(endpoint: Endpoint) -> None:
    accounts = [endpoint.account(f"cus_{number}") for number in range(8)]
    with endpoint.database.begin() as conn:
        conn.execute(text("ALTER TABLE stripe_invoices ADD CONSTRAINT poison CHECK (id <> 'in_3')"))
    gate = threading.Barrier(8)

    def deliver(number: int) -> httpx.Response:
        gate.wait(20)
        return endpoint.sender.deliver(failed(f"in_{number}", customer=f"cus_{number}", event_id=f"evt_{number}"))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(deliver, range(8)))
    assert [answer.status_code for answer in answers] == [200] * 3 + [500] + [200] * 4
    assert answers[3].headers["content-type"] == "application/problem+json"
    assert "poison" not in answers[3].text
    assert [endpoint.view(account)["overdue_invoices"] for account in accounts] == [1, 1, 1, 0, 1, 1, 1, 1]
    assert [row["kind"] for row in endpoint.rows("SELECT kind FROM alerts")] == ["webhook_failed"]
    for _ in range(REPEATED):
        assert endpoint.sender.deliver(failed("in_3", customer="cus_3", event_id="evt_3")).status_code == 500
    kinds = sorted(row["kind"] for row in endpoint.rows("SELECT kind FROM alerts"))
    assert kinds == ["webhook_failed", "webhook_failing"], "the first is told once, repetition to the critical channel"
    with endpoint.database.begin() as conn:
        conn.execute(text("ALTER TABLE stripe_invoices DROP CONSTRAINT poison"))
    assert endpoint.sender.deliver(failed("in_3", customer="cus_3", event_id="evt_3")).json()["status"] == "applied"


def test_an_account_that_stays_locked_is_answered_with_try_again(endpoint: Endpoint) -> None:
    endpoint.account("cus_1")
    other = endpoint.account("cus_2")
    with endpoint.database.begin() as conn, ThreadPoolExecutor(1) as pool:
        conn.execute(text("SELECT 1 FROM accounts WHERE stripe_customer_id = 'cus_1' FOR UPDATE"))
        blocked = pool.submit(endpoint.sender.deliver, failed(customer="cus_1", event_id="evt_1"))
        answer = blocked.result(30)
    assert (answer.status_code, answer.headers["retry-after"] != "") == (503, True)
    assert endpoint.sender.deliver(failed("in_2", customer="cus_2")).status_code == 200
    assert endpoint.view(other)["overdue_invoices"] == 1
    assert endpoint.sender.deliver(failed(customer="cus_1", event_id="evt_1")).json()["status"] == "applied"


def test_a_policy_that_was_never_deployed_is_our_fault_not_stripes(database_url: str) -> None:
    with Endpoint(database_url).open() as endpoint:
        endpoint.account()
        with endpoint.database.begin() as conn:
            conn.execute(text("UPDATE policy_in_force SET digest = NULL"))
        assert endpoint.sender.deliver(failed()).status_code == 503
        assert endpoint.count("stripe_events") == 0


# ---- the database dies -----------------------------------------------------------------------------------------------


def test_a_database_killed_under_a_stream_of_webhooks_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Two hard kills; Stripe's part is to send again whatever was not answered with 200."""
    server = Postgres.start(tmp_path / "killed", durable=True)
    try:
        upgrade(server.url)
        with Endpoint(server.url).open() as endpoint:
            accounts = [endpoint.account(f"cus_{number}") for number in range(10)]
            acknowledged: dict[str, int] = {}
            refused: list[str] = []
            done = threading.Event()

            def stream(worker: int) -> None:
                dice = random.Random(worker)
                for number in range(100_000):
                    if done.is_set():
                        return
                    account = dice.randrange(10)
                    name = f"in_{worker}_{number}"
                    event = failed(name, CREATED + number, event_id=f"evt_{name}", customer=f"cus_{account}")
                    while not done.is_set():
                        status = endpoint.sender.deliver(event).status_code
                        if status == 200:
                            acknowledged[name] = account
                            break
                        assert status == 503
                        refused.append(name)

            with ThreadPoolExecutor(8) as pool:
                streams = [pool.submit(stream, worker) for worker in range(8)]
                for _ in range(2):
                    wait_for_growth(acknowledged, 60)
                    server.kill()
                    wait_for_growth(refused, 1)
                    server.run()
                    wait_for_growth(acknowledged, 60)
                done.set()
                for each in streams:
                    each.result(60)
            assert refused
            kept = {
                row["object_id"]
                for row in endpoint.rows("SELECT object_id FROM stripe_events WHERE status = 'applied'")
            }
            assert set(acknowledged) <= kept
            mirrored = {row["id"] for row in endpoint.rows("SELECT id FROM stripe_invoices")}
            assert mirrored == kept, "an event's row and its effect are one transaction"
            for number, account in enumerate(accounts):
                owed = sum(1 for owner in acknowledged.values() if owner == number)
                assert endpoint.view(account)["overdue_invoices"] >= owed
    finally:
        server.stop()


def wait_for_growth(grows: Sized, by: int, seconds: float = 60) -> None:
    size, end = len(grows), time.monotonic() + seconds
    while len(grows) < size + by:
        assert time.monotonic() < end, "it did not grow in time"
        time.sleep(0.01)
