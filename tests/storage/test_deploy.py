"""What is looked at before another policy comes into force, and what it would do to the accounts."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from click.testing import CliRunner, Result

from storage import policies
from storage.commands.policy import deploy, history, impact, rollback
from storage.settings import SHIPPED_POLICY
from tests.storage.deployment import Deployment


def run(deployment: Deployment, command: click.Command, *arguments: str | Path, **env: str) -> Result:
    """Run a command on the deployment."""
    given = {"FORBEAR_DATABASE_URL": deployment.url, "USER": "ada"} | env
    clean = {name: None for name in os.environ if name.startswith("BILLING_")}
    return CliRunner().invoke(command, [str(each) for each in arguments], env={**clean, **given})


def in_force(deployment: Deployment) -> str | None:
    """Return the digest in force."""
    with deployment.begin() as conn:
        return policies.digest_in_force(conn)


def change(folder: Path, file: str, old: str, new: str) -> None:
    """Change one text of a policy."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def without_scenarios(folder: Path) -> None:
    """Leave only the policy: the scenarios are written for its own numbers."""
    shutil.rmtree(folder / "scenarios")


def test_impact_counts_and_lists_who_is_decided_otherwise_and_writes_nothing(
    shipped: Deployment, tmp_path: Path
) -> None:
    late, fine = shipped.late(hours=30), shipped.account()
    shipped.settle()
    before = [shipped.row(account) for account in (late, fine)]
    listed = tmp_path / "list.csv"
    done = run(shipped, impact, SHIPPED_POLICY, "--csv", listed, BILLING_FINAL_WARNING_AFTER_HOURS="24")
    assert done.exit_code == 0, done.output
    (row,) = csv.DictReader(listed.read_text("utf-8").splitlines())
    assert (row["account_id"], row["earlier"]) == (str(late), "true")
    assert [shipped.row(account) for account in (late, fine)] == before


def test_impact_is_told_to_programs_and_its_list_alone_where_it_is_asked_for(shipped: Deployment) -> None:
    late = shipped.late(hours=30)
    shipped.settle()
    shorter = {"BILLING_FINAL_WARNING_AFTER_HOURS": "24"}
    told = json.loads(run(shipped, impact, SHIPPED_POLICY, "--format", "json", **shorter).stdout)
    assert (told["ok"], told["same"], told["accounts"], told["dueEarlier"]) == (True, False, 1, 1)
    assert [(each["accountId"], each["earlier"]) for each in told["affected"]] == [(str(late), True)]
    listed = run(shipped, impact, SHIPPED_POLICY, "--csv", "-", **shorter).stdout
    assert [row["account_id"] for row in csv.DictReader(listed.splitlines())] == [str(late)]
    annotated = run(shipped, impact, SHIPPED_POLICY, "--format", "github", **shorter).stdout
    assert annotated.startswith("::notice::of 1 accounts: ")


def test_impact_of_the_policy_in_force_is_an_empty_list(shipped: Deployment) -> None:
    listed = run(shipped, impact, SHIPPED_POLICY, "--csv", "-")
    assert listed.stdout.count("\n") == 1
    assert listed.stdout.startswith("account_id,")
    assert json.loads(run(shipped, impact, SHIPPED_POLICY, "--format", "json").stdout)["same"] is True


def test_a_policy_with_faults_has_no_impact_to_look_at(shipped: Deployment, folder: Path) -> None:
    change(folder, "billing.yaml", "machine: billing", "machin: billing")
    assert run(shipped, impact, folder).exit_code == 2


def test_impact_cannot_write(shipped: Deployment) -> None:
    from storage import impact as effect

    with shipped.begin() as conn:
        effect.read_only(conn)
        assert conn.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on"


def test_deploy_refuses_what_breaks_a_guarantee_or_a_scenario(shipped: Deployment, folder: Path) -> None:
    change(
        folder,
        "gates.yaml",
        "host.start:          [yes,     yes,            no, ",
        "host.start:          [yes,     yes,            yes, ",
    )
    done = run(shipped, deploy, folder)
    assert done.exit_code == 1
    assert "the guarantee `" in done.output
    assert "the scenario `" in done.output
    assert "nothing has changed" in done.output
    assert in_force(shipped) == shipped.policy.digest


def test_deploy_refuses_what_would_trip_the_brake_unless_forced(shipped: Deployment, folder: Path) -> None:
    without_scenarios(folder)
    accounts = [shipped.late(hours=0) for _ in range(3)]
    shipped.settle()
    for hours in (73, 30):
        shipped.advance(hours)
        shipped.settle()
    assert {shipped.row(account)["billing_status"] for account in accounts} == {"final_warning"}
    change(folder, "billing.yaml", "needs: suspending\n", "needs: suspending\n    # the same\n")
    env = {"BILLING_SUSPEND_AFTER_HOURS": "100"}
    # The promise still binds, so nobody is pressed before the date that was told: nothing trips.
    done = run(shipped, deploy, folder, **env)
    assert done.exit_code == 0, done.output
    assert {shipped.row(account)["billing_status"] for account in accounts} == {"final_warning"}
    shipped.sweep()
    assert {shipped.row(account)["billing_status"] for account in accounts} == {"final_warning"}
    shipped.advance(24)  # now the date has come for all three, and one may pass
    done = run(shipped, impact, folder, "--format", "json", BILLING_SUSPEND_AFTER_HOURS="96")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"], told["brakes"]["suspension_brake"]) == (1, False, {"asked": 3, "left": 1})
    assert "`suspension_brake` would trip" in told["refused"][0]
    done = run(shipped, deploy, folder, BILLING_SUSPEND_AFTER_HOURS="96")
    assert done.exit_code == 1
    assert "`suspension_brake` would trip: 3 accounts" in done.output
    done = run(shipped, deploy, folder, "--force", BILLING_SUSPEND_AFTER_HOURS="96")
    assert done.exit_code == 0, done.output
    assert "forced although it would trip suspension_brake" in shipped.audit_of(None)[-1]["because"]


def test_rollback_puts_the_policy_before_in_force_again(shipped: Deployment, folder: Path) -> None:
    assert run(shipped, deploy, SHIPPED_POLICY, BILLING_RETENTION_DAYS="30").exit_code == 0
    second = in_force(shipped)
    assert second != shipped.policy.digest
    done = run(shipped, rollback, "--note", "too long")
    assert done.exit_code == 0, done.output
    assert in_force(shipped) == shipped.policy.digest
    shown = run(shipped, history).output.splitlines()
    assert shown[0].startswith(f"* {shipped.policy.digest[:12]}")
    assert "rollback: too long" in shown[0]
    assert str(second)[:12] in shown[1]
    told = json.loads(run(shipped, history, "--format", "json").output)
    assert [(each["digest"], each["inForce"]) for each in told] == [(shipped.policy.digest, True), (second, False)]
    assert run(shipped, rollback, "no-such").exit_code == 2


def test_switch_under_running_decisions_is_taken_up_by_all_of_them(shipped: Deployment, folder: Path) -> None:
    accounts = [shipped.late(hours=1) for _ in range(20)]
    stop = time.monotonic() + 20

    def decide() -> None:
        while in_force(shipped) == shipped.policy.digest and time.monotonic() < stop:
            shipped.record(*accounts)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(decide) for _ in range(2)]
        done = run(shipped, deploy, SHIPPED_POLICY, BILLING_RETENTION_DAYS="30")
        assert [each.result() for each in running] == [None, None]
    assert done.exit_code == 0, done.output
    shipped.record(*accounts)  # by a process that still holds the policy before in its memory
    assert {shipped.row(account)["policy_digest"] for account in accounts} == {in_force(shipped)}


def test_state_that_is_gone_is_mapped_or_the_deploy_is_refused(shipped: Deployment, folder: Path) -> None:
    without_scenarios(folder)
    for file in folder.glob("*.yaml"):
        written = file.read_text(encoding="utf-8")
        file.write_text(written.replace("abuse.restricted", "abuse.limited"), encoding="utf-8")
    abuse = folder / "abuse.yaml"
    abuse.write_text(abuse.read_text("utf-8").replace("restricted", "limited"), encoding="utf-8")
    change(folder, "gates.yaml", "[clear, restricted, stopped]", "[clear, limited, stopped]")
    account = shipped.account(states={"abuse": "restricted"}, episodes='{"billing": 0, "ended": 0, "abuse": 1}')
    done = run(shipped, deploy, folder)
    assert done.exit_code == 1, done.output
    assert f"account {account}: machine `abuse` has no state `restricted`" in done.output
    assert in_force(shipped) == shipped.policy.digest
    done = run(shipped, deploy, folder, "--map", "abuse.restricted=limited")
    assert done.exit_code == 0, (done.output, done.exception)
    assert shipped.row(account)["states"]["abuse"] == "limited"
    assert ("map_state", "restricted", "limited") in [
        (row["action"], row["from"], row["to"]) for row in shipped.audit_of(account)
    ]
    assert run(shipped, deploy, folder, "--map", "abuse.nowhere=elsewhere").exit_code == 2
