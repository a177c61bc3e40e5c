"""What running needs beside accounts: who leads, who lives, which policy is in force, what people are told."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Interval,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import EMPTY_OBJECT, NEW_ID, NOW, instant, metadata, required

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text),
    required("token", BigInteger, server_default=text("0")),  # grows with each holder: the fence
    instant("expires_at"),  # real time
    instant("worked_at"),  # real time: when its holder last did all that it leads for
)

wakeups = Table(
    "wakeups",
    metadata,
    Column("name", Text, primary_key=True),
    required("requested", BigInteger, server_default=text("0")),
    required("done", BigInteger, server_default=text("0")),
    required("report", JSONB, server_default=EMPTY_OBJECT),
)

policies = Table(
    "policies",
    metadata,
    Column("digest", Text, primary_key=True),
    required("texts", JSONB),  # file -> text
    required("env", JSONB),  # overrides that were resolved into it
    instant("deployed_at", nullable=False, server_default=NOW),
    required("deployed_by"),
    required("note", server_default=""),
)

policy_in_force = Table(
    "policy_in_force",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("digest", Text, ForeignKey("policies.digest")),  # null: none was deployed yet
    required("epoch", BigInteger, server_default=text("0")),  # grows when every account has to be decided anew
    instant("since", nullable=False, server_default=NOW),
    CheckConstraint("single", name="single"),
)

processes = Table(
    "processes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),  # also the number of its liveness lock
    required("role"),
    required("pid", Integer),
    required("version"),
    Column("policy_digest", Text),
    instant("started_at", nullable=False, server_default=NOW),
    instant("seen_at", nullable=False, server_default=NOW),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("kind"),
    required("text"),
    Column("account_id", Uuid),
    Column("key", Text, unique=True),  # the same key is told once; null: each is told
    instant("created_at", nullable=False, server_default=NOW),
    instant("sent_at"),
    required("tries", Integer, server_default=text("0")),
    instant("not_before"),  # real time
    Column("outcome", Text),
    Index("alerts_unsent", "id", postgresql_where=text("sent_at IS NULL")),
)

announcements = Table(
    "announcements",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("title"),
    required("text"),
    instant("starts_at", nullable=False, server_default=NOW),
    instant("ends_at"),
    required("by", server_default=""),
)

repair_events = Table(
    "repair_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("server_id", Uuid, ForeignKey("servers.id")),
    required("repair"),  # the line
    Column("intent", Text),
    Column("level", Integer),  # null: always
    required("outcome"),  # see storage.repairs
    required("reason", server_default=""),
    instant("at", nullable=False),
    Column("intent_id", Uuid),  # of what was asked for
    required("unsettled", Boolean, server_default=text("false")),  # asked for, and the intent has not ended
    Index("repair_events_server_id", "server_id", "repair", "at"),
    Index("repair_events_at", "at"),
    Index("repair_events_unsettled", "intent_id", postgresql_where=text("unsettled")),
)

observations = Table(
    "observations",
    metadata,
    Column("server_id", Uuid, ForeignKey("servers.id"), primary_key=True),
    Column("repair", Text, primary_key=True),  # the line that holds
    required("count", Integer, server_default=text("1")),  # how often in a row
    instant("since", nullable=False, server_default=NOW),
    Column("told", Text),  # the outcome of the last event that this standing led to
)

edges = Table(
    "edges",
    metadata,
    Column("server_id", Uuid, ForeignKey("servers.id"), primary_key=True),
    required("label", unique=True),  # never given to another server, so that no name leads to a stranger
    required("wanted", Boolean, server_default=text("true")),  # false: its owner has deleted the server
    Column("address", Text),  # where it was said to be when it was last published
    Column("port", Integer),
    instant("published_at"),
    instant("withdrawn_at"),
    instant("held_at"),  # since when it leads to the hold page, as the policy has chosen for what is suspended
    Column("state", Text),  # what was shown last; null: never looked at
    required("looks", Integer, server_default=text("0")),  # how many looks in a row showed it
    instant("seen_at"),  # of the first of them
    CheckConstraint(
        "state IN ('present', 'missing', 'dns_missing', 'proxy_missing', 'taken', 'unknown')", name="state"
    ),
)

clock = Table(
    "clock",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    required("offset_by", Interval, server_default=text("'0'::interval")),  # moved by the test clock alone
    instant("seen_at"),  # how far time had come when the controller last looked
    CheckConstraint("single", name="single"),
)
