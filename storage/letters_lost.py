"""Letters that belong to no account, and posts beside mail, which may not have arrived: for a person to know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

# What is being sent for so long was sent by a process that died: nobody knows whether it arrived.
LOST: str = """
SELECT split_part(key, ':', 1), to_email, created_at, outcome FROM letters
WHERE sent_at IS NOT NULL AND created_at > now() - interval '30 days'
  AND outcome NOT LIKE 'smtp 2%' AND outcome NOT LIKE 'maildir %'
  AND NOT (outcome = 'being sent' AND sent_at > clock_timestamp() - interval '10 minutes')
UNION ALL
SELECT p.kind, c.email, p.created_at, 'posted beside mail: ' || p.outcome
FROM hook_posts p JOIN customers c ON c.id = p.customer_id
WHERE p.sent_at IS NOT NULL AND p.created_at > now() - interval '30 days'
  AND p.outcome NOT LIKE 'told, %' AND p.outcome NOT LIKE 'not posted: %'
  AND NOT (p.outcome = 'being sent' AND p.sent_at > clock_timestamp() - interval '10 minutes')
ORDER BY 3 DESC LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """One that may not have arrived, and will not be sent again by itself."""

    kind: str
    to: str
    created_at: datetime
    outcome: str


def lost(conn: Connection, limit: int = 50) -> list[Lost]:
    """Return what may not have arrived within the last 30 days, newest first."""
    return [Lost(*row) for row in conn.execute(text(LOST), {"limit": limit})]
