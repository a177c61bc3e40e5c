"""What carries each intent out: one module a noun.

Each action asks again under lock right before it acts, may be repeated, and tells honestly how it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from jobs.actions import backups, delete, destroy, edge, enforcement, locks, power, provision
from jobs.actions.notices import send_notice
from jobs.context import Context
from storage.intents import Claim, Outcome

Action = Callable[[Context, Claim], Outcome]

# By the intent's name in the policy. `delete_suspended_server` and `wipe_server_data` are missing on purpose: they are
# known only to be refused.
ACTIONS: Final[Mapping[str, Action]] = {
    "send_billing_warning": send_notice,
    "send_final_warning": send_notice,
    "send_suspended_notice": send_notice,
    "send_restored_notice": send_notice,
    "send_retention_warning": send_notice,
    "send_subscription_ended_notice": send_notice,
    "send_dispute_notice": send_notice,
    "send_dispute_lost_notice": send_notice,
    "send_dispute_stopped_notice": send_notice,
    "send_dispute_settled_notice": send_notice,
    "send_trial_ending_notice": send_notice,
    "send_confirmation_notice": send_notice,
    "send_hold_changed_notice": send_notice,
    "send_deletion_notice": send_notice,
    "send_deletion_ended_notice": send_notice,
    "block_backups": enforcement.block_backups,
    "suspend_customer_servers": enforcement.suspend_customer_servers,
    "shutdown_suspended_server": enforcement.shutdown_suspended_server,
    "mark_server_retained": enforcement.mark_server_retained,
    "restore_access": enforcement.restore_access,
    "disable_autostart": enforcement.disable_autostart,
    "make_final_backups": destroy.make_final_backups,
    "destroy_servers": destroy.destroy_servers,
    "spare_servers": destroy.spare_servers,
    "clear_stale_operation_lock": locks.clear_stale_operation_lock,
    "provision_server": provision.provision_server,
    "delete_server": delete.delete_server,
    "clean_up_server": delete.clean_up_server,
    "start_server": power.start_server,
    "restart_server": power.restart_server,
    "stop_server": power.stop_server,
    "force_stop_server": power.force_stop_server,
    "edge_republish": edge.edge_republish,
    "dns_republish": edge.dns_republish,
    "velocity_reregister": edge.velocity_reregister,
    "withdraw_edge": edge.withdraw_edge,
    "move_edge_to_hold_page": edge.move_edge_to_hold_page,
    "create_backup": backups.create_backup,
    "restore_backup": backups.restore_backup,
    "reinstall_server": backups.reinstall_server,
    "delete_backup": backups.delete_backup,
    "prune_backups": backups.prune_backups,
}
