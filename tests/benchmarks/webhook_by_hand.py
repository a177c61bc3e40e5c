"""The limit that the webhook is measured against: verify, insert, update, commit, as a person would write it.

Served by the same server with the same options as `forbear serve`. It keeps no mirror, no audit, no intents, no policy.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import psycopg
import uvicorn
from litestar import Litestar, Request, Response, post
from litestar.concurrency import set_asyncio_executor, sync_to_thread
from stripe import SignatureVerificationError, WebhookSignature

SECRET = os.environ["STRIPE_WEBHOOK_SECRET"]
CONNECTIONS = 16

INSERT = """
INSERT INTO stripe_events (id, type, created_at, livemode, api_version, payload, status)
VALUES (%s, %s, to_timestamp(%s), %s, %s, %s, 'applied') ON CONFLICT (id) DO NOTHING
"""
UPDATE = """
UPDATE accounts SET last_stripe_event_id = %s, last_billing_event_at = to_timestamp(%s),
       overdue_invoices = CASE WHEN %s THEN 1 ELSE 0 END, updated_at = now()
WHERE stripe_customer_id = %s
"""

_free: SimpleQueue[psycopg.Connection[Any]] = SimpleQueue()


@contextmanager
def connection() -> Iterator[psycopg.Connection[Any]]:
    """Lend one of the connections."""
    lent = _free.get()
    try:
        yield lent
    finally:
        _free.put(lent)


def write(event: dict[str, Any], body: str) -> None:
    """Write one event in its own transaction."""
    subject = event["data"]["object"]
    with connection() as conn, conn.transaction():
        conn.execute(
            INSERT, [event["id"], event["type"], event["created"], event["livemode"], event["api_version"], body]
        )
        late = subject["status"] in ("open", "past_due")
        conn.execute(UPDATE, [event["id"], event["created"], late, subject["customer"]])


@post("/api/billing/webhook", status_code=200, request_max_body_size=10_000_000)
async def webhook(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Take one event."""
    body = await request.body()
    try:
        WebhookSignature.verify_header(body, request.headers.get("stripe-signature"), SECRET, 300)
    except SignatureVerificationError:
        return Response(b"{}", status_code=400, media_type="application/json")
    text = body.decode()
    await sync_to_thread(write, json.loads(text), text)
    return Response(b'{"received":true}', media_type="application/json")


def main() -> None:
    """Serve on the port given."""
    for _ in range(CONNECTIONS):
        conn = psycopg.connect(os.environ["FORBEAR_DATABASE_URL"], autocommit=True)
        conn.execute("SET timezone = 'UTC'")
        _free.put(conn)
    set_asyncio_executor(ThreadPoolExecutor(40))
    app = Litestar([webhook], openapi_config=None, logging_config=None)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=1_000,
    )


if __name__ == "__main__":
    main()
