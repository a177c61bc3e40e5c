"""One process, one queue: takes wake-ups out of Redis and applies the intents that they name, one after the other.

Losing Redis or PostgreSQL is waited out; being asked to stop ends the intent in hand and leaves.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any
from uuid import UUID

import redis
from rq import Queue
from rq.exceptions import DeserializationError, StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker import SimpleWorker

from jobs.logs import say
from jobs.queues import FUNCTIONS

log = logging.getLogger(__name__)

IDLE_SECONDS = 5  # how long one wait for a wake-up lasts; in between the worker shows that it lives
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0


class Unhurried(BaseDeathPenalty):
    """No alarm: an exception at an arbitrary line is what actions must never meet. They bound themselves."""

    def setup_death_penalty(self) -> None:
        """Set no alarm."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


class JobRefused(Exception):
    """A job in Redis asks for something that this queue does not do."""

    def __init__(self, job_id: str, reason: str) -> None:
        self.job_id = job_id
        self.reason = reason
        super().__init__(f"job `{job_id}` is refused: {reason}")


def admitted(job: Job, queue_name: str) -> str:
    """Return the intent id that a job names. Raises JobRefused for any other function, argument or callback.

    Whoever can write to Redis must not be able to choose what runs: RQ would import and call any dotted path.
    """
    try:
        function, args, kwargs = job.func_name, job.args, job.kwargs
    except (DeserializationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobRefused(job.id, "it is not written in JSON") from error
    if function != FUNCTIONS[queue_name]:
        raise JobRefused(job.id, f"queue `{queue_name}` runs only `{FUNCTIONS[queue_name]}`")
    callbacks = (job._success_callback_name, job._failure_callback_name, job._stopped_callback_name)
    if any(callbacks) or getattr(job, "webhooks", None) or job.retries_left or job.repeats_left:
        raise JobRefused(job.id, "it asks for callbacks, webhooks or repeats")
    try:
        (intent_id,) = args
        if kwargs or not isinstance(intent_id, str):
            raise ValueError(intent_id)
        return str(UUID(intent_id))
    except ValueError as error:
        raise JobRefused(job.id, "its argument is not one intent") from error


class QueueWorker(SimpleWorker):
    """RQ's worker without fork, alarms, remote commands or callbacks, for one queue and one function."""

    death_penalty_class = Unhurried
    log_result_lifespan = False
    log_job_description = False
    max_connection_wait_time = LONGEST_WAIT_SECONDS

    def __init__(self, queue_name: str, client: redis.Redis, name: str, between: Callable[[], None]) -> None:
        self.busy = False
        self.stopping = False
        self.between = between
        super().__init__(
            [Queue(queue_name, connection=client, serializer=JSONSerializer)],
            name=name,
            connection=client,
            serializer=JSONSerializer,
            worker_ttl=IDLE_SECONDS + 15,
        )

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run an admitted job; drop any other, saying so."""
        try:
            admitted(job, queue.name)
        except JobRefused as error:
            say(log, logging.ERROR, str(error), queue=queue.name)
            queue.intermediate_queue.remove(job.id)
            job.delete()
            return
        self.busy = True
        try:
            super().execute_job(job, queue)
        finally:
            self.busy = False

    def procline(self, message: str) -> None:
        """Leave the process its name: RQ's says neither that it is ours nor of which system."""

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Show RQ that the worker lives, and, between jobs, PostgreSQL too."""
        if not self.busy:
            self.between()
        super().heartbeat(timeout, pipeline)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Leave at once when idle, else after the intent in hand. However often it is asked: no intent is cut."""
        self.stopping = True
        if not self.busy:
            raise StopRequested

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Say what went wrong beside the job; the intent stays open or claimed, and is taken up again."""
        log.error("a job ended in an error", exc_info=exc_info, extra={"facts": {"intent": job.id}})

    def run(self) -> None:
        """Work until asked to stop. Redis that goes away is waited for; what RQ cannot survive is raised."""
        self.register_birth()  # type: ignore[no-untyped-call]
        try:
            while not self.stopping:
                found = self.dequeue_job_and_maintain_ttl(IDLE_SECONDS)
                if found is not None:
                    self.execute_job(*found)
        except StopRequested:
            self.stopping = True
        finally:
            with suppress(redis.RedisError):
                self.register_death()  # type: ignore[no-untyped-call]


def work(queue_name: str, client: redis.Redis, name: str, between: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT. `between` runs between jobs; it may block, and lets StopRequested through."""
    wait_seconds = FIRST_WAIT_SECONDS
    while True:
        started = time.monotonic()
        worker = None
        call_when_asked_to_stop(leave)
        try:
            between()
            worker = QueueWorker(queue_name, client, name, between)
            client.delete(worker.key)  # what a killed worker of the same name left behind
            call_when_asked_to_stop(worker.request_stop)
            worker.run()
        except StopRequested:
            return
        except redis.RedisError as error:
            say(log, logging.WARNING, "redis is lost, trying again", reason=str(error), after_seconds=wait_seconds)
        except Exception:
            log.exception("the worker met an unexpected error and goes on")
        if worker is not None and worker.stopping:
            return
        call_when_asked_to_stop(leave)
        if time.monotonic() - started > LONGEST_WAIT_SECONDS:
            wait_seconds = FIRST_WAIT_SECONDS
        try:
            time.sleep(wait_seconds)
        except StopRequested:
            return
        wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)


def leave(signum: int, frame: FrameType | None) -> None:
    """End whatever is being waited for."""
    raise StopRequested


def call_when_asked_to_stop(handler: Callable[[int, FrameType | None], None]) -> None:
    """Take SIGTERM and SIGINT over."""
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
