"""Queues: one wake-up per intent, bounded, and never an error for whoever enqueues."""

from __future__ import annotations

from uuid import uuid4

import pytest
from rq import Queue
from rq.job import Callback, Job
from rq.serializers import JSONSerializer, PickleSerializer

from jobs.queues import connect, enqueue, queue_called
from jobs.worker import JobRefused, admitted


def test_an_intent_is_enqueued_once_however_often_it_is_asked(redis_url: str) -> None:
    client = connect(redis_url)
    intent_id = uuid4()
    assert enqueue(client, [(intent_id, "provisioning")]) == 1
    assert enqueue(client, [(intent_id, "provisioning"), (uuid4(), "repair")]) == 1
    assert queue_called(client, "provisioning").get_job_ids() == [str(intent_id)]


def test_after_flushall_it_is_enqueued_again(redis_url: str) -> None:
    client = connect(redis_url)
    intent_id = uuid4()
    enqueue(client, [(intent_id, "repair")])
    client.flushall()
    assert enqueue(client, [(intent_id, "repair")]) == 1


def test_a_queue_is_bounded(redis_url: str) -> None:
    client = connect(redis_url)
    assert enqueue(client, [(uuid4(), "repair") for _ in range(9)], longest=5) == 5
    assert enqueue(client, [(uuid4(), "repair")], longest=5) == 0


def test_losing_redis_is_no_error_for_whoever_enqueues() -> None:
    assert enqueue(connect("redis://127.0.0.1:1/0"), [(uuid4(), "repair")]) == 0


def test_an_intent_of_the_queue_is_admitted(redis_url: str) -> None:
    client = connect(redis_url)
    intent_id = str(uuid4())
    enqueue(client, [(intent_id, "repair")])
    assert admitted(queue_called(client, "repair").jobs[0], "repair") == intent_id


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "options"),
    [
        ("os.system", ["true"], {}, {}),
        ("jobs.tasks.provisioning", [str(uuid4())], {}, {}),
        ("jobs.tasks.repair", [], {}, {}),
        ("jobs.tasks.repair", ["not an id"], {}, {}),
        ("jobs.tasks.repair", [7], {}, {}),
        ("jobs.tasks.repair", [str(uuid4()), "more"], {}, {}),
        ("jobs.tasks.repair", [str(uuid4())], {"more": 1}, {}),
        ("jobs.tasks.repair", [str(uuid4())], {}, {"on_success": Callback("os.getcwd")}),
        ("jobs.tasks.repair", [str(uuid4())], {}, {"on_failure": Callback("os.getcwd")}),
    ],
)
def test_any_other_job_is_refused(
    redis_url: str, function: str, args: list[object], kwargs: dict[str, object], options: dict[str, object]
) -> None:
    client = connect(redis_url)
    job = queue_called(client, "repair").enqueue_call(function, args, kwargs, **options)  # type: ignore[arg-type]
    with pytest.raises(JobRefused):
        admitted(Job.fetch(job.id, connection=client, serializer=JSONSerializer), "repair")


def test_pickled_jobs_are_refused_unread(redis_url: str) -> None:
    client = connect(redis_url)
    job = Queue("repair", connection=client, serializer=PickleSerializer).enqueue("os.system", "true")
    with pytest.raises(JobRefused, match="JSON"):
        admitted(Job.fetch(job.id, connection=client, serializer=JSONSerializer), "repair")
