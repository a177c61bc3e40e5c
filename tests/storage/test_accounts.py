"""Customers and accounts: made once, found by their token, shown with what is durable about them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from storage import accounts
from storage.errors import AlreadyTaken, PlanUnknown, UnknownAccount, UnknownCustomer
from tests.storage.deployment import Deployment


def make(deployment: Deployment, customer: UUID, subscription: str | None = None, plan: str = "game") -> UUID:
    """Make an account as an admin does."""
    with deployment.begin() as conn:
        return accounts.create_account(
            conn,
            deployment.policy,
            customer,
            stripe_customer_id="cus_1",
            stripe_subscription_id=subscription,
            plan=plan,
        )


def test_customer_is_found_by_their_token_alone(deployment: Deployment) -> None:
    with deployment.begin() as conn:
        made = accounts.create_customer(conn, "a@example.org", "Ada", "Europe/Zurich")
        found = accounts.customer_by_token(conn, made.token)
        assert (
            found
            == accounts.customer(conn, made.id)
            == accounts.Customer(made.id, "a@example.org", "Ada", "Europe/Zurich", "en")
        )
        for wrong in ("", made.token[:-1], made.token + " ", "\udcff", str(made.id)):
            assert accounts.customer_by_token(conn, wrong) is None
    kept = deployment.rows("SELECT * FROM customers")
    assert made.token not in str(kept)


def test_new_account_is_active_under_the_plan_that_an_admin_set(deployment: Deployment) -> None:
    account = make(deployment, deployment.customer(), "sub_1")
    with deployment.begin() as conn:
        view = accounts.account_view(conn, account)
    assert (view.billing_status, view.server_billing_state) == ("active", "allowed")
    assert (view.plan, view.has_active_plan, view.subscription_status) == ("game", True, "none")
    assert view.states == {"billing": "active", "abuse": "clear"}
    assert view.policy_digest == deployment.policy.digest
    assert view.servers == ()
    assert [row["action"] for row in deployment.audit_of(account)] == ["create_account"]


def test_account_shows_its_servers_but_not_deleted_ones(deployment: Deployment) -> None:
    customer = deployment.customer()
    account = deployment.account(customer_id=customer)
    deployment.account(customer_id=deployment.customer())
    server = deployment.server(account)
    deployment.server(account, lifecycle="deleted")
    with deployment.begin() as conn:
        (view,) = accounts.accounts_of(conn, customer)
        assert [each.id for each in accounts.accounts(conn, limit=1)] == [
            min(each.id for each in accounts.accounts(conn))
        ]
    assert [(line.id, line.server_billing_state) for line in view.servers] == [(server, "allowed")]


def test_subscription_belongs_to_one_account(deployment: Deployment) -> None:
    customer = deployment.customer()
    make(deployment, customer, "sub_1")
    with pytest.raises(AlreadyTaken, match="`sub_1` is already taken"):
        make(deployment, customer, "sub_1")
    assert deployment.scalar("SELECT count(*) FROM accounts") == 1


def test_unknown_names_are_refused(deployment: Deployment) -> None:
    with pytest.raises(PlanUnknown, match="expected one of `game`"):
        make(deployment, deployment.customer(), plan="gold")
    with pytest.raises(UnknownCustomer):
        make(deployment, uuid4())
    with deployment.begin() as conn, pytest.raises(UnknownAccount):
        accounts.account_view(conn, uuid4())


def test_exemption_lifts_the_ladder_and_its_end_starts_at_the_notice(deployment: Deployment) -> None:
    account = deployment.late(hours=200)
    deployment.settle()
    with deployment.begin() as conn:
        until = deployment.now() + timedelta(hours=10)
        recorded = accounts.exempt(conn, deployment.policy, account, until, by="ada", reason="goodwill")
    assert [step.because for step in recorded.settlement.steps] == ["billing.paid"]
    deployment.advance(10.1)
    deployment.settle()
    assert deployment.row(account)["billing_status"] == "overdue_warning"
    with pytest.raises(UnknownAccount), deployment.begin() as conn:
        accounts.exempt(conn, deployment.policy, uuid4(), None, by="ada")
