"""Publishing a server and taking it back: what is told to names and proxy, and written down.

INVARIANT: a server that billing has stopped is not published, and one that its owner has deleted never again. Billing
takes nothing back: what leads to a suspended server is left as it is, or leads to the hold page until it is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection

from engine.model import STOPPED_BILLING_STATES
from jobs.edge.base import Driver, EdgeError, EdgeMisconfigured, Entry
from jobs.edge.labels import label_of
from jobs.logs import say
from storage import edge as rows
from storage import policies, servers
from storage.intents_ask import ask_server

if TYPE_CHECKING:
    from jobs.context import Context
    from storage.servers import Server

log = logging.getLogger(__name__)


def publish(context: Context, server: Server) -> bool:
    """Publish a server's edge; tell whether all of it stands. For the `edge` phase of a server that is being made.

    Does nothing where there is no edge, or while billing stops the server. When a name server or proxy refuses, that is
    no fault of the server: a worker is asked to try again (`edge_republish`), and nothing is raised.
    """
    try:
        return put_up(context, server, context.edge.drivers)
    except EdgeError as error:
        say(log, logging.WARNING, "the edge is not published yet, trying again", server=server.id, reason=error)
        _ask(context, server, "edge_republish", str(error))
        return False


def catch_up(context: Context, server: Server) -> bool:
    """Publish a server that was made while billing stopped it, now that it is given back; tell whether that was so.

    So is one that leads to the hold page. Any other that was published before is left to repairs: what leads to it was
    never taken back.
    """
    with context.database.begin() as conn:
        row = rows.get(conn, server.id)
    if row is not None and not row.wanted:
        return False
    is_held = row is not None and row.held_at is not None
    if not is_held and (server.lifecycle not in rows.LIVING or (row is not None and row.published_at is not None)):
        return False
    return publish(context, server)


def hold(context: Context, server: Server) -> bool:
    """Let what leads to a server that billing has stopped lead to the hold page; tell whether it does.

    Nothing is made that did not stand, and nothing is removed. Raises EdgeError.
    """
    page = context.edge.hold
    if page is None:
        if not context.edge.leads_people:
            return False
        raise EdgeMisconfigured("hold", "the edge file says nothing under `hold`, where the page answers")
    if server.server_billing_state not in STOPPED_BILLING_STATES:
        return False
    # written down first: whoever gives the server back from here on sees that it has to be moved back
    row = context.database.transact(f"server `{server.id}`", lambda conn: rows.hold(conn, server.id))
    if row is None:
        return False
    service = context.edge.services.get(server.kind, "")
    refused = _tell(
        context.edge.drivers, Entry(str(server.id), row.label, page.address, page.port if row.port else 0, service)
    )
    with context.database.begin() as conn:
        after, now = rows.get(conn, server.id), servers.get(conn, server.id)
    if after is not None and not after.wanted:
        withdraw(context, server)  # deleted by its owner in the meantime
        return False
    if now.server_billing_state not in STOPPED_BILLING_STATES:
        publish(context, now)  # given back in the meantime: whoever did so may have been overtaken
        return False
    if refused:
        raise refused[0]
    return True


def withdraw(context: Context, server: Server) -> bool:
    """Take a server's edge back for good; tell whether nothing of ours stands any more. For a deletion by its owner.

    When a name server or proxy refuses, a worker is asked to try again (`withdraw_edge`), and nothing is raised. The
    label stays the server's: it is never given to another one.
    """
    context.database.transact(f"server `{server.id}`", lambda conn: rows.unwant(conn, server.id))
    try:
        return take_down(context, server)
    except EdgeError as error:
        say(log, logging.WARNING, "the edge is not withdrawn yet, trying again", server=server.id, reason=error)
        _ask(context, server, "withdraw_edge", str(error))
        return False


def put_up(context: Context, server: Server, drivers: Sequence[Driver]) -> bool:
    """Publish a server with these drivers; False when it is not to be published. Raises EdgeError.

    One driver that refuses does not keep the others from being told.
    """
    if not drivers or server.server_billing_state in STOPPED_BILLING_STATES:
        return False
    entry = _entry(context, server)
    if entry is None:
        return False
    refused = _tell(drivers, entry)
    with context.database.begin() as conn:
        row, now = rows.get(conn, server.id), servers.get(conn, server.id)
    if row is not None and row.held_at is not None and now.server_billing_state in STOPPED_BILLING_STATES:
        hold(context, now)  # suspended and moved while the drivers were told: either sees the other, as below
        return False
    if row is not None and not row.wanted:
        # Its owner has deleted it while the drivers were told: whatever was taken back before stands again. Either the
        # deletion sees what was published, or this sees the deletion.
        withdraw(context, server)
        return False
    if refused:
        raise refused[0]
    with context.database.begin() as conn:
        rows.note_published(conn, server.id, entry.address, entry.port)
    return True


def _tell(drivers: Sequence[Driver], entry: Entry) -> list[EdgeError]:
    """Let each driver publish an entry; return why some did not."""
    refused: list[EdgeError] = []
    for driver in drivers:
        try:
            driver.publish(entry)
        except EdgeError as error:
            refused.append(error)
    return refused


def take_down(context: Context, server: Server) -> bool:
    """Take back what stands of a server that is wanted no more; False when it is still wanted. Raises EdgeError."""
    with context.database.begin() as conn:
        row = rows.get(conn, server.id)
    if row is None:
        return True
    if row.wanted:
        return False
    site = context.edge.sites.get(server.host)
    address = row.address or (site.address if site is not None else "0.0.0.0")  # noqa: S104 - nothing listens there
    service = context.edge.services.get(server.kind, "")
    entry = Entry(str(server.id), row.label, address, row.port or 0, service)
    for driver in context.edge.drivers:
        driver.withdraw(entry)
    with context.database.begin() as conn:
        rows.note_withdrawn(conn, server.id)
    return True


def _entry(context: Context, server: Server) -> Entry | None:
    """Return where a server is found, under the label that is its own.

    `None` when it is wanted no more, or when nothing says where its host is.
    """
    if server.host not in context.edge.sites:
        return None
    label = context.database.transact(f"server `{server.id}`", lambda conn: labelled(conn, server))
    if label is None:
        return None
    port = context.edge.port_of(server.port, server.published_port)
    return context.edge.entry(str(server.id), server.kind, server.host, port, label)


def labelled(conn: Connection, server: Server | rows.Watched) -> str | None:
    """Return the server's label, claiming one for a server that has none; `None` when it is wanted no more."""
    server_id = str(server.id)
    label = rows.claim_label(conn, server.id, label_of(server.name, server_id), label_of(server.name, server_id, 22))
    row = rows.get(conn, server.id)
    return label if row is not None and row.wanted else None


def tell_again(
    conn: Connection, context: Context, server_id: UUID, because: str, action: str = "edge_republish"
) -> None:
    """Ask a worker to tell names and proxy about a server again."""
    policy = policies.in_force(conn)
    if action in policy.intents:  # a policy that was deployed before there were edges has none of these
        ask_server(conn, policy, server_id, action, actor="worker", because=because, world=context.world)


def _ask(context: Context, server: Server, action: str, because: str) -> None:
    def work(conn: Connection) -> None:
        tell_again(conn, context, server.id, because, action)

    context.database.transact(f"server `{server.id}`", work)
