"""`forbear stripe reconcile`: what webhooks did not bring is taken, told, and left for a person where it has to be."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from jobs.stripe.client import StandingUnknown
from jobs.stripe.commands import stripe as command
from storage import policies
from storage.errors import SettingWrong
from storage.settings import SHIPPED_POLICY
from tests.doubles import stripe as shapes
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.storage.billing import CREATED, Billing


@pytest.fixture
def billing(database_url: str) -> Iterator[Billing]:
    made = Billing(database_url)
    policies.deploy_folder(made.database.engine, SHIPPED_POLICY, {}, by="test")
    yield made
    made.database.close()


@pytest.fixture
def stripe() -> Iterator[StripeDouble]:
    with StripeDouble(now=lambda: CREATED + 1_000) as double:
        failed = shapes.invoice("in_1", next_payment_attempt=CREATED + 9_000)
        double.books.events.append(shapes.event("invoice.payment_failed", failed, created=CREATED, event_id="evt_1"))
        double.books.objects["in_1"] = failed
        yield double


def run(billing: Billing, stripe: StripeDouble, *words: str, key: str = KEY) -> Result:
    env = {"FORBEAR_DATABASE_URL": billing.url, "STRIPE_API_KEY": key, "STRIPE_API_BASE": stripe.url}
    return CliRunner().invoke(command, ["reconcile", *words], env=env, standalone_mode=False)


def test_what_did_not_come_is_taken_once_and_told(billing: Billing, stripe: StripeDouble) -> None:
    account = billing.account("cus_1")
    first = run(billing, stripe)
    assert first.return_value == 0, first.output
    assert "1 read: 1 applied" in first.stdout
    assert "1 asked about, 0 otherwise than events had told" in first.stdout
    assert "events" in first.stderr
    assert billing.view(account)["billing_status"] == "overdue_warning"
    told = json.loads(run(billing, stripe, "--format", "json").stdout)
    assert told["events"] == {"seen": 1, "new": {}, "failed": 0, "readTo": "2026-05-28T20:26:40+00:00"}
    assert told["accounts"] == {"asked": 0, "changed": [], "unknown": {}}


def test_everybody_is_compared_where_that_is_asked(billing: Billing, stripe: StripeDouble) -> None:
    account = billing.account("cus_1")
    run(billing, stripe)
    stripe.books.objects["in_1"] = shapes.invoice("in_1", status="paid")
    told = json.loads(run(billing, stripe, "--everybody", "--format", "json").stdout)
    assert told["accounts"] == {"asked": 1, "changed": [str(account)], "unknown": {}}
    assert billing.view(account)["billing_status"] == "active"


def test_what_only_a_person_can_settle_is_named(billing: Billing, stripe: StripeDouble) -> None:
    account = billing.account("cus_1")
    odd = shapes.subscription("sub_odd", status="hibernating")
    stripe.books.objects["sub_odd"] = odd
    stripe.books.events.append(shapes.event("customer.subscription.updated", odd, created=CREATED, event_id="evt_2"))
    answer = run(billing, stripe)
    assert answer.return_value == 1
    assert "1 applied, 1 quarantined" in answer.stdout
    assert str(account) in answer.stdout
    assert "found `hibernating`" in answer.stdout
    assert "is quarantined" in answer.stdout


def test_without_an_answer_the_cursor_stays(billing: Billing, stripe: StripeDouble) -> None:
    stripe.fail_with = 500
    assert isinstance(run(billing, stripe).exception, StandingUnknown)
    assert billing.rows("SELECT read_to FROM stripe_reader") == [{"read_to": None}]
    assert isinstance(run(billing, stripe, key="").exception, SettingWrong)
