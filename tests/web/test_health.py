"""Health is honest: 503 whenever this process cannot serve, and a word on what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from litestar.testing import TestClient

from storage import policies
from storage.database import Database
from storage.settings import SHIPPED_POLICY, Settings
from web.app import create_app

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"
NO_QUEUE = "redis://127.0.0.1:1/0"


def health(settings: Settings) -> tuple[int, dict[str, object]]:
    """Ask an application about itself."""
    with TestClient(create_app(settings)) as client:
        answer = client.get("/api/health")
        return answer.status_code, answer.json()


def test_a_database_that_is_away_is_503_and_said(tmp_path: Path, redis_url: str) -> None:
    status, told = health(Settings(database_url=NOWHERE, redis_url=redis_url, data_dir=tmp_path))
    assert (status, told["status"], told["database"], told["queue"]) == (503, "down", "unreachable", "ok")


def test_a_database_without_tables_is_503(tmp_path: Path, empty_database_url: str, redis_url: str) -> None:
    status, told = health(Settings(database_url=empty_database_url, redis_url=redis_url, data_dir=tmp_path))
    assert status == 503
    assert "`forbear db upgrade`" in str(told["database"])


def test_a_database_without_a_policy_is_503(tmp_path: Path, database_url: str, redis_url: str) -> None:
    status, told = health(Settings(database_url=database_url, redis_url=redis_url, data_dir=tmp_path))
    assert status == 503
    assert "policy deploy" in str(told["database"])


def test_without_the_queue_it_serves_and_says_so(tmp_path: Path, database_url: str) -> None:
    settings = Settings(database_url=database_url, redis_url=NO_QUEUE, data_dir=tmp_path)
    database = Database(settings)
    policy, _ = policies.deploy_folder(database.engine, SHIPPED_POLICY, {}, by="test")
    database.close()
    status, told = health(settings)
    assert (status, told["status"], told["queue"]) == (200, "degraded", "unreachable")
    assert told["policyDigest"] == policy.digest


@pytest.mark.parametrize("path", ["/api/account", "/api/servers/00000000-0000-4000-8000-000000000000/files/list"])
def test_a_database_that_is_away_is_503_on_every_route(tmp_path: Path, path: str) -> None:
    settings = Settings(database_url=NOWHERE, redis_url=NO_QUEUE, data_dir=tmp_path)
    with TestClient(create_app(settings)) as client:
        answer = client.get(path, headers={"Authorization": "Bearer some-token"})
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert answer.headers["retry-after"]


def test_a_failure_that_nobody_foresaw_is_500_with_an_id_that_the_log_has(
    tmp_path: Path, database_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(database_url=database_url, redis_url=redis_url, data_dir=tmp_path, admin_token="admin")
    database = Database(settings)
    policies.deploy_folder(database.engine, SHIPPED_POLICY, {}, by="test")
    with database.begin() as conn:
        conn.exec_driver_sql("ALTER TABLE holds RENAME COLUMN reason TO reasons")
    with TestClient(create_app(settings)) as client:
        answer = client.get("/api/admin/holds", headers={"Authorization": "Bearer admin"})
    database.close()
    assert answer.status_code == 500
    problem = answer.json()
    assert problem["code"] == "UNEXPECTED"
    assert problem["failureId"] in problem["detail"]
    assert "holds" not in answer.text
    assert problem["failureId"] in caplog.text
