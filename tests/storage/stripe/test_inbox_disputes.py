"""Disputes and refunds: whose they are, in any order; what follows from them, and what never does."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import pytest

from storage import disputes
from storage.errors import DisputeNotLost, UnknownDispute
from storage.gather import World, snapshots
from storage.stripe.event_disputes import about_dispute, read_dispute
from storage.stripe.evidence_fetch import Fetched, asking_about, record_fetched
from storage.stripe.inbox import retry_parked
from tests.doubles import stripe as double
from tests.storage.billing import CREATED, Billing, failed, paid

OPENED = CREATED + 10


def facts(billing: Billing, account: UUID) -> dict[str, Any]:
    """Return what policies read of disputes, and the rungs."""
    with billing.database.begin() as conn:
        snapshot = snapshots(conn, billing.policy, [account])[account]
    names = ("open_disputes", "lost_disputes", "disputed_since", "dispute_lost_at")
    return {name: snapshot.facts[name] for name in names} | {
        "dispute": snapshot.states["dispute"], "billing": snapshot.states["billing"],
    }  # fmt: skip


def rungs(billing: Billing, account: UUID) -> tuple[str, str]:
    found = facts(billing, account)
    return found["dispute"], found["billing"]


def charged(charge: str = "ch_1", created: int = CREATED, **more: Any) -> double.Event:
    return double.charge_event("succeeded", charge, created=created, **more)


def opened(dispute: str = "dp_1", created: int = OPENED, **more: Any) -> double.Event:
    return double.dispute_event("created", dispute, created=created, **more)


def closed(dispute: str = "dp_1", created: int = OPENED + 100, **more: Any) -> double.Event:
    return double.dispute_event("closed", dispute, created=created, opened=OPENED, **more)


# ---- whose it is -----------------------------------------------------------------------------------------------------


def test_every_order_of_charge_dispute_and_its_end_ends_the_same(billing: Billing) -> None:
    ends = set()
    orders = list(itertools.permutations(range(4)))
    accounts = [billing.account(f"cus_{number}") for number in range(len(orders))]
    for number, (account, order) in enumerate(zip(accounts, orders, strict=True)):
        charge, dispute = f"ch_{number}", f"dp_{number}"
        events = [
            charged(charge, customer=f"cus_{number}"),
            opened(dispute, charge=charge),
            double.dispute_event("updated", dispute, created=OPENED + 50, opened=OPENED, charge=charge),
            closed(dispute, charge=charge),
        ]
        for index in order:
            billing.take(events[index])
        billing.take(*(events[index] for index in reversed(order)))
        ends.add((*facts(billing, account).values(),))
    assert len(ends) == 1
    ((undecided, lost, since, lost_at, dispute_rung, billing_rung),) = ends
    assert (undecided, lost, dispute_rung, billing_rung) == (0, 1, "opened", "active")
    assert (since.timestamp(), lost_at.timestamp()) == (OPENED, OPENED + 100)


def test_a_dispute_whose_charge_nobody_knows_waits_for_it(billing: Billing) -> None:
    account = billing.account("cus_1")
    assert billing.statuses(opened()) == ["parked"]
    (row,) = billing.rows("SELECT reason FROM stripe_events")
    assert row["reason"] == "nobody knows whose the charge `ch_1` is yet"
    assert billing.statuses(charged()) == ["applied"]
    assert rungs(billing, account) == ("opened", "active")


def test_a_dispute_waits_for_its_account_although_its_charge_is_known(billing: Billing) -> None:
    assert billing.statuses(charged(), opened()) == ["applied", "parked"]
    assert rungs(billing, billing.account("cus_1")) == ("opened", "active")


def test_a_dispute_that_was_parked_in_the_moment_of_its_charge_is_found_again(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(opened())
    billing.rows("INSERT INTO charges VALUES ('ch_1', 'cus_1', 1500, 0, 'usd') RETURNING 1")
    with billing.database.begin() as conn:
        assert [each.status for each in retry_parked(conn, billing.policy, terms=billing.terms)] == ["applied"]
    assert rungs(billing, account) == ("opened", "active")


def test_what_could_be_two_accounts_is_parked(billing: Billing) -> None:
    for _ in range(2):
        billing.account("cus_1")
    assert billing.statuses(charged(), opened()) == ["applied", "parked"]


def test_a_dispute_with_its_charge_inside_needs_nothing_else(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(opened(charge={"id": "ch_1", "object": "charge", "customer": "cus_1"}))
    assert rungs(billing, account) == ("opened", "active")


def test_a_charge_of_nobody_is_set_aside(billing: Billing) -> None:
    assert billing.statuses(charged(customer=None)) == ["ignored"]


@pytest.mark.parametrize("wrong", [{"status": "lots"}, {"status": None}, {"amount": "many"}, {"charge": 7}])
def test_a_dispute_that_makes_no_sense_is_quarantined(billing: Billing, wrong: dict[str, Any]) -> None:
    assert billing.statuses(opened(**wrong)) == ["quarantined"]


# ---- what follows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "rung"),
    [
        ("warning_needs_response", "none"),
        ("warning_under_review", "none"),
        ("warning_closed", "none"),
        ("prevented", "none"),
        ("needs_response", "opened"),
        ("under_review", "opened"),
        ("lost", "opened"),
        ("won", "none"),
    ],
)
def test_only_what_the_policy_counts_is_a_dispute(billing: Billing, status: str, rung: str) -> None:
    account = billing.account("cus_1")
    billing.take(charged(), opened(status=status))
    assert rungs(billing, account) == (rung, "active")


def test_a_dispute_of_an_old_payment_leaves_the_ladder_of_debt_alone(billing: Billing) -> None:
    account = billing.account("cus_1")
    long_ago = CREATED - 200 * 86_400
    billing.take(failed(created=long_ago), paid(created=long_ago + 5), charged(created=long_ago + 5))
    billing.take(opened(), closed())
    assert rungs(billing, account) == ("opened", "active")
    assert billing.view(account)["past_due_since"] is None


def test_one_that_is_won_is_over(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(charged(), opened(), closed(status="won"))
    assert facts(billing, account) == {
        "open_disputes": 0, "lost_disputes": 0, "disputed_since": None, "dispute_lost_at": None,
        "dispute": "none", "billing": "active",
    }  # fmt: skip


def test_within_a_second_the_end_that_harms_less_is_believed(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(charged(), closed(status="won"), closed(status="lost"), opened(created=OPENED + 100))
    assert rungs(billing, account)[0] == "none"


def test_a_refund_is_written_down_and_moves_nothing(billing: Billing) -> None:
    account = billing.account("cus_1")
    part = double.charge_event("refunded", "ch_1", created=CREATED + 5, refunded_cents=500)
    whole = double.charge_event("refunded", "ch_1", created=CREATED + 9, refunded_cents=1500)
    assert billing.statuses(whole, part, charged()) == ["applied"] * 3
    (row,) = billing.rows("SELECT refunded_cents FROM charges")
    assert row["refunded_cents"] == 1500
    assert rungs(billing, account) == ("none", "active")
    told = billing.rows("SELECT canonical FROM audit WHERE account_id = :id ORDER BY seq", id=account)
    assert sum('"charge.refunded"' in each["canonical"] for each in told) == 2


# ---- how it is settled -----------------------------------------------------------------------------------------------


def test_an_invoice_that_names_the_dispute_settles_it_once_it_is_paid(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(charged(), opened(), closed(), paid("in_other"))
    assert facts(billing, account)["lost_disputes"] == 1
    again: dict[str, Any] = {"customer": "cus_1", "metadata": {"disputeId": "dp_1"}}
    billing.take(double.invoice_event("finalized", "in_again", created=CREATED + 300, **again))
    assert facts(billing, account)["lost_disputes"] == 1
    billing.take(paid("in_again", CREATED + 400, **again))
    assert rungs(billing, account) == ("none", "active")


def test_the_invoice_that_settles_may_come_before_the_loss(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(paid("in_again", customer="cus_1", metadata={"disputeId": "dp_1"}))
    billing.take(charged(), closed())
    assert rungs(billing, account) == ("none", "active")


def test_a_person_forgives_what_is_lost_and_nothing_else(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(charged(), opened())
    with billing.database.begin() as conn, pytest.raises(DisputeNotLost, match="is `needs_response`"):
        disputes.settle(conn, billing.policy, "dp_1", by="admin:ada", reason="hm")
    with billing.database.begin() as conn, pytest.raises(UnknownDispute):
        disputes.settle(conn, billing.policy, "dp_2", by="admin:ada", reason="hm")
    billing.take(closed())
    with billing.database.begin() as conn:
        assert disputes.settle(conn, billing.policy, "dp_1", by="admin:ada", reason="paid in cash") is not None
    with billing.database.begin() as conn:
        assert disputes.settle(conn, billing.policy, "dp_1", by="admin:ada", reason="again") is None
    assert rungs(billing, account) == ("none", "active")
    billing.take(double.dispute_event("updated", "dp_1", created=OPENED + 500, opened=OPENED, status="lost"))
    assert rungs(billing, account) == ("none", "active"), "later news of the same loss changes nothing"
    told = billing.rows("SELECT canonical FROM audit WHERE account_id = :id", id=account)
    assert sum("settle_dispute" in each["canonical"] and "paid in cash" in each["canonical"] for each in told) == 1


def test_stripe_is_asked_about_disputes_that_count(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(charged(), opened(), closed(), charged("ch_2"), opened("dp_2", charge="ch_2", status="won"))
    with billing.database.begin() as conn:
        asking = asking_about(conn, billing.policy, account)
        assert asking.disputes == ("dp_1",)
        document = double.dispute("dp_1", status="won", created=OPENED)
        fetched = Fetched(asking, ((about_dispute(document), read_dispute(document)),))
        record_fetched(conn, billing.policy, fetched, world=World(stripe_key=True))
    assert rungs(billing, account) == ("none", "active")


def test_a_group_that_is_taken_again_changes_nothing(billing: Billing) -> None:
    billing.account("cus_1")
    events = [charged(), opened(), closed()]
    billing.take(*events)
    before = billing.trace() | {"disputes": billing.rows("SELECT * FROM disputes")}
    assert set(billing.statuses(*events)) == {"duplicate"}
    assert billing.trace() | {"disputes": billing.rows("SELECT * FROM disputes")} == before
