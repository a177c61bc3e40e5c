"""Policies in force: one digest for every process, overrides resolved at the deploy, every account decided again."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from engine.faults import PolicyFaults
from engine.load import bundle, load_policy, load_texts
from engine.model import Policy
from storage import clock, ledger, policies
from storage.errors import NoPolicy, PolicyMoved, StateVanished
from storage.settings import SHIPPED_POLICY
from tests.storage.deployment import Deployment


def deploy(deployment: Deployment, folder: Path, **env: str) -> tuple[Policy, bool]:
    """Deploy a folder."""
    return policies.deploy_folder(deployment.url, folder, env, "ada", note="why not")


SHIPPED_TEXTS = bundle(SHIPPED_POLICY)


def change(folder: Path, file: str, old: str, new: str) -> None:
    """Change one text of a policy."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def stale(deployment: Deployment) -> set[UUID]:
    """Return the accounts that wait to be decided."""
    with deployment.begin() as conn:
        return set(ledger.due(conn, clock.now(conn), 1000))


def test_nothing_is_in_force_before_the_first_deploy(deployment: Deployment) -> None:
    with deployment.begin() as conn, pytest.raises(NoPolicy, match="forbear policy deploy"):
        policies.in_force(conn)


def test_deployed_policy_decides_with_its_overrides_resolved(deployment: Deployment) -> None:
    policy, changed = deploy(deployment, SHIPPED_POLICY, BILLING_SUSPEND_AFTER_HOURS="96", UNRELATED="x")
    assert changed
    with deployment.begin() as conn:
        kept = policies.in_force(conn)
        (deployed,) = policies.history(conn)
    assert kept.digest == policy.digest == deployed.digest
    assert kept.machines["billing"].settings["suspend_after"].value.total_seconds() == 96 * 3600
    assert deployed.env == {"BILLING_SUSPEND_AFTER_HOURS": "96"}
    (row,) = deployment.audit_of(None)
    assert (row["kind"], row["actor"], row["to"]) == ("policy", "ada", policy.digest)


def test_another_process_reads_the_same_policy_out_of_the_database(deployment: Deployment) -> None:
    policy, _ = deploy(deployment, SHIPPED_POLICY, BILLING_RETENTION_DAYS="30")
    policies.forget()
    with deployment.begin() as conn:
        read = policies.in_force(conn)
        assert policies.in_force(conn) is read
    assert read.digest == policy.digest
    assert read.machines["billing"].settings["retention"].value.days == 30


def test_same_policy_again_changes_nothing(shipped: Deployment, folder: Path) -> None:
    change(folder, "billing.yaml", "# The debt ladder.", "# The ladder of debts.")
    account = shipped.account()
    shipped.record(account)
    _, changed = deploy(shipped, folder)
    assert not changed
    assert stale(shipped) == set()
    assert len(shipped.audit_of(None)) == 1


def test_every_account_is_decided_again_under_the_new_policy(shipped: Deployment, folder: Path) -> None:
    quiet, late = shipped.account(), shipped.late(hours=0)
    shipped.settle()
    shipped.record(quiet)
    before = shipped.row(late)["due_at"]
    policy, changed = deploy(
        shipped, folder, BILLING_FINAL_WARNING_AFTER_HOURS="90", BILLING_BACKUP_BLOCK_AFTER_HOURS="90"
    )
    assert changed
    assert stale(shipped) == {quiet, late}
    shipped.sweep()
    assert stale(shipped) == set()
    assert {shipped.row(account)["policy_digest"] for account in (quiet, late)} == {policy.digest}
    assert shipped.row(late)["due_at"] > before


def test_process_with_an_older_policy_in_memory_decides_by_the_one_in_force(shipped: Deployment, folder: Path) -> None:
    account = shipped.late(hours=1)
    change(
        folder, "billing.yaml", "warning_after:            {default: 0h,", "warning_after:            {default: 12h,"
    )
    policy, _ = deploy(shipped, folder)
    shipped.record(account)  # with the shipped one
    row = shipped.row(account)
    assert (row["billing_status"], row["policy_digest"]) == ("past_due", policy.digest)


def test_policy_with_faults_is_refused_whole(shipped: Deployment, folder: Path) -> None:
    change(folder, "billing.yaml", "from: past_due\n    to: overdue_warning", "from: past_due\n    to: overdue_waning")
    with pytest.raises(PolicyFaults, match="overdue_waning"):
        deploy(shipped, folder)
    with shipped.begin() as conn:
        assert policies.digest_in_force(conn) == shipped.policy.digest


def test_state_that_somebody_is_in_cannot_vanish(shipped: Deployment, folder: Path) -> None:
    # `clear` is where everybody rests; nobody is restricted yet, so the middle rung may go
    change(folder, "abuse.yaml", "ladder: [clear, restricted, stopped]", "ladder: [clear, limited, stopped]")
    for old in ("restricted, stopped]", "[restricted]", "to: restricted", "from: restricted"):
        change(folder, "abuse.yaml", old, old.replace("restricted", "limited"))
    rename(folder)
    account = shipped.account(states={"abuse": "restricted"})
    with pytest.raises(StateVanished, match=f"`abuse.restricted` .for one, account {account}.") as caught:
        deploy(shipped, folder)
    assert caught.value.occupied == [("abuse", "restricted", f"account {account}")]
    with shipped.begin() as conn:
        assert policies.digest_in_force(conn) == shipped.policy.digest
    shipped.rows('UPDATE accounts SET states = states || \'{"abuse": "clear"}\' RETURNING 1')
    assert deploy(shipped, folder)[1]


def test_state_that_somebody_is_in_may_vanish_where_the_policy_maps_it(shipped: Deployment, folder: Path) -> None:
    change(folder, "abuse.yaml", "ladder: [clear, restricted, stopped]", "ladder: [clear, limited, stopped]")
    for old in ("restricted, stopped]", "[restricted]", "to: restricted", "from: restricted"):
        change(folder, "abuse.yaml", old, old.replace("restricted", "limited"))
    rename(folder)
    change(folder, "abuse.yaml", "ladder:", "mapping: {restricted: limited}\nladder:")
    account = shipped.account(states={"abuse": "restricted"})
    assert deploy(shipped, folder)[1]
    assert shipped.row(account)["states"]["abuse"] == "limited"


def test_policy_is_refused_when_another_came_into_force_since_it_was_looked_at(
    shipped: Deployment, folder: Path
) -> None:
    other = load_policy(SHIPPED_POLICY, {"BILLING_WARNING_GRACE_HOURS": "12"})
    with shipped.begin() as conn:
        assert policies.deploy(conn, other, bundle(SHIPPED_POLICY), {"BILLING_WARNING_GRACE_HOURS": "12"}, "bea")
    change(folder, "billing.yaml", "{default: 0h,", "{default: 6h,")
    mine = load_policy(folder)
    with shipped.begin() as conn, pytest.raises(PolicyMoved, match="look again"):
        policies.deploy(conn, mine, bundle(folder), {}, "ada", over=shipped.policy.digest)
    with shipped.begin() as conn:
        assert policies.digest_in_force(conn) == other.digest
        assert policies.deploy(conn, mine, bundle(folder), {}, "ada", over=other.digest)


def test_policy_in_force_stays_so_when_a_newer_version_judges_it_more_strictly(
    shipped: Deployment, folder: Path
) -> None:
    change(folder, "abuse.yaml", "relief:\n", "relief:\n  - {id: again, from: [restricted, stopped], to: clear, "
           "event: abuse_cleared, by: admin}\n")  # fmt: skip
    texts = bundle(folder)
    with pytest.raises(PolicyFaults, match="M32"):
        load_texts(texts)
    lenient = load_texts(texts, judging=False)
    with shipped.begin() as conn:  # as an older version would have
        assert policies.deploy(conn, lenient, texts, {}, "ada")
    policies.forget()
    with shipped.begin() as conn:
        assert policies.in_force(conn).digest == lenient.digest


def test_policy_from_before_a_letter_had_its_words_and_its_name_stays_in_force_until_another_is(
    shipped: Deployment,
) -> None:
    texts = {name: words.replace("send_first_reminder", "send_a_reminder") for name, words in SHIPPED_TEXTS.items()}
    told = re.sub(r"(?ms)^  send_a_reminder:.*?(?=^  \w|^\w)", "", texts["notices.yaml"])
    texts["notices.yaml"] = told
    with pytest.raises(PolicyFaults) as refused:
        load_texts(texts)
    assert {fault.code for fault in refused.value.faults} == {"M353", "M370"}
    with shipped.begin() as conn:  # as an older version would have
        assert policies.deploy(conn, load_texts(texts, judging=False), texts, {}, "ada")
    policies.forget()
    with shipped.begin() as conn:
        policies.in_force(conn)
        assert policies.deploy(conn, load_texts(SHIPPED_TEXTS), SHIPPED_TEXTS, {}, "ada")


def rename(folder: Path) -> None:
    """Rename the rung wherever other files speak of it."""
    for file in folder.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"\brestricted\b", "limited", text), encoding="utf-8")
