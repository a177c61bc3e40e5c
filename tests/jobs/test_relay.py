"""The relay: PostgreSQL is the truth, Redis may forget everything at any moment."""

from __future__ import annotations

from jobs import queues
from jobs.controller import Controller
from storage import intents
from tests.jobs.floor import Floor


def queued(floor: Floor, name: str = "billing_enforcement") -> int:
    return len(queues.queue_called(floor.context.redis, name).get_job_ids())


def test_each_tick_wakes_a_worker_for_what_is_runnable_once(floor: Floor, controller: Controller) -> None:
    floor.late()
    assert floor.tick(controller).woken == 1
    assert floor.tick(controller).woken == 0
    assert queued(floor) == 1


def test_flushall_loses_nothing(floor: Floor, controller: Controller) -> None:
    floor.late()
    floor.tick(controller)
    floor.context.redis.flushall()
    assert floor.tick(controller).woken == 1
    assert queued(floor) == 1


def test_without_redis_the_controller_does_everything_else(floor: Floor, database_url: str) -> None:
    controller = floor.controller(redis=queues.connect("redis://127.0.0.1:1/0"))
    account = floor.late()
    floor.tick(controller)
    assert floor.row(account)["billing_status"] == "overdue_warning"
    assert floor.carry_out() == ["send_billing_warning"]


def test_what_waits_for_its_time_is_not_woken(floor: Floor, controller: Controller) -> None:
    account = floor.late()
    floor.record(account)
    floor.rows("UPDATE intents SET not_before = clock_timestamp() + interval '1 hour' RETURNING 1")
    assert floor.tick(controller).woken == 0
    floor.advance(1.01)
    assert floor.tick(controller).woken == 1


def test_a_claim_whose_worker_is_gone_is_taken_back(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    from storage import servers

    with floor.begin() as conn:
        servers.request_stop(conn, floor.policy, server, actor="Ada")
        (outbox,) = intents.runnable(conn, floor.now(), 10)
    assert floor.claim(outbox.intent_id, worker=999_999) is not None
    report = floor.tick(controller)
    assert (report.taken_back, report.woken) == (1, 1)
    assert floor.apply(outbox.intent_id) == "done"


def test_a_claim_of_a_living_worker_is_left_alone(floor: Floor, controller: Controller) -> None:
    account = floor.late()
    floor.record(account)
    row = floor.intents_of(account)[0]
    assert floor.claim(row["id"], worker=floor.context.presence.process_id) is not None
    assert floor.tick(controller).taken_back == 0
    assert floor.intents_of(account)[0]["status"] == "started"
