"""The mirror of disputes, and what of an account follows from them. Pure; rules as in `storage.stripe.evidence_mirror`.

A dispute is lifted by its own cure: it is won or withdrawn, an invoice that names it is paid, or a person forgives it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from engine.model import Standing as StandingPolicy
from engine.model import Value
from storage.stripe.event_disputes import DISPUTE_RANKS, DisputeSeen
from storage.stripe.evidence_mirror import InvoiceRow, Sighting

DISPUTE_COLUMNS: Final = (
    ("id", "text"), ("account_id", "uuid"), ("stripe_charge_id", "text"), ("status", "text"),
    ("amount_cents", "bigint"), ("currency", "text"), ("reason", "text"), ("opened_at", "timestamptz"),
    ("lost_at", "timestamptz"), ("respond_by", "timestamptz"), ("evidence_at", "timestamptz"),
    ("evidence_event_id", "text"),
)  # fmt: skip
DISPUTE_VALUES: Final = attrgetter(*(name for name, _ in DISPUTE_COLUMNS))
_NAMES: Final = ", ".join(name for name, _ in DISPUTE_COLUMNS)
READ_DISPUTES: Final = f"SELECT {_NAMES}, settled_at FROM disputes WHERE account_id = ANY(%(accounts)s)"
WRITE_DISPUTES: Final = f"""
INSERT INTO disputes ({_NAMES})
SELECT * FROM unnest({", ".join(f"%({name})s::{kind}[]" for name, kind in DISPUTE_COLUMNS)}) AS n({_NAMES})
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name, _ in DISPUTE_COLUMNS[2:])}
WHERE disputes.account_id = excluded.account_id
"""


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """One row of `disputes`; field by field as in `storage.tables`."""

    id: str
    account_id: uuid.UUID
    stripe_charge_id: str | None
    status: str
    amount_cents: int
    currency: str | None
    reason: str | None
    opened_at: datetime
    lost_at: datetime | None
    respond_by: datetime | None
    evidence_at: datetime
    evidence_event_id: str
    settled_at: datetime | None = None


def fold_dispute(row: DisputeRow | None, sighting: Sighting) -> DisputeRow:
    """Return the row after one more sighting; `row` None: it was never seen."""
    dispute = sighting.subject
    assert isinstance(dispute, DisputeSeen)
    fresh = DisputeRow(
        id=dispute.id,
        account_id=row.account_id if row else sighting.account_id,
        stripe_charge_id=dispute.charge_id,
        status=dispute.status,
        amount_cents=dispute.amount_cents,
        currency=dispute.currency,
        reason=dispute.reason,
        opened_at=dispute.opened_at or sighting.at,
        lost_at=sighting.at if dispute.status == "lost" else None,
        respond_by=dispute.respond_by,
        evidence_at=sighting.at,
        evidence_event_id=sighting.event_id,
    )
    if row is None:
        return fresh
    newest = fresh if _order(fresh) > _order(row) else row
    lost = [at for at in (row.lost_at, fresh.lost_at) if at is not None]
    return replace(
        newest,
        opened_at=min(row.opened_at, fresh.opened_at),
        lost_at=min(lost, default=None),
        settled_at=row.settled_at,
    )


def _order(row: DisputeRow) -> tuple[datetime, int, str]:
    return row.evidence_at, DISPUTE_RANKS[row.status], row.evidence_event_id


def dispute_facts(
    policy: StandingPolicy, disputes: Iterable[DisputeRow], invoices: Iterable[InvoiceRow]
) -> Mapping[str, Value]:
    """Return the facts that the disputes of one account make; none where nothing is disputed."""
    paid = {each.settles_dispute for each in invoices if each.settles_dispute and each.status == "paid"}
    unsettled = [each for each in disputes if each.settled_at is None and each.id not in paid]
    undecided = [each for each in unsettled if each.status in policy.open_dispute_statuses]
    lost = [each for each in unsettled if each.status in policy.lost_dispute_statuses]
    if not undecided and not lost:
        return {}
    return {
        "open_disputes": len(undecided),
        "lost_disputes": len(lost),
        "disputed_since": min(each.opened_at for each in (*undecided, *lost)),
        # A policy may count other statuses as lost than the one that has an instant of its own.
        "dispute_lost_at": min((each.lost_at or each.evidence_at for each in lost), default=None),
    }
