"""How work is spread: one Redis queue per kind of work.

A queue holds wake-ups only. PostgreSQL holds the work itself, and the relay makes lost wake-ups again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:  # imported where used: whoever only needs the names does not pay for them
    import redis
    from rq import Queue

BILLING_ENFORCEMENT = "billing_enforcement"
PROVISIONING = "provisioning"
REPAIR = "repair"
QUEUES = (BILLING_ENFORCEMENT, PROVISIONING, REPAIR)

# Redis stores these dotted paths in every job: they are a wire format.
FUNCTIONS: Mapping[str, str] = {queue: f"jobs.tasks.{queue}" for queue in QUEUES}

LONGEST_QUEUE = 10_000  # a longer queue has wake-ups enough; its intents wait in PostgreSQL
WAKE_UP_SECONDS = 3600  # a wake-up that nobody took for so long is forgotten; the relay makes another
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0

log = logging.getLogger(__name__)


def connect(redis_url: str) -> redis.Redis:
    """Make a client that fails soon: whoever needs Redis has PostgreSQL to fall back on. Opens nothing yet."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
    )


def queue_called(client: redis.Redis, name: str) -> Queue:
    """Return the RQ queue of that name, speaking JSON."""
    from rq import Queue
    from rq.serializers import JSONSerializer

    return Queue(name, connection=client, serializer=JSONSerializer)


def enqueue(client: redis.Redis, wanted: Iterable[tuple[UUID | str, str]], longest: int = LONGEST_QUEUE) -> int:
    """Wake a worker for each (intent id, queue) that has no wake-up yet; return how many were added.

    Best effort: when Redis is lost it says so and returns, because the relay does the same again within a tick.
    """
    import redis

    by_queue: dict[str, list[str]] = {}
    for intent_id, queue in wanted:
        by_queue.setdefault(queue, []).append(str(intent_id))
    added = 0
    for name, intent_ids in by_queue.items():
        try:
            added += _enqueue_new(queue_called(client, name), intent_ids, longest)
        except redis.RedisError as error:
            log.warning("redis is lost, work waits for the relay: %s", error)
            return added
    return added


def _enqueue_new(queue: Queue, intent_ids: list[str], longest: int) -> int:
    waiting = set(queue.get_job_ids(0, longest))
    fresh = [intent_id for intent_id in intent_ids if intent_id not in waiting][: longest - len(waiting)]
    if fresh:
        queue.enqueue_many(
            queue.prepare_data(
                FUNCTIONS[queue.name],
                args=(intent_id,),
                job_id=intent_id,
                timeout=-1,  # an action bounds itself; RQ's alarm would cut it in the middle
                result_ttl=0,
                failure_ttl=WAKE_UP_SECONDS,
                ttl=WAKE_UP_SECONDS,
                description=queue.name,
            )
            for intent_id in fresh
        )
    return len(fresh)
