"""Reads what an invoice is computed from: organisations' tenants, what switched them, and what they used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from engine.invoicing.days import Days
from engine.invoicing.metered import Switch, Tenant, Usage, UsageKind
from storage.database import raw

LIFECYCLE: Final = """
SELECT c.customer_id, c.server_id, c.tenant, c.at, d.at FROM tenant_billing_lifecycle c
LEFT JOIN tenant_billing_lifecycle d ON d.server_id = c.server_id AND d.event = 'deleted'
WHERE c.customer_id = ANY(%(customers)s) AND c.event = 'created' AND c.at < %(end)s
AND (d.at IS NULL OR d.at >= %(start)s OR EXISTS (SELECT FROM tenant_usage u WHERE u.server_id = c.server_id
AND u.customer_id = c.customer_id AND u.charged_on BETWEEN %(first)s AND %(last)s)) ORDER BY c.tenant
"""
SUSPENSIONS: Final = """
SELECT server_id, at, event = 'suspended' FROM tenant_suspension_events
WHERE customer_id = ANY(%(customers)s) AND at < %(end)s ORDER BY at, id
"""
# Of what was before the period, how it stood when the period began is all that counts. One row a skill: each would
# cost more to hand over than all of them to compute with.
SKILLS: Final = """
SELECT server_id, skill, array_agg(at ORDER BY at, id), array_agg(event = 'enabled' ORDER BY at, id) FROM (
    (SELECT DISTINCT ON (server_id, skill) server_id, skill, at, event, id FROM tenant_skill_events
     WHERE customer_id = ANY(%(customers)s) AND at < %(start)s ORDER BY server_id, skill, at DESC, id DESC)
    UNION ALL
    SELECT server_id, skill, at, event, id FROM tenant_skill_events
    WHERE customer_id = ANY(%(customers)s) AND at >= %(start)s AND at < %(end)s
) events GROUP BY server_id, skill
"""
USAGE: Final = """
SELECT server_id, kind, used_on, quantity, charged_on IS NOT NULL FROM tenant_usage
WHERE customer_id = ANY(%(customers)s) AND used_on BETWEEN %(first)s AND %(last)s AND charged_on IS NULL
OR customer_id = ANY(%(customers)s) AND charged_on BETWEEN %(first)s AND %(last)s ORDER BY used_on, id
"""


def tenants_of(conn: Connection, customer_ids: Sequence[UUID], days: Days) -> dict[UUID, list[Tenant]]:
    """Return the tenants of organisations of one zone that lived at any time in the period, by name."""
    given: dict[str, Any] = {
        "customers": list(customer_ids),
        "start": days.bounds[0],
        "end": days.bounds[-1],
        "first": days.first_on,
        "last": days.last_on,
    }
    pg = raw(conn)
    with pg.pipeline():
        lives, stops, skills, usage = (pg.execute(query, given) for query in (LIFECYCLE, SUSPENSIONS, SKILLS, USAGE))
    stopped: dict[UUID, list[Switch]] = {}
    for server_id, at, on in stops.fetchall():
        stopped.setdefault(server_id, []).append(Switch(at, on))
    switched: dict[UUID, dict[str, list[Switch]]] = {}
    for server_id, skill, ats, ons in skills.fetchall():
        switched.setdefault(server_id, {})[skill] = list(map(Switch, ats, ons))
    used: dict[UUID, list[Usage]] = {}
    late: dict[UUID, list[Usage]] = {}
    for server_id, kind, used_on, quantity, is_late in usage.fetchall():
        (late if is_late else used).setdefault(server_id, []).append(Usage(UsageKind(kind), used_on, quantity))
    found: dict[UUID, list[Tenant]] = {customer: [] for customer in customer_ids}
    for customer, key, name, created, deleted in lives.fetchall():
        more = (stopped.get(key, ()), switched.get(key, {}), used.get(key, ()), late.get(key, ()))
        found[customer].append(Tenant(name, created, deleted, *more))
    return found
