"""Policies that break what the shipped one keeps: changes of its text, by the guarantee that each is made to break."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.load import bundle, load_texts
from engine.model import Policy

SHIPPED = Path(__file__).resolve().parents[3] / "policy"

Change = tuple[str, str, str]  # file, what is written there, what breaks the guarantee

BREAKING: dict[str, tuple[Change, ...]] = {
    "no_suspension_without_warning": (
        (
            "billing.yaml",
            "after: {past_due_since: suspend_after, final_warning_sent_at: notice_before_suspension}",
            (
                "after: {past_due_since: suspend_after, final_warning_sent_at: warning_before_final, "
                "warning_sent_at: notice_before_suspension}"
            ),
        ),
    ),
    "no_final_warning_without_a_first": (
        (
            "billing.yaml",
            "after: {past_due_since: final_warning_after, warning_sent_at: warning_before_final}",
            "after: {past_due_since: final_warning_after, warning_sent_at: warning_after}",
        ),
    ),
    "no_stop_after_the_end_without_notice": (
        (
            "ended.yaml",
            "after: {subscription_ended_at: stop_after, ended_notice_sent_at: notice_before_stop}",
            "after: {subscription_ended_at: stop_after, ended_notice_sent_at: 24h}",
        ),
        ("ended.yaml", "after: {ended_stopped_at: keep_stopped}", "after: {ended_stopped_at: notice_before_stop}"),
        ("ended.yaml", "  keep_stopped:       {default: 72h}\n", ""),
    ),
    "no_stop_for_a_dispute_without_warning": (
        ("dispute.yaml", "dispute_lost_told_at: notice_before_settling}", "dispute_lost_told_at: 24h}"),
        ("dispute.yaml", "{dispute_stopped_at: keep_for_settling}", "{dispute_stopped_at: notice_before_settling}"),
        ("dispute.yaml", "  keep_for_settling:         {default: 72h}\n", ""),
    ),
    "an_open_dispute_stops_nothing": (
        ("dispute.yaml", "    to: lost\n    when: charged_back", "    to: lost\n    when: disputed"),
        ("dispute.yaml", "    to: stopped\n    when: charged_back", "    to: stopped\n    when: disputed"),
        ("dispute.yaml", "    when: {not: charged_back}", "    when: {not: disputed}"),
    ),
    "settling_wins": (
        (
            "dispute.yaml",
            "    when: {not: charged_back}",
            "    when: {all: [{not: charged_back}, {fact: open_disputes, gt: 0}]}",
        ),
    ),
    "lost_disputes_get_to_an_end": (
        ("intents.yaml", "wanted_in: [dispute.opened, dispute.restricted]", "wanted_in: [dispute.restricted]"),
    ),
    "nothing_owed_no_pressure": (
        (
            "billing.yaml",
            "{id: late, from: active, to: past_due, when: owing}",
            "{id: late, from: active, to: past_due, when: {any: [owing, {fact: exempt, eq: true}]}}",
        ),
        (
            "billing.yaml",
            "    when: nothing_owed\n  - id: paid\n",
            "    when: {all: [nothing_owed, {fact: exempt, eq: false}]}\n  - id: paid\n",
        ),
    ),
    "payment_wins": (
        (
            "billing.yaml",
            "    when: nothing_owed\n    do: [{restore_access",
            "    when: {all: [nothing_owed, {fact: subscription, ne: canceled}]}\n    do: [{restore_access",
        ),
    ),
    "debts_get_to_an_end": (("intents.yaml", "wanted_in: [past_due, overdue_warning]", "wanted_in: [past_due]"),),
    "plans_get_to_an_end": (("intents.yaml", "wanted_in: [ended.ended]", "wanted_in: [ended.stopped]"),),
    "suspended_never_runs": (("repairs.yaml", "do: shutdown_suspended_server, level: always", "do: nothing"),),
    "one_notice_per_round": (
        (
            "billing.yaml",
            "do: [{mark_server_retained: each server}]",
            "do: [{mark_server_retained: each server}, send_suspended_notice]",
        ),
    ),
    "billing_destroys_nothing": (
        (
            "abuse.yaml",
            "{shutdown_suspended_server: each server}]",
            "{shutdown_suspended_server: each server}, {prune_backups: each server}]",
        ),
    ),
    "deletion_is_only_asked_for_after_retention": (
        (
            "billing.yaml",
            "after: {retention_until: 0h, retention_warned_at: retention_notice}",
            "after: {suspended_at: 0h, retention_warned_at: retention_notice}",
        ),
        ("billing.yaml", "before: {retention_until: retention_notice}", "before: {retention_until: 10d}"),
    ),
    "nothing_is_destroyed_unannounced": (("deletion.yaml", ", final_backups_made_at: 0h}", "}"),),
    "destruction_is_only_for_a_debt": (
        ("deletion.yaml", "when: {fact: billing_rung, eq: retained}", "when: {fact: billing_rung, eq: suspended}"),
        ("deletion.yaml", "when: {not: requested}", "when: {fact: billing_rung, eq: active}"),
        (
            "deletion.yaml",
            "when: requested\n    after: {deletion_notice_sent_at: cooling_off, final",
            "when: owing\n    after: {deletion_notice_sent_at: cooling_off, final",
        ),
    ),
    "payment_ends_a_deletion": (
        ("deletion.yaml", "from: [approved, destroying, destroyed]", "from: [approved, destroyed]"),
    ),
    "few_are_suspended_at_once": (("permits.yaml", "share: 2%", "share: 3%"),),
    "few_servers_are_repaired_at_once": (("repairs.yaml", "per: 10m", "per: 9m"),),
    "what_intents_can_do": (
        (
            "intents.yaml",
            "delete_backup:              {kind: command, per: server, destructive: true",
            "delete_backup:              {kind: command, per: server",
        ),
    ),
    "alerts_reach_whom_they_should": (
        ("alerts.yaml", "audit_broken:             alerts-critical", "audit_broken: audit-log"),
    ),
    "repairs_are_careful": (("repairs.yaml", "agreeing_observations: 3", "agreeing_observations: 2"),),
    "evidence_is_read_as_agreed": (
        ("standing.yaml", "[past_due, unpaid]               #", "[past_due, unpaid, trialing] #"),
    ),
}


@cache
def mutated(*changes: Change) -> Policy:
    """Return the shipped policy with texts replaced; each must stand there exactly once."""
    texts = bundle(SHIPPED)
    for file, old, new in changes:
        assert texts[file].count(old) == 1, f"{file} holds {texts[file].count(old)} times: {old}"
        texts[file] = texts[file].replace(old, new)
    return load_texts(texts)


def promising(text: str) -> Change:
    """Return the change by which the policy promises this too, under the name `promised`."""
    before = "one_notice_per_round:\n"
    return ("guarantees.yaml", before, f"promised:\n  says: This is kept.\n{text}\n\n{before}")


# what is easily overlooked: other machines' stamps, what a void promise asks for, what is known at a delivery
SUBTLE: dict[str, tuple[Change, ...]] = {
    "another machine's stamp is read": (
        (
            "billing.yaml",
            "  - id: retain\n",
            (
                "  - id: suspend_at_once\n    from: final_warning\n    to: suspended\n    needs: suspending\n"
                "    when: {all: [owing, {fact: ended_stopped_at, is_null: false}]}\n"
                "    after: {final_warning_sent_at: 1h}\n"
                "    do: [suspend_customer_servers, {shutdown_suspended_server: each server}, send_suspended_notice]\n"
                "  - id: retain\n"
            ),
        ),
        promising("  never: {enter: billing.suspended}\n  without: [{delivered: send_final_warning, at_least: 2h}]"),
    ),
    "a void promise asks for a notice": (promising("  never: {do: send_hold_changed_notice}"),),
    "a promise that is made again asks for its notice": (
        promising("  never: {do: send_final_warning}\n  while: owing\n  without: [{event: abuse_reported}]"),
    ),
    "something is known at a delivery": (promising("  never: {delivered: send_retention_warning}\n  while: owing"),),
    "a command comes before relief below it": (
        (
            "billing.yaml",
            "  - id: paid_early ",
            (
                "  - {id: withdrawn_first, from: pending_deletion, to: retained, "
                "event: deletion_withdrawn, by: admin}\n"
                "  - id: paid_early "
            ),
        ),
        (
            "billing.yaml",
            (
                "  - {id: deletion_withdrawn, from: pending_deletion, to: retained, event: deletion_withdrawn, "
                "by: admin}\n"
            ),
            "",
        ),
        promising("  never: {rule: billing.withdrawn_first}\n  while: nothing_owed"),
    ),
    "an instant of evidence must have passed": (
        promising("  never: {enter: billing.past_due}\n  elapsed: [past_due_since]"),
    ),
}
MUTANTS = BREAKING | SUBTLE

# whatever happens to accounts under these must have been explored, though nothing breaks
HARMLESS: dict[str, tuple[Change, ...]] = {
    "no hold voids a promise, later evidence does": (
        ("billing.yaml", "every_pressure: [no_hold, clock_sane]", "every_pressure: [clock_sane]"),
    ),
}
