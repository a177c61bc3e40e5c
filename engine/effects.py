"""The intents that this version can carry out; each has an action in `jobs`. A policy may ask for no others."""

from __future__ import annotations

IMPLEMENTED = frozenset(
    {
        "block_backups",
        "clean_up_server",
        "clear_stale_operation_lock",
        "create_backup",
        "delete_backup",
        "delete_server",
        "disable_autostart",
        "dns_republish",
        "edge_republish",
        "force_stop_server",
        "mark_server_retained",
        "provision_server",
        "move_edge_to_hold_page",
        "prune_backups",
        "reinstall_server",
        "restart_server",
        "restore_access",
        "restore_backup",
        "send_billing_warning",
        "send_dispute_lost_notice",
        "send_dispute_notice",
        "send_dispute_settled_notice",
        "send_dispute_stopped_notice",
        "send_final_warning",
        "send_hold_changed_notice",
        "send_restored_notice",
        "send_retention_warning",
        "send_subscription_ended_notice",
        "send_suspended_notice",
        "shutdown_suspended_server",
        "start_server",
        "stop_server",
        "suspend_customer_servers",
        "velocity_reregister",
        "withdraw_edge",
    }
)
