"""The commands on the audit, the database and the policy in force: what they say, and their exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result

from storage import migrate
from storage.commands.audit import audit
from storage.commands.db import db
from storage.commands.policy import deploy
from storage.settings import SHIPPED_POLICY
from tests.storage.deployment import Deployment


def run(deployment: Deployment, command: Any, *arguments: str, **env: str) -> Result:
    """Run a command on the deployment."""
    return CliRunner().invoke(command, arguments, env={"FORBEAR_DATABASE_URL": deployment.url, **env})


def test_chain_that_holds_is_said_to_hold(deployment: Deployment) -> None:
    account = deployment.late()
    deployment.record(account)
    told = run(deployment, audit, "verify")
    assert (told.exit_code, told.output) == (
        0,
        "2 chains, 2 rows: every row follows the one before it, up to its head\n",
    )
    told = run(deployment, audit, "verify", "--account", str(account))
    assert (told.exit_code, told.output) == (
        0,
        "1 chain, 2 rows: every row follows the one before it, up to its head\n",
    )


def test_tampering_is_named_and_fails(deployment: Deployment, superuser: psycopg.Connection[Any]) -> None:
    account = deployment.late()
    deployment.record(account)
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE audit SET canonical = canonical || ' ' WHERE seq = 1")
    told = run(deployment, audit, "verify")
    assert told.exit_code == 1
    assert told.output == (
        f"account {account}, row 1: it was edited, or does not follow the row before it\n2 chains, 2 rows: 1 break\n"
    )
    assert deployment.alerts() == ["audit_broken"]
    assert run(deployment, audit, "verify", "--account", str(account)).exit_code == 1


def test_account_that_nobody_knows_is_named(deployment: Deployment) -> None:
    for command in (("verify", "--account"), ("show",)):
        told = run(deployment, audit, *command, str(uuid4()))
        assert told.exit_code != 0
        assert "no account has the id" in told.output or "no account has the id" in str(told.exception)


def test_audit_is_shown_to_people_and_to_programs(deployment: Deployment) -> None:
    account = deployment.late()
    deployment.record(account)
    lines = run(deployment, audit, "show", str(account)).output.splitlines()
    assert "transition late active -> past_due because billing.late (test.yaml:1) by sweep" in lines[0]
    assert "asked send_billing_warning" in lines[1]
    rows = [
        json.loads(line)
        for line in run(deployment, audit, "show", str(account), "--format", "json").output.splitlines()
    ]
    assert [row["action"] for row in rows] == ["late", "warn"]


def test_upgrade_says_what_it_did(empty_database_url: str) -> None:
    env = {"FORBEAR_DATABASE_URL": empty_database_url}
    runner = CliRunner()
    assert runner.invoke(db, ["status"], env=env).exit_code == 1
    assert runner.invoke(db, ["upgrade"], env=env).output == f"migrated to {migrate.HEAD}\n"
    assert runner.invoke(db, ["migrate"], env=env).output == f"up to date at {migrate.HEAD}\n"
    assert runner.invoke(db, ["status"], env=env).exit_code == 0


def test_deploy_puts_a_policy_in_force_once(deployment: Deployment) -> None:
    first = run(deployment, deploy, str(SHIPPED_POLICY), "--by", "ada", BILLING_RETENTION_DAYS="20")
    assert first.exit_code == 0, first.output
    assert first.output.startswith("in force now: ")
    again = run(deployment, deploy, str(SHIPPED_POLICY), BILLING_RETENTION_DAYS="20")
    assert again.output.startswith("already in force: ")


def test_deploy_of_a_policy_with_faults_shows_them_all(deployment: Deployment, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SHIPPED_POLICY, tmp_path / "policy", ignore=shutil.ignore_patterns("schema")))
    text = (folder / "billing.yaml").read_text(encoding="utf-8")
    (folder / "billing.yaml").write_text(text.replace("to: overdue_warning", "to: overdue_waning"), encoding="utf-8")
    told = run(deployment, deploy, str(folder))
    assert told.exit_code == 1
    assert "overdue_waning" in told.output


@pytest.mark.parametrize("arguments", [["audit", "verify"], ["db", "status"], ["policy", "deploy"]])
def test_database_that_is_away_is_one_sentence_and_status_2(arguments: list[str]) -> None:
    env = {"PATH": "/usr/bin:/bin", "FORBEAR_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    done = subprocess.run(
        [sys.executable, "-m", "forbear", *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "the database failed" in done.stderr
    del env["FORBEAR_DATABASE_URL"]
    done = subprocess.run(
        [sys.executable, "-m", "forbear", *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "FORBEAR_DATABASE_URL" in done.stderr) == (2, True)


def test_database_without_tables_is_named(empty_database_url: str) -> None:
    env = {"PATH": "/usr/bin:/bin", "FORBEAR_DATABASE_URL": empty_database_url}
    done = subprocess.run(
        [sys.executable, "-m", "forbear", "audit", "verify"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "run `forbear db upgrade`" in done.stderr
