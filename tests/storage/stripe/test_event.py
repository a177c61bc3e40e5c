"""Parsing: what is no event is refused, what is not understood is kept with its fault, both shapes read the same."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.stripe.event import (
    API_VERSION,
    CheckoutDone,
    CustomerGone,
    InvoiceSeen,
    NotAnEvent,
    StripeEvent,
    SubscriptionSeen,
    parse,
)
from tests.doubles import stripe as double

CREATED = 1_780_000_000
HUGE = 10**4000


def parsed(document: Any) -> StripeEvent:
    return parse(double.body_of(document))


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_the_version_read_last_is_the_one_that_the_sdk_pins() -> None:
    import stripe

    assert stripe.api_version == API_VERSION


@pytest.mark.parametrize("shape", ["old", "new"])
def test_a_failed_payment_reads_the_same_in_both_shapes(shape: double.Shape) -> None:
    owner = uuid.uuid4()
    event = parsed(
        double.invoice_event(
            "payment_failed",
            "in_1",
            created=CREATED,
            event_id="evt_1",
            subscription="sub_1",
            shape=shape,
            metadata={"userId": str(owner)},
        )
    )
    assert event.fault is None
    assert (event.id, event.type, event.created_at) == ("evt_1", "invoice.payment_failed", at(CREATED))
    assert (event.about.customer_id, event.about.subscription_id) == ("cus_1", "sub_1")
    assert event.about.claims == (owner,)
    assert event.subject == InvoiceSeen(
        "in_1", "open", 1500, "usd", "https://invoice.stripe.example/in_1", failed=True, number="1-0001"
    )
    assert json.loads(event.payload)["id"] == "evt_1"


@pytest.mark.parametrize("shape", ["old", "new"])
def test_a_subscription_reads_the_same_in_both_shapes(shape: double.Shape) -> None:
    event = parsed(
        double.subscription_event(
            "updated", "sub_1", created=CREATED, period_end=CREATED + 100, shape=shape, status="past_due"
        )
    )
    assert isinstance(event.subject, SubscriptionSeen)
    assert (event.subject.status, event.subject.period_end_at) == ("past_due", at(CREATED + 100))
    assert event.subject.prices == ("price_game",)
    assert event.subject.ended_at is None
    assert event.about.subscription_id == "sub_1"


def test_expanded_references_are_read() -> None:
    document = double.invoice("in_1", shape="old", customer="x")
    document["customer"] = {"id": "cus_9", "object": "customer"}
    document["subscription"] = {"id": "sub_9", "object": "subscription"}
    event = parsed(double.event("invoice.paid", document, created=CREATED))
    assert (event.about.customer_id, event.about.subscription_id) == ("cus_9", "sub_9")


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, True),
        ({"cents": 0}, False),
        ({"cents": 1}, True),
        ({"paid_cents": 1500}, False),
        ({"paid_cents": 1600}, False),
        ({"status": "draft"}, False),
        ({"status": "uncollectible"}, True),
        ({"status": None}, True),
        ({"amount_remaining": None}, True),
        ({"amount_remaining": None, "paid_cents": 1500}, False),
    ],
)
def test_only_a_finalized_invoice_with_something_owed_has_failed(changes: dict[str, Any], failed: bool) -> None:
    event = parsed(double.invoice_event("payment_failed", "in_1", created=CREATED, **changes))
    assert isinstance(event.subject, InvoiceSeen)
    assert event.subject.failed is failed


def test_an_update_of_an_attempted_invoice_is_no_failed_attempt() -> None:
    event = parsed(double.invoice_event("updated", "in_1", created=CREATED))
    assert isinstance(event.subject, InvoiceSeen)
    assert not event.subject.failed


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ({"ended_at": CREATED - 5}, CREATED - 5),
        ({"canceled_at": CREATED - 9, "ended_at": CREATED - 5}, CREATED - 5),
        ({"canceled_at": CREATED - 9}, CREATED - 9),
        ({"canceled_at": CREATED - 9, "period_end": CREATED + 50}, CREATED + 50),
        ({"ended_at": CREATED - 5, "period_end": CREATED + 50}, CREATED + 50),
        ({"period_end": CREATED + 50}, CREATED + 50),
        ({"ended_at": CREATED - 5, "period_end": CREATED - 50}, CREATED - 5),
        ({}, CREATED),
        ({"ended_at": "yesterday"}, CREATED),
    ],
)
def test_a_subscription_ends_no_earlier_than_the_period_paid_for(fields: dict[str, Any], ended: int) -> None:
    event = parsed(double.subscription_event("deleted", "sub_1", created=CREATED, **fields))
    assert isinstance(event.subject, SubscriptionSeen)
    assert event.subject.ended_at == at(ended)


@pytest.mark.parametrize(
    ("status", "read"), [("active", "canceled"), (None, "canceled"), ("incomplete_expired", "incomplete_expired")]
)
def test_a_deleted_subscription_has_ended_whatever_its_snapshot_says(status: str | None, read: str) -> None:
    event = parsed(double.subscription_event("deleted", "sub_1", created=CREATED, status=status))
    assert isinstance(event.subject, SubscriptionSeen)
    assert event.subject.status == read


def test_prices_are_known_by_id_lookup_key_and_old_plan() -> None:
    event = parsed(
        double.subscription_event(
            "created",
            "sub_1",
            created=CREATED,
            price="price_1",
            lookup_key="game",
            metadata={"plan": "dev"},
            plan={"id": "plan_old"},
        )
    )
    assert isinstance(event.subject, SubscriptionSeen)
    assert event.subject.prices == ("price_1", "game", "plan_old")
    assert event.subject.plan_name == "dev"


def test_a_checkout_names_the_account_first() -> None:
    account, reference, user = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    event = parsed(
        double.checkout_event(
            created=CREATED,
            customer="cus_1",
            subscription_id="sub_1",
            client_reference_id=str(reference),
            metadata={"userId": str(user), "accountId": str(account)},
        )
    )
    assert isinstance(event.subject, CheckoutDone)
    assert event.about.claims == (account, reference, user)
    assert (event.about.customer_id, event.about.subscription_id) == ("cus_1", "sub_1")


def test_a_deleted_customer_is_about_themselves() -> None:
    event = parsed(double.customer_deleted_event("cus_7", created=CREATED))
    assert event.subject == CustomerGone("cus_7")
    assert event.about.customer_id == "cus_7"


def test_a_type_that_changes_nothing_is_taken_without_a_subject() -> None:
    event = parsed(double.event("invoice.upcoming", {"object": "invoice", "customer": 7}, created=CREATED))
    assert (event.subject, event.fault) == (None, None)


NOT_EVENTS: dict[str, bytes] = {
    "nothing": b"",
    "not utf-8": b'{"id": "\xff"}',
    "utf-16": '{"id": "evt"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a word": b"hello",
    "a list": b"[]",
    "a number": b"12",
    "a string": b'"evt_1"',
    "null": b"null",
    "half": b'{"id": "evt_1", ',
    "two": b"{}{}",
    "NaN": b'{"id": NaN}',
    "infinity": b'{"created": -Infinity}',
    "a number without end": b'{"created": ' + b"9" * 5000 + b"}",
    "a deep list": b"[" * 200_000 + b"]" * 200_000,
    "a deep object": b'{"a":' * 200_000,
    "an empty object": b"{}",
    "a raw control character": b'{"id": "a\x00b"}',
}
BROKEN_ENVELOPES: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "an id of another type": {"id": 7},
    "an empty id": {"id": ""},
    "a long id": {"id": "e" * 256},
    "an id with NUL": {"id": "evt_\0"},
    "an id with half a character": {"id": "evt_\ud800"},
    "an id that turns the text around": {"id": "evt_\u202e"},
    "no type": {"type": None},
    "a type of another type": {"type": ["invoice.paid"]},
    "no created": {"created": None},
    "a created of text": {"created": "now"},
    "a created of a fraction": {"created": 1.5},
    "a created of truth": {"created": True},
    "a created before all": {"created": -1},
    "a created of milliseconds": {"created": CREATED * 1000},
    "a huge created": {"created": HUGE},
    "no data": {"data": None},
    "data of another type": {"data": "x"},
    "no object": {"data": {}},
    "an object of another type": {"data": {"object": []}},
}


@pytest.mark.parametrize("name", NOT_EVENTS)
def test_what_is_no_event_is_refused(name: str) -> None:
    with pytest.raises(NotAnEvent):
        parse(NOT_EVENTS[name])


@pytest.mark.parametrize("name", BROKEN_ENVELOPES)
def test_an_event_without_its_envelope_is_refused(name: str) -> None:
    event = {**double.invoice_event("paid", "in_1", created=CREATED), **BROKEN_ENVELOPES[name]}
    with pytest.raises(NotAnEvent, match="not a Stripe event"):
        parse(json.dumps(event).encode())


FAULTS: dict[str, dict[str, Any]] = {
    "an unknown invoice status": double.invoice_event("updated", "in_1", created=CREATED, status="on_fire"),
    "no invoice status": double.invoice_event("updated", "in_1", created=CREATED, status=None),
    "an amount of text": double.invoice_event("payment_failed", "in_1", created=CREATED, amount_remaining="15"),
    "an amount beyond all money": double.invoice_event(
        "payment_failed", "in_1", created=CREATED, amount_remaining=2**63
    ),
    "an amount of a fraction": double.invoice_event("payment_failed", "in_1", created=CREATED, amount_remaining=1.5),
    "an invoice without any amount": double.event(
        "invoice.payment_failed", {"id": "in_1", "customer": "cus_1", "status": "open"}, created=CREATED
    ),
    "an invoice without an id": double.event("invoice.paid", {"customer": "cus_1", "status": "paid"}, created=CREATED),
    "a customer of another type": double.invoice_event("paid", "in_1", created=CREATED, customer=7),
    "an unknown subscription status": double.subscription_event("updated", "sub_1", created=CREATED, status="napping"),
    "a subscription status of a list": double.subscription_event(
        "updated", "sub_1", created=CREATED, status=["active"]
    ),
    "a subscription status with NUL": double.subscription_event("updated", "sub_1", created=CREATED, status="active\0"),
    "a deleted one of an unknown status": double.subscription_event("deleted", "sub_1", created=CREATED, status="gone"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_understood_is_kept_with_its_fault(name: str) -> None:
    event = parsed(FAULTS[name])
    assert event.subject is None
    assert event.fault is not None
    assert event.fault.startswith("`")
    assert len(event.fault) < 200
    assert "\0" not in event.fault


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "http://pay.example", "https://a b", 7, None, "https://x/" + "y" * 3000, "https://<b>"],
)
def test_only_a_harmless_link_is_kept_for_the_customer(url: object) -> None:
    event = parsed(double.invoice_event("updated", "in_1", created=CREATED, hosted_invoice_url=url))
    assert isinstance(event.subject, InvoiceSeen)
    assert event.subject.hosted_url is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SAMPLES = [
    double.invoice_event("payment_failed", "in_1", created=CREATED, subscription="sub_1"),
    double.invoice_event("paid", "in_1", created=CREATED, subscription="sub_1", shape="old"),
    double.subscription_event("updated", "sub_1", created=CREATED),
    double.subscription_event("deleted", "sub_1", created=CREATED, shape="old"),
    double.checkout_event(created=CREATED, customer="cus_1"),
    double.customer_deleted_event("cus_1", created=CREATED),
]


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, part in inside for path in paths(part, (*here, key)))]


@given(st.data())
def test_any_value_anywhere_is_refused_or_kept_but_never_crashes(data: st.DataObject) -> None:
    document = json.loads(json.dumps(data.draw(st.sampled_from(SAMPLES))))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(document)[1:]))
        value, holder = data.draw(JSON), document
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
    try:
        event = parse(json.dumps(document).encode())
    except NotAnEvent:
        return
    for text in (event.id, event.type, event.fault, event.object_id, event.api_version, event.about.customer_id):
        assert text is None or ("\0" not in text and text.encode() is not None)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(NotAnEvent):
        parse(body)
