"""The mirror of Stripe and the log of its events. Instants and ids as in `storage.tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.tables.columns import EMPTY_OBJECT, NOW, instant, metadata, required

# The mirror of Stripe: written by storage.stripe.evidence alone, under the lock of the account that owns the row.
stripe_invoices = Table(
    "stripe_invoices",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's
    required("account_id", Uuid, ForeignKey("accounts.id"), index=True),
    Column("stripe_customer_id", Text),
    Column("stripe_subscription_id", Text),
    required("status"),
    Column("number", Text),  # what people call it by; null until it is finalized
    required("amount_remaining_cents", BigInteger),
    Column("currency", Text),
    instant("first_failed_at"),  # earliest failed attempt that any event told
    Column("hosted_invoice_url", Text),
    instant("evidence_at", nullable=False),  # `created` of the newest event
    required("evidence_event_id"),  # empty: seen by a fetch
    instant("confirmation_asked_at"),  # latest event that told of a bank which wants its customer's word
    Column("settles_dispute", Text),  # from metadata: the lost dispute whose amount this asks for again
    Index("stripe_invoices_settling", "account_id", postgresql_where=text("settles_dispute IS NOT NULL")),
)

disputes = Table(
    "disputes",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's
    required("account_id", Uuid, ForeignKey("accounts.id"), index=True),
    Column("stripe_charge_id", Text),
    required("status"),
    required("amount_cents", BigInteger),
    Column("currency", Text),
    Column("reason", Text),
    instant("opened_at", nullable=False),
    instant("lost_at"),  # earliest evidence that it is lost
    instant("respond_by"),  # evidence is taken by the bank until then
    instant("evidence_at", nullable=False),  # `created` of the newest event
    required("evidence_event_id"),  # empty: seen by a fetch
    instant("settled_at"),  # by a person, who forgave it; an invoice that names it settles it too
    Column("settled_by", Text),
    Column("settled_reason", Text),
)

# Whose a charge is: a dispute names nothing else. Not of an account, as the customer may not have one yet.
charges = Table(
    "charges",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's
    required("stripe_customer_id"),
    required("amount_cents", BigInteger),
    required("refunded_cents", BigInteger),  # the most that was ever told
    Column("currency", Text),
    Index("charges_stripe_customer_id", "stripe_customer_id"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's
    required("account_id", Uuid, ForeignKey("accounts.id"), index=True),
    Column("stripe_customer_id", Text),
    required("status"),  # `none`: a checkout named it, and nothing else is known yet
    required("prices", ARRAY(Text), server_default=text("'{}'::text[]")),  # price ids and lookup keys
    Column("plan_name", Text),  # from metadata
    Column("known_plan", Text),  # by the newest evidence that named a plan of the policy
    instant("known_plan_at"),
    required("known_plan_event_id", server_default=""),
    instant("started_at"),
    instant("ended_at"),
    instant("current_period_end"),
    instant("evidence_at", nullable=False),  # `created` of the newest event
    required("evidence_event_id"),  # empty: seen by a fetch
    instant("not_late_at"),  # `created` of the newest event with a status that is never late
    required("late_statuses", JSONB, server_default=EMPTY_OBJECT),  # second -> status, of every late event after that
    instant("trial_ends_at"),
    Column("pause", Text),  # why nothing is collected: `no_payment_method`, or what a person chose
    instant("resumes_at"),
    Index("subscriptions_stripe_customer_id", "stripe_customer_id"),
)

stripe_events = Table(
    "stripe_events",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's: a second copy is the same row
    required("type"),
    instant("created_at", nullable=False),
    Column("livemode", Boolean),
    Column("api_version", Text),
    required("payload"),  # as received, so that it can be read again with better eyes
    Column("object_id", Text),
    Column("stripe_customer_id", Text),
    Column("stripe_subscription_id", Text),
    Column("stripe_charge_id", Text),
    required("claims", ARRAY(Uuid), server_default=text("'{}'::uuid[]")),  # ids of ours in its metadata
    Column("account_id", Uuid),  # no foreign key: a check per event would cost more than the insert, and rows stay
    required("status"),
    Column("reason", Text),
    instant("received_at", nullable=False, server_default=NOW),
    instant("applied_at"),
    required("came_by", server_default="webhook"),  # or `reader`: found in Stripe's own list
    CheckConstraint("status IN ('applied', 'parked', 'quarantined', 'ignored')", name="status"),
    Index("stripe_events_account_id", "account_id", postgresql_where=text("account_id IS NOT NULL")),
    Index("stripe_events_received", "received_at", postgresql_using="brin"),
    Index(
        "stripe_events_unsettled",
        "status",
        "received_at",
        postgresql_where=text("status IN ('parked', 'quarantined')"),
    ),
    # A parked event is found by whatever may make its account known.
    Index("stripe_events_parked_customer", "stripe_customer_id", postgresql_where=text("status = 'parked'")),
    Index("stripe_events_parked_subscription", "stripe_subscription_id", postgresql_where=text("status = 'parked'")),
    Index("stripe_events_parked_charge", "stripe_charge_id", postgresql_where=text("status = 'parked'")),
    Index("stripe_events_parked_object", "object_id", postgresql_where=text("status = 'parked'")),
    Index("stripe_events_parked_claims", "claims", postgresql_using="gin", postgresql_where=text("status = 'parked'")),
)

stripe_reader = Table(
    "stripe_reader",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    instant("read_to"),  # `created`: every event up to it was read; null: none ever was
    instant("read_at"),  # when the last reading ended
    instant("reconciled_at"),  # when the last that looked for gaps did
    instant("ask_since"),  # no list of events tells the whole story: every account is asked about anew since then
    instant("webhook_at"),  # when a webhook came last, to half a minute
    CheckConstraint("single", name="single"),
)
