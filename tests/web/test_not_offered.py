"""A server on a host without files or consoles: the customer is told so in a sentence, and everything else goes on."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jobs.hosts.proxmox import ProxmoxHost
from jobs.hosts.proxmox.options import ProxmoxOptions
from tests.web.site import Site, Tenant


@pytest.fixture
def tenant(site: Site) -> Tenant:
    """Somebody whose server is on such a host, which is not even asked."""
    made = site.tenant()
    options = ProxmoxOptions("127.0.0.1", 1, "forbear@pve", "tests", "5ecre7", "fast", {})
    site.app.state.services.hosts = {"local": ProxmoxHost("local", options)}
    return made


@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("GET", "files/list?path=/", None, "files are"),
        ("GET", "files/read?path=a", None, "files are"),
        ("GET", "files/download?path=a", None, "files are"),
        ("PUT", "files", {"path": "a", "content": "b"}, "files are"),
        ("DELETE", "files?path=a", None, "files are"),
        ("POST", "files/revert", {"path": "a"}, "files are"),
        ("POST", "console/command", {"command": "list"}, "consoles are"),
    ],
)
def test_what_a_host_does_not_offer_is_501_with_a_sentence(
    tenant: Tenant, method: str, path: str, body: dict[str, str] | None, what: str
) -> None:
    answer = tenant.client.request(method, f"/api/servers/{tenant.server_id}/{path}", json=body)
    assert answer.status_code == 501
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "NOT_OFFERED"
    assert what in answer.json()["detail"].lower()
    assert "not offered for servers on this kind of host" in answer.json()["detail"]


def test_a_console_that_is_not_offered_says_so_before_its_stream_begins(site: Site, tenant: Tenant) -> None:
    address = f"ws://127.0.0.1:{site.port}/api/servers/{tenant.server_id}/console/stream"
    headers = {"Authorization": f"Bearer {tenant.token}"}
    with pytest.raises(InvalidStatus) as refused:
        connect(address, additional_headers=headers, proxy=None, open_timeout=10)
    assert refused.value.response.status_code == 501
    assert b"onsoles are not offered" in (refused.value.response.body or b"")
