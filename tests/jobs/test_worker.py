"""Workers as processes: they wait out what goes away, drop what is not theirs, and leave when asked."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from jobs import queues
from storage.embedded import Postgres, Redis
from tests.jobs.floor import Floor
from tests.jobs.processes import Crew, crew_on
from tests.storage.deployment import eventually


@pytest.fixture
def crew(floor: Floor, tmp_path: Path) -> Iterator[Crew]:
    with crew_on(floor, tmp_path / "logs") as made:
        yield made


def warning(floor: Floor, name: str = "Ada") -> UUID:
    """Return a notice that waits to be sent."""
    account = floor.known_account(email=f"{name}@example.com")
    floor.owe(account)
    return UUID(str(floor.intents_of(account)[0]["id"]))


def hand_out(floor: Floor, intent: UUID) -> None:
    queues.enqueue(floor.context.redis, [(intent, queues.BILLING_ENFORCEMENT)])


def is_done(floor: Floor, intent: UUID) -> bool:
    return bool(floor.scalar("SELECT status = 'done' FROM intents WHERE id = :id", id=intent))


def is_at_work(floor: Floor) -> bool:
    return bool(floor.rows("SELECT 1 FROM processes WHERE role = 'worker billing_enforcement'"))


def test_it_registers_works_says_so_and_leaves_when_asked(floor: Floor, crew: Crew) -> None:
    worker = crew.worker()
    intent = warning(floor)
    hand_out(floor, intent)
    eventually(lambda: is_done(floor, intent), f"the letter is sent\n{crew.log()}")
    (row,) = floor.rows("SELECT * FROM processes WHERE role = 'worker billing_enforcement'")
    assert row["policy_digest"] == floor.policy.digest
    began = time.monotonic()
    assert crew.ask_to_stop(worker) == 0
    assert time.monotonic() - began < 15, "an idle worker leaves at once"
    assert not is_at_work(floor)
    lines = [line for line in crew.log().splitlines() if "send_billing_warning" in line]
    assert len([line for line in lines if "send_billing_warning done" in line]) == 1


def test_a_job_that_is_not_the_queues_is_dropped_and_the_next_one_worked(floor: Floor, crew: Crew) -> None:
    queue = queues.queue_called(floor.context.redis, queues.BILLING_ENFORCEMENT)
    witness = crew.folder / "witness"
    queue.enqueue_call("pathlib.Path.touch", args=[str(witness)])
    queue.enqueue_call("os.mkdir", args=[str(witness)])
    queue.enqueue_call("jobs.tasks.provisioning", args=[str(uuid4())])
    intent = warning(floor)
    hand_out(floor, intent)
    crew.worker()
    eventually(lambda: is_done(floor, intent), f"the letter is sent\n{crew.log()}")
    assert not witness.exists()
    assert crew.log().count("is refused") == 3
    assert queue.get_job_ids() == []


def test_redis_that_goes_away_and_comes_back_is_waited_out(floor: Floor, tmp_path: Path) -> None:
    own = Redis.start(tmp_path / "redis")
    try:
        with crew_on(floor, tmp_path / "logs", FORBEAR_REDIS_URL=own.url) as crew:
            worker = crew.worker()
            eventually(lambda: is_at_work(floor), "it is at work")
            own.kill()
            time.sleep(0.3)
            assert worker.is_alive()
            own.run()
            if own.url != crew.settings["FORBEAR_REDIS_URL"]:
                pytest.fail("the port was taken by somebody else")
            intent = warning(floor)
            client = queues.connect(own.url)
            eventually(
                lambda: queues.enqueue(client, [(intent, queues.BILLING_ENFORCEMENT)]) or is_done(floor, intent),
                "redis answers again",
            )
            eventually(lambda: is_done(floor, intent), f"it works on\n{crew.log()}")
            assert crew.ask_to_stop(worker) == 0
    finally:
        own.stop()


def test_sessions_that_the_database_ends_are_made_again(floor: Floor, crew: Crew, postgres_server: Postgres) -> None:
    crew.worker()
    eventually(lambda: is_at_work(floor), "it is at work")
    (before,) = floor.rows("SELECT id FROM processes WHERE role = 'worker billing_enforcement'")
    database = floor.url.rpartition("/")[2]
    floor.database.close()
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as session:
        session.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [database])

    def is_registered_anew() -> bool:
        with floor.begin() as conn:
            ids = conn.execute(text("SELECT max(id) FROM processes WHERE role = 'worker billing_enforcement'"))
            return bool(ids.scalar_one() > before["id"])

    eventually(is_registered_anew, f"it registers again\n{crew.log()}")
    intent = warning(floor)
    hand_out(floor, intent)
    eventually(lambda: is_done(floor, intent), f"it works on\n{crew.log()}")


def test_an_outcome_is_recorded_when_the_database_comes_back(
    floor: Floor, crew: Crew, postgres_server: Postgres
) -> None:
    worker = crew.worker(pause_at="send_billing_warning:after_act")
    intent = warning(floor)
    hand_out(floor, intent)
    mark = crew.wait_for_pause("send_billing_warning", "after_act")
    database = floor.url.rpartition("/")[2]
    floor.database.close()
    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as session:
        session.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        session.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [database])
        mark.unlink()
        eventually(lambda: "cannot be recorded yet" in crew.log(), "it says that it cannot write")
        session.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    eventually(lambda: is_done(floor, intent), f"it is written down\n{crew.log()}")
    assert len(floor.letters()) == 1
    assert worker.is_alive()


def test_interrupted_twice_it_still_leaves_in_order(floor: Floor, crew: Crew) -> None:
    worker = crew.worker()
    eventually(lambda: is_at_work(floor), "it is at work")
    crew.signal(worker, signal.SIGINT)
    crew.signal(worker, signal.SIGTERM)
    assert crew.ended(worker) in {0, 130, -signal.SIGTERM}  # 130: it was still starting, and held nothing yet


def test_controller_once_and_dry_run(floor: Floor, crew: Crew) -> None:
    account = floor.late()
    shown = crew.start("controller", "--dry-run", "--once")
    assert crew.ended(shown) == 0
    assert "account" in crew.log()
    assert re.search(rf"{account} +past_due +overdue_warning +send_billing_warning +billing.warn ", crew.log())
    assert floor.row(account)["billing_status"] == "active"
    assert crew.ended(crew.start("controller", "--once")) == 0
    assert floor.row(account)["billing_status"] == "overdue_warning"
    leader = floor.controller()
    floor.tick(leader)
    assert crew.ended(crew.start("controller", "--once")) == 1, "another one leads"


def test_unknown_queues_are_refused(floor: Floor, crew: Crew) -> None:
    assert crew.ended(crew.start("worker", "everything")) == 2
