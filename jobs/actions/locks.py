"""Clearing what keeps a server locked: an operation that took too long, and whose worker is gone."""

from __future__ import annotations

from sqlalchemy import Connection

from jobs.actions.delays import delay
from jobs.context import Context
from storage import policies, stale_locks
from storage.intents import Again, Claim, Done, Outcome


def clear_stale_operation_lock(context: Context, claim: Claim) -> Outcome:
    """End the operations of a server that no living worker works at. The lifecycle has moved on its own timer."""
    assert claim.server_id is not None, "the policy asks for this per server"
    server_id = claim.server_id

    def work(conn: Connection) -> int | None:
        policy = policies.in_force(conn)
        return stale_locks.clear(conn, policy, server_id, besides=claim.intent_id, world=context.world)

    cleared = context.database.transact(f"server `{server_id}`", work)
    if cleared is None:
        return Again(delay(claim), "a worker that lives still holds it", counts=False)
    return Done(f"{cleared} of its operations ended" if cleared else "nothing held it any more")
