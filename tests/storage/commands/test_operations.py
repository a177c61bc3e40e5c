"""`forbear operations`: the same as the admin's routes, from a terminal."""

from __future__ import annotations

from uuid import UUID

from click.testing import CliRunner, Result
from sqlalchemy import text

from storage import operations
from storage.commands.operations import operations as command
from tests.storage.deployment import Deployment


def failed(shipped: Deployment) -> UUID:
    account = shipped.account()
    server = shipped.server(account, lifecycle="failed", observed="stopped", desired="stopped")
    with shipped.begin() as conn:
        made = shipped.operation(conn, account, "create_server")
        operations.progress(conn, made.id, "queued", server_id=server)
        operations.fail(conn, made.id, error="Sorry.", reason="no\ntemplate", left_behind="nothing", phase="create")
        conn.execute(text("UPDATE servers SET autostart = false"))
    return made.id


def run(shipped: Deployment, *words: str) -> Result:
    return CliRunner().invoke(command, words, env={"FORBEAR_DATABASE_URL": shipped.url, "USER": "grace"})


def test_what_failed_is_listed_resumed_and_audited(shipped: Deployment) -> None:
    operation = failed(shipped)
    listed = run(shipped, "list")
    assert listed.exit_code == 1
    assert f"{operation}  create_server" in listed.output
    assert "failed in create: no\N{REPLACEMENT CHARACTER}template; left at its host: nothing" in listed.output
    assert run(shipped, "resume", str(operation)).exit_code == 2, "a reason is needed"
    resumed = run(shipped, "resume", str(operation), "--reason", "mended")
    assert resumed.exit_code == 0, resumed.output
    assert "queued" in resumed.output
    assert run(shipped, "list").exit_code == 0
    with shipped.begin() as conn:
        account = operations.get(conn, operation).account_id
    said = [(row["action"], row["actor"]) for row in shipped.audit_of(account)]
    assert ("resume_operation", "operator:grace") in said
    shipped.close()


def test_what_failed_is_cleaned_up(shipped: Deployment) -> None:
    operation = failed(shipped)
    assert run(shipped, "cleanup", str(operation), "--reason", "no longer wanted", "--by", "ada").exit_code == 0
    assert shipped.scalar("SELECT lifecycle FROM servers") == "deleting"
    shipped.close()
