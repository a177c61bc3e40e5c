"""Files, backups and the console in the browser."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from storage import backups
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant, polling

SignIn = Callable[[Tenant | str], Browser]


def test_text_is_written_read_deleted_and_brought_back_as_it_was(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}/files"
    browser.open(f"{base}/edit?path=/&name=motd.txt").send(f"{base}/write", content="\r\nHello\r\n</textarea><b>")
    assert (browser.path, browser.answer.status_code) == (base, 200)
    assert site.host.read_file(site.spec(tenant.server_id), "motd.txt") == "\nHello\n</textarea><b>"
    browser.open(f"{base}/edit?path=motd.txt")
    assert "&lt;/textarea&gt;&lt;b&gt;" in browser.answer.text
    site.host.write_file(site.spec(tenant.server_id), "motd.txt", "of\r\nWindows\r\n")
    browser.open(f"{base}/edit?path=motd.txt").send(f"{base}/write", content="still\r\nof Windows\r\n")
    assert site.host.read_file(site.spec(tenant.server_id), "motd.txt") == "still\r\nof Windows\r\n"
    browser.send(f"{base}/delete", path="motd.txt")
    assert "motd.txt" not in browser.text
    browser.send(f"{base}/revert", name="motd.txt")
    assert "motd.txt" in browser.text
    assert browser.client.get(f"{base}/download?path=motd.txt").text == "still\r\nof Windows\r\n"
    for path in ("../../etc/passwd", "/etc/passwd", "nothing-here/x"):
        assert browser.client.get(f"{base}/download", params={"path": path}).status_code in {400, 404}


def test_upload_lands_in_its_folder_and_needs_the_proof_before_the_file(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}/files"
    proof = browser.open(base).form(f"{base}/upload").fields["proof"]
    file = {"file": ("map.bin", b"\0\1" * 300_000)}
    assert browser.client.post(f"{base}/upload", data={"folder": "/worlds"}, files=file).status_code == 403
    wrong = browser.client.post(f"{base}/upload", data={"proof": "wrong", "folder": "/worlds"}, files=file)
    assert wrong.status_code == 403
    assert not site.host.list_files(site.spec(tenant.server_id), "/").entries
    sent = browser.client.post(f"{base}/upload", data={"proof": proof, "folder": "/worlds"}, files=file)
    assert (sent.status_code, "map.bin" in sent.text) == (200, True)
    with site.host.open_download(site.spec(tenant.server_id), "worlds/map.bin") as download:
        assert download.size_bytes == 600_000
    assert browser.client.post(f"{base}/upload", data={"proof": proof}).status_code == 400


def test_suspended_servers_files_are_shown_and_not_changed(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    site.host.write_file(site.spec(tenant.server_id), "kept.txt", "kept")
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}/files"
    shown = browser.open(base)
    assert "Server suspended due to billing status" in shown.text
    assert "kept.txt" in shown.text
    assert {form.action for form in shown.forms} == {"/sign-out"}
    proof = shown.form("/sign-out").fields["proof"]
    for verb, given in (("write", {"content": "x"}), ("delete", {}), ("revert", {})):
        data = {"proof": proof, "path": "kept.txt", **given}
        assert browser.client.post(f"{base}/{verb}", data=data).status_code == 402
    assert browser.open(f"{base}/edit?path=kept.txt").answer.status_code == 200
    assert site.host.read_file(site.spec(tenant.server_id), "kept.txt") == "kept"


def test_backup_is_asked_for_and_restored_by_forms_and_paused_ones_say_why(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}/backups"
    assert "There is no backup yet." in browser.open(base).text
    assert "waits its turn" in browser.send(f"{base}/create").text
    with site.database.begin() as conn:
        made = backups.create(conn, tenant.server_id, state="complete")  # type: ignore[arg-type]
        conn.execute(text("UPDATE servers SET lifecycle = 'stopped' WHERE id = :id"), {"id": tenant.server_id})
    restore = f"{base}/{made.id}/restore"
    assert browser.open(base).send(restore).answer.status_code == 200
    kinds = "SELECT count(*) FROM operations WHERE server_id = :id AND kind = 'restore_backup'"
    assert site.scalar(kinds, id=tenant.server_id) == 1
    site.put_into(tenant.account_id, "backup_blocked", "BILLING_BACKUP_BLOCKED", billing="final_warning")
    shown = browser.open(base)
    assert "Backups disabled due to billing status" in shown.text
    assert {form.action for form in shown.forms} == {"/sign-out"}
    other = site.tenant()
    foreign = f"/servers/{other.server_id}/backups/{made.id}/delete"
    proof = shown.form("/sign-out").fields["proof"]
    assert browser.client.post(foreign, data={"proof": proof}).status_code == 404


def test_console_works_without_javascript(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}/console"
    refused = browser.open(base).send(f"{base}/command", command="say too early")
    assert refused.answer.status_code == 409
    site.host.start(site.spec(tenant.server_id))
    try:
        browser.open(base).send(f"{base}/command", command="say hello there")
        assert browser.path == base
        assert any("hello there" in browser.open(base).text for _ in polling(10))
    finally:
        site.host.kill(site.spec(tenant.server_id))
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    assert "data-why" in browser.open(base).answer.text
    assert f"{base}/command" not in browser.answer.text


def test_session_opens_the_stream_from_our_own_pages_alone(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())

    def opened(origin: str | None, server_id: str = tenant.server_id) -> int:
        address = f"ws://127.0.0.1:{site.port}/api/servers/{server_id}/console/stream"
        try:
            with connect(address, additional_headers={"Cookie": cookie}, origin=origin, proxy=None):  # type: ignore[arg-type]
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert opened(site.url) == 101
    assert opened("https://evil.example") == 403
    assert opened(None) == 403
    assert opened(site.url, site.tenant().server_id) == 404


def test_session_reaches_the_api_from_our_own_pages_alone(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant)
    proof = browser.open("/").form("/sign-out").fields["proof"]
    ours, evil = {"origin": site.url}, {"origin": "https://evil.example"}
    for headers, status in (
        ({"x-forbear-proof": proof}, 202),
        ({"x-forbear-proof": proof, **ours}, 202),
        ({"x-forbear-proof": proof, **evil}, 403),
        ({"x-forbear-proof": "wrong"}, 403),
        (ours, 403),
        ({"authorization": "Bearer wrong", "x-forbear-proof": proof}, 401),
    ):
        asked = browser.client.post(f"/api/servers/{tenant.server_id}/host/stop", headers=headers)
        assert asked.status_code == status, headers
    for headers, status in (
        ({"sec-fetch-site": "same-origin"}, 200),
        (ours, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin", **evil}, 403),
        ({}, 403),
    ):
        assert browser.client.get("/api/account", headers=headers).status_code == status, headers
    assert browser.client.get("/api/admin/brakes", headers=ours).status_code == 403
