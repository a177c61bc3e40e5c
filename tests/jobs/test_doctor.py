"""The doctor names what is missing, stuck or old, and what to do; and is quiet where all is well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from engine.load import load_policy
from jobs.doctor import doctor, examine
from jobs.finding import Finding
from jobs.queues import QUEUES
from storage import policies, processes
from storage.settings import SHIPPED_POLICY, Settings, StripeMode
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.storage.deployment import Deployment

ROLES = ["serve", "controller", *(f"worker {queue}" for queue in QUEUES)]


@pytest.fixture
def deployment(database_url: str) -> Iterator[Deployment]:
    made = Deployment(database_url, load_policy(SHIPPED_POLICY))
    policies.deploy_folder(made.database.engine, SHIPPED_POLICY, {}, "tests")
    yield made
    made.close()


@pytest.fixture
def settings(deployment: Deployment, redis_url: str, tmp_path: Path) -> Settings:
    token = tmp_path / "metrics-token"
    token.write_text("x")
    token.chmod(0o600)
    return Settings(
        database_url=deployment.url,
        redis_url=redis_url,
        data_dir=tmp_path,
        admin_token="a",
        stripe_webhook_secrets=("whsec_x",),
        metrics_token_file=token,
    )


@pytest.fixture
def at_work(deployment: Deployment) -> Iterator[psycopg.Connection[Any]]:
    """Every process registered, and a tick just done."""
    session = deployment.database.connect()
    for pid, role in enumerate(ROLES):
        processes.register(session, role, pid, processes.own_code(), deployment.policy.digest)
    with deployment.begin() as conn:
        conn.execute(text("INSERT INTO leases (name, worked_at) VALUES ('controller', clock_timestamp())"))
        conn.execute(
            text(
                "INSERT INTO stripe_events (id, type, created_at, payload, status) "
                "VALUES ('e', 't', now(), '', 'ignored')"
            )
        )
    yield session
    session.close()


def wrong(settings: Settings) -> dict[str, Finding]:
    """Return what is not well, by subject; each says what to do."""
    found = {each.subject: each for each in examine(settings) if each.verdict != "ok"}
    assert all(each.advice for each in found.values())
    return found


@pytest.mark.usefixtures("at_work")
def test_well_system_is_said_to_be_well(settings: Settings) -> None:
    assert wrong(settings) == {}


def test_process_that_is_missing_or_behind_is_named(settings: Settings, deployment: Deployment) -> None:
    session = deployment.database.connect()
    processes.register(session, "controller", 4711, "0.0.1", deployment.policy.digest)
    found = wrong(settings)
    session.close()
    assert {role for role in ROLES if role in found} == set(ROLES) - {"controller"}
    assert "process 4711" in found["stale process"].found
    assert found["controller's last success"].found == "never"
    assert "forbear worker repair" in found["worker repair"].advice


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(
    ("statement", "subject", "says"),
    [
        ("UPDATE accounts SET due_at = clock_timestamp() - interval '10 minutes'", "due rows", "10 min"),
        ("UPDATE leases SET worked_at = worked_at - interval '2 minutes'", "controller's last success", "2 min ago"),
        (
            "INSERT INTO brakes (name, latched_at) VALUES ('suspension_brake', now())",
            "brake suspension_brake",
            "tripped",
        ),
        ("UPDATE stripe_events SET status = 'parked'", "parked events", "1, the oldest"),
        ("UPDATE stripe_events SET received_at = now() - interval '5 days'", "webhook", "5 d ago"),
        ("DELETE FROM stripe_events", "webhook", "no event"),
        (
            "INSERT INTO alerts (kind, text, created_at) VALUES ('x', 'y', now() - interval '1 hour')",
            "alerts",
            "not told, the oldest",
        ),
    ],
)
def test_trouble_is_found(settings: Settings, deployment: Deployment, statement: str, subject: str, says: str) -> None:
    deployment.account()
    with deployment.begin() as conn:
        conn.execute(text(statement))
    found = wrong(settings)
    assert set(found) == {subject}
    assert says in found[subject].found


READ_NOW = "UPDATE stripe_reader SET read_at = clock_timestamp(), reconciled_at = clock_timestamp()"
FOUND = (
    "INSERT INTO stripe_events (id, type, created_at, payload, status, came_by) "
    "VALUES ('r', 't', now() - interval '1 hour', '', 'ignored', 'reader')"
)
ASKED: list[
    tuple[StripeMode, dict[str, Any], str, str | None, str]
] = [  # mode, the endpoint at Stripe, what happened before, what is not well, and what is said of it
    ("both", {}, "", "Stripe's list of events", "never read"),
    ("webhook", {}, READ_NOW, None, ""),
    ("poll", {"is_enabled": False}, READ_NOW, None, ""),
    ("both", {"is_enabled": False}, READ_NOW, "endpoint at Stripe", "switched off"),
    ("webhook", {"types": ["invoice.paid"]}, READ_NOW, "endpoint at Stripe", "does not send"),
    ("webhook", {"version": "2020-08-27"}, READ_NOW, "endpoint at Stripe", "sends 2020-08-27"),
    ("poll", {}, READ_NOW.replace("()", "() - interval '3 min'"), "Stripe's list of events", "read 3 min ago"),
    ("webhook", {}, "UPDATE stripe_events SET api_version = 'x'", "version of events", "written as x"),
    ("webhook", {}, f"UPDATE stripe_events SET api_version = NULL; {FOUND}", "missed webhooks", "1 of the last 7 days"),
]


@pytest.fixture
def stripe(settings: Settings) -> Iterator[StripeDouble]:
    with StripeDouble() as double:
        double.books.endpoint(f"{settings.public_url}/api/billing/webhook")
        yield double


@pytest.mark.usefixtures("at_work")
def test_stripe_is_asked_and_what_keeps_events_away_is_named(
    settings: Settings, deployment: Deployment, stripe: StripeDouble
) -> None:
    for mode, endpoint, before, subject, says in ASKED:
        stripe.books.endpoint(f"{settings.public_url}/api/billing/webhook", **endpoint)
        with deployment.begin() as conn:
            conn.exec_driver_sql(before or "SELECT 1")
        asking = replace(settings, stripe_mode=mode, stripe_api_key=KEY, stripe_api_base=stripe.url)
        found = wrong(asking)
        assert set(found) == ({subject} if subject else set()), mode
        assert subject is None or says in found[subject].found


@pytest.mark.usefixtures("at_work")
def test_a_stripe_that_does_not_answer_or_knows_no_endpoint_is_a_warning(
    settings: Settings, deployment: Deployment, stripe: StripeDouble
) -> None:
    with deployment.begin() as conn:
        conn.exec_driver_sql(READ_NOW)
    asking = replace(settings, stripe_api_key=KEY, stripe_api_base=stripe.url)
    stripe.books.objects.pop("we_1")
    assert "leads here" in wrong(asking)["endpoint at Stripe"].found
    stripe.fail_with = 503
    assert "503" in wrong(asking)["endpoint at Stripe"].found
    assert wrong(replace(settings, stripe_mode="poll"))["Stripe's list of events"].verdict == "fault"


def test_payment_part_in_a_typeface_that_banks_do_not_allow_is_a_warning(settings: Settings) -> None:
    example = Path(__file__).parents[2] / "examples" / "deploy" / "invoice.yaml"
    found = wrong(replace(settings, invoice_file=example))
    assert "Liberation Sans" in found["payment part"].advice


def test_database_that_is_away_is_one_finding_among_those_that_need_none(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=redis_url, data_dir=tmp_path / "none"
    )
    found = wrong(settings)
    assert found["database"].verdict == "fault"
    assert {"admin token", "metrics token", "data"} <= set(found)


def test_command_tells_programs_too_and_ends_with_1(settings: Settings) -> None:
    env = {"FORBEAR_DATABASE_URL": settings.database_url, "FORBEAR_REDIS_URL": settings.redis_url}
    done = CliRunner().invoke(doctor, ["--format", "json"], env=env, standalone_mode=False)
    assert done.return_value == 1
    assert {each["subject"] for each in json.loads(done.output)} >= {"database", "queue", "controller"}
