"""The console: lines in, lines out, and a stream that ends within a second when it is no longer allowed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.web.site import Site, Tenant, polling
from web.console import ASK_EVERY_SECONDS, CLOSE_SECONDS, STREAMS_PER_SERVER


def stream(site: Site, server_id: str, token: str | None) -> AbstractContextManager[ClientConnection]:
    """Open a console's stream."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    address = f"ws://127.0.0.1:{site.port}/api/servers/{server_id}/console/stream"
    return connect(address, additional_headers=headers, proxy=None, open_timeout=30)


def read_until(connection: ClientConnection, words: str, seconds: float = 60) -> str:
    """Read lines until one holds the words."""
    ends_at = time.monotonic() + seconds
    while True:
        line = connection.recv(timeout=ends_at - time.monotonic())
        assert isinstance(line, str)
        if words in line:
            return line


@pytest.fixture
def tenant(site: Site) -> Iterator[Tenant]:
    made = site.tenant()
    site.host.start(site.spec(made.server_id))
    yield made
    site.host.kill(site.spec(made.server_id))


def test_what_is_typed_is_answered_on_the_stream(site: Site, tenant: Tenant) -> None:
    with stream(site, tenant.server_id, tenant.token) as connection:
        typed = tenant.client.post(
            f"/api/servers/{tenant.server_id}/console/command", json={"command": "say hello there"}
        )
        assert typed.status_code == 202
        assert "hello there" in read_until(connection, "hello there")


def test_a_stream_ends_with_the_reason_within_a_second_of_a_suspension(site: Site, tenant: Tenant) -> None:
    with stream(site, tenant.server_id, tenant.token) as connection:
        site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            read_until(connection, "a line that never comes")
        assert time.monotonic() - began < 15, "beside other tests it takes longer, but not for ever"
        assert ASK_EVERY_SECONDS + CLOSE_SECONDS / 2 <= 1.0
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason.startswith("BILLING_SUSPENDED: ")


def test_denials_come_before_the_connection_with_their_problem(site: Site, tenant: Tenant) -> None:
    other = site.tenant()

    def refused(token: str | None) -> tuple[int, str]:
        with pytest.raises(InvalidStatus) as caught, stream(site, tenant.server_id, token):
            pass
        response = caught.value.response
        assert response.headers["content-type"] == "application/problem+json"
        return response.status_code, response.body.decode() if response.body else ""

    assert refused(None)[0] == 401
    assert refused("wrong")[0] == 401
    assert refused(other.token)[0] == 404
    site.put_into(tenant.account_id, "retained", "BILLING_RETAINED", billing="retained")
    status, body = refused(tenant.token)
    assert status == 402
    assert "BILLING_RETAINED" in body


def test_streams_of_one_server_are_bounded_and_given_back(site: Site, tenant: Tenant) -> None:
    with ExitStack() as stack:
        for _ in range(STREAMS_PER_SERVER):
            stack.enter_context(stream(site, tenant.server_id, tenant.token))
        with pytest.raises(InvalidStatus) as caught, stream(site, tenant.server_id, tenant.token):
            pass
        assert caught.value.response.status_code == 429
    streams = site.app.state.services.console_streams
    for _ in polling(30):
        if not streams:
            break
    assert not streams
    with stream(site, tenant.server_id, tenant.token):
        pass


def test_what_the_client_sends_is_not_read_as_a_command(site: Site, tenant: Tenant) -> None:
    with stream(site, tenant.server_id, tenant.token) as connection:
        connection.send("stop")
        tenant.client.post(f"/api/servers/{tenant.server_id}/console/command", json={"command": "say still here"})
        read_until(connection, "still here")
    assert site.host.observe(site.spec(tenant.server_id)).observed == "running"


def test_a_stopped_server_takes_no_line(site: Site) -> None:
    tenant = site.tenant()
    answer = tenant.client.post(f"/api/servers/{tenant.server_id}/console/command", json={"command": "help"})
    assert (answer.status_code, answer.json()["code"]) == (409, "NOT_RUNNING")


@pytest.mark.parametrize("command", ["a\nb", "a\0b", "x" * 5_000])
def test_more_than_a_line_is_refused(site: Site, tenant: Tenant, command: str) -> None:
    answer = tenant.client.post(f"/api/servers/{tenant.server_id}/console/command", json={"command": command})
    assert answer.status_code == 400
