"""Disputes whose charge nobody told of: Stripe is asked whose it is, where there is a key."""

from __future__ import annotations

from jobs.stripe.charges import ChargePoll
from storage.settings import Settings
from storage.stripe.inbox import retry_parked
from tests.doubles import stripe as double
from tests.doubles.stripe_api import KEY, StripeApi
from tests.storage.billing import CREATED, Billing

CHARGE = {"id": "ch_1", "object": "charge", "customer": "cus_1", "amount": 1500, "amount_refunded": 0}


def poll(billing: Billing, api: StripeApi, now: list[float], key: str = KEY) -> ChargePoll:
    settings = Settings(database_url=billing.url, stripe_api_key=key, stripe_api_base=api.url)
    return ChargePoll(settings, billing.database, clock=lambda: now[0])


def test_the_charge_of_a_parked_dispute_is_asked_for_and_the_dispute_taken(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(double.dispute_event("created", "dp_1", created=CREATED))
    with StripeApi() as api:
        api.add(CHARGE)
        asking = poll(billing, api, [0.0])
        assert (asking.run(), asking.run()) == (1, 0)
        assert api.requests == ["/v1/charges/ch_1"]
    with billing.database.begin() as conn:
        assert len(retry_parked(conn, billing.policy, terms=billing.terms)) == 1
    (row,) = billing.rows("SELECT account_id FROM disputes")
    assert row["account_id"] == account


def test_a_charge_that_cannot_be_had_is_asked_for_again_later(billing: Billing) -> None:
    billing.take(double.dispute_event("created", "dp_1", created=CREATED))
    now = [0.0]
    with StripeApi() as api:
        asking = poll(billing, api, now)
        assert (asking.run(), asking.run(), len(api.requests)) == (0, 0, 1)
        now[0] = 301.0
        api.add({**CHARGE, "customer": None})
        assert (asking.run(), len(api.requests)) == (0, 2)
        now[0] = 602.0
        api.fail_with = 500
        assert (asking.run(), len(api.requests)) == (0, 3)
    assert billing.count("charges") == 0


def test_without_a_key_nobody_is_asked(billing: Billing) -> None:
    billing.take(double.dispute_event("created", "dp_1", created=CREATED))
    with StripeApi() as api:
        assert poll(billing, api, [0.0], key="").run() == 0
        assert api.requests == []
