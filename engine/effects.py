"""The intents that this version can carry out; each has an action in `jobs`. A policy may ask for no others."""

from __future__ import annotations

from typing import Final

CREDIT_NOTE: Final = "send_credit_note"
"""The letter that takes a credit note to its customer: asked for when one is issued, by no rule."""
IMPLEMENTED = frozenset(
    {
        "block_backups",
        "clean_up_server",
        "clear_stale_operation_lock",
        "create_backup",
        "delete_backup",
        "delete_server",
        "destroy_servers",
        "disable_autostart",
        "dns_republish",
        "edge_republish",
        "force_stop_server",
        "make_final_backups",
        "mark_server_retained",
        "provision_server",
        "move_edge_to_hold_page",
        "prune_backups",
        "reinstall_server",
        "restart_server",
        "restore_access",
        "restore_backup",
        "send_billing_warning",
        "send_confirmation_notice",
        CREDIT_NOTE,
        "send_deletion_ended_notice",
        "send_deletion_notice",
        "send_dispute_lost_notice",
        "send_dispute_notice",
        "send_dispute_settled_notice",
        "send_dispute_stopped_notice",
        "send_final_reminder",
        "send_final_warning",
        "send_first_reminder",
        "send_hold_changed_notice",
        "send_invoice",
        "send_restored_notice",
        "send_retention_warning",
        "send_second_reminder",
        "send_subscription_ended_notice",
        "send_suspended_notice",
        "send_trial_ending_notice",
        "shutdown_suspended_server",
        "spare_servers",
        "start_server",
        "stop_server",
        "suspend_customer_servers",
        "velocity_reregister",
        "withdraw_edge",
    }
)
