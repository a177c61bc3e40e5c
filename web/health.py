"""Is it well? Public, cheap, and honest: 503 as soon as this process cannot serve."""

from __future__ import annotations

from typing import Any

import redis
import sqlalchemy.exc
from litestar import Response, get

from jobs import queues
from storage import migrate, policies, processes
from storage.database import Database
from storage.errors import StorageError
from storage.processes import Process
from web.services import TheServices


@get("/api/health", tags=["health"], security=[], sync_to_thread=True)
def show_health(services: TheServices) -> Response[dict[str, Any]]:
    """Say which version and policy serve, and whether the database and the queue answer.

    Without the queue everything still works, later: PostgreSQL keeps the work and the relay hands it out again.
    """
    database, digest, known = _database(services.database)
    queue = _queue(services.settings.redis_url)
    well = database == "ok"
    status = "ok" if well and queue == "ok" else "degraded" if well else "down"
    document = {
        "status": status,
        "version": processes.own_version(),
        "policyDigest": digest,
        "database": database,
        "queue": queue,
        "processes": [_process(each) for each in known],
        "stale": processes.stale(known, digest),
    }
    return Response(document, status_code=200 if well else 503, headers={"Cache-Control": "no-store"})


def _process(process: Process) -> dict[str, Any]:
    return {
        "role": process.role,
        "version": process.version,
        "policyDigest": process.policy_digest,
        "alive": process.alive,
    }


def _database(database: Database) -> tuple[str, str | None, list[Process]]:
    try:
        with database.begin() as conn:
            migrate.require(conn)
            digest = policies.in_force(conn).digest
            known = processes.listed(conn)
        return "ok", digest, known
    except sqlalchemy.exc.OperationalError:
        return "unreachable", None, []
    except StorageError as error:
        return str(error), None, []
    except sqlalchemy.exc.SQLAlchemyError:
        return "not ready", None, []


def _queue(redis_url: str) -> str:
    client = queues.connect(redis_url)
    try:
        client.ping()
    except redis.RedisError:
        return "unreachable"
    finally:
        client.close()
    return "ok"
