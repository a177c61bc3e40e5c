"""An account of the database, explained as decisions read it, under the policy in force."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from click.testing import CliRunner, Result

from storage.commands.explain import explain
from storage.commands.policy import deploy
from storage.settings import SHIPPED_POLICY
from tests.storage.deployment import Deployment


def put_in_force(deployment: Deployment) -> None:
    """Deploy the policy that ships."""
    env = {"FORBEAR_DATABASE_URL": deployment.url}
    assert CliRunner().invoke(deploy, [str(SHIPPED_POLICY)], env=env).exit_code == 0


def told(deployment: Deployment, *arguments: str) -> Result:
    """Run the command on the deployment."""
    return CliRunner().invoke(explain, arguments, env={"FORBEAR_DATABASE_URL": deployment.url})


def test_account_is_explained_from_the_database_and_again_from_its_file(deployment: Deployment, tmp_path: Path) -> None:
    put_in_force(deployment)
    account = deployment.late()
    deployment.record(account)
    file = tmp_path / "account.json"
    first = told(deployment, "--account", str(account), "--format", "json", "--write", str(file))
    assert first.exit_code == 0, first.output
    found = json.loads(first.output)
    assert found["account"] == str(account)
    billing = next(machine for machine in found["machines"] if machine["machine"] == "billing")
    assert billing["state"] != "active"
    again = json.loads(told(deployment, "--snapshot", str(file), "--format", "json").output)
    assert again["machines"] == found["machines"]


def test_account_that_nobody_knows_is_named(deployment: Deployment) -> None:
    put_in_force(deployment)
    unknown = str(uuid4())
    outcome = told(deployment, "--account", unknown)
    assert outcome.exit_code == 2
    assert f"no account `{unknown}`" in outcome.output
