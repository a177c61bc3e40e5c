"""Uploads of any size: streamed into place all or nothing, never held in memory, cut when the gate closes."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.site import Site, Tenant, polling

MIB = 1024 * 1024
PIECE = os.urandom(MIB)


@pytest.fixture
def tenant(site: Site) -> Tenant:
    return site.tenant()


def stored(site: Site, tenant: Tenant, path: str) -> Path:
    """Return where a customer's file lies."""
    return site.settings.data_dir / "servers" / tenant.server_id / "files" / path


def memory_bytes() -> int:
    """Return how much memory this process, which is also the server's, has needed at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def test_a_large_file_arrives_whole_without_being_held_in_memory(site: Site, tenant: Tenant) -> None:
    pieces = 64
    wanted = hashlib.sha256(PIECE * pieces).hexdigest()
    before = memory_bytes()
    url = f"/api/servers/{tenant.server_id}/files"
    sent = tenant.client.post(f"{url}/upload", params={"path": "big.bin"}, content=(PIECE for _ in range(pieces)))
    assert sent.status_code == 201
    assert sent.json()["sizeBytes"] == pieces * MIB
    with tenant.client.stream("GET", f"{url}/download", params={"path": "big.bin"}) as download:
        found = hashlib.sha256()
        for chunk in download.iter_bytes():
            found.update(chunk)
    assert found.hexdigest() == wanted
    assert memory_bytes() - before < 40 * MIB


@pytest.mark.parametrize(
    ("query", "data", "place"),
    [({"path": "a.txt"}, {}, "a.txt"), ({}, {"path": "b.txt"}, "b.txt"), ({}, {}, "sent.txt")],
)
def test_a_form_names_its_place_in_three_ways(
    site: Site, tenant: Tenant, query: dict[str, str], data: dict[str, str], place: str
) -> None:
    answer = tenant.client.post(
        f"/api/servers/{tenant.server_id}/files/upload",
        params=query,
        data=data,
        files={"file": ("sent.txt", b"in a form")},
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["path"] == place
    assert stored(site, tenant, place).read_bytes() == b"in a form"


def form(*parts: tuple[str, bytes]) -> bytes:
    """Write a form by hand."""
    lines = [b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + body for head, body in parts]
    return b"\r\n".join([*lines, b"--b--\r\n"])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (b"nonsense", "multipart/form-data; boundary=b"),
        (form(('name="file"; filename="a"', b"x")), "multipart/form-data"),
        (form(('name="file"; filename="a"', b"x"))[:-8], "multipart/form-data; boundary=b"),
        (form(('name="other"', b"x")), "multipart/form-data; boundary=b"),
        (form(('name="file"; filename=""', b"x")), "multipart/form-data; boundary=b"),
        (form(('name="f"; filename="a"', b"x"), ('name="g"; filename="b"', b"y")), "multipart/form-data; boundary=b"),
        (form(('name="f"; filename="a"', b"x"), ('name="path"', b"b")), "multipart/form-data; boundary=b"),
        (form(('name="path"', b"x" * 100_000), ('name="f"; filename="a"', b"x")), "multipart/form-data; boundary=b"),
        (form(('name="path"', b"\xff"), ('name="f"; filename="a"', b"x")), "multipart/form-data; boundary=b"),
        (form(*[('name="x"', b"y")] * 50), "multipart/form-data; boundary=b"),
        (form(('name="f"; filename="../a"', b"x")), "multipart/form-data; boundary=b"),
        (b"raw without a path", "application/octet-stream"),
    ],
)
def test_a_form_that_is_none_is_400_and_leaves_no_trace(site: Site, tenant: Tenant, body: bytes, kind: str) -> None:
    before = site.trace()
    answer = tenant.client.post(
        f"/api/servers/{tenant.server_id}/files/upload", content=body, headers={"Content-Type": kind}
    )
    assert answer.status_code == 400, answer.text
    assert site.trace() == before
    assert not list((site.settings.data_dir / "servers" / tenant.server_id / "incoming").iterdir())


def test_an_upload_is_cut_when_the_account_is_suspended_on_the_way(site: Site, tenant: Tenant) -> None:
    stored(site, tenant, "world.bin").write_bytes(b"as it was")
    suspended = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield PIECE
        site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
        suspended.set()
        yield PIECE

    answer = tenant.client.post(
        f"/api/servers/{tenant.server_id}/files/upload", params={"path": "world.bin"}, content=slowly()
    )
    assert suspended.is_set()
    assert (answer.status_code, answer.json()["code"]) == (402, "BILLING_SUSPENDED")
    assert stored(site, tenant, "world.bin").read_bytes() == b"as it was"


def test_a_client_that_hangs_up_leaves_nothing_behind(site: Site, tenant: Tenant) -> None:
    def broken() -> Iterator[bytes]:
        yield PIECE
        raise ConnectionAbortedError

    with pytest.raises((ConnectionAbortedError, httpx.TransportError)):
        tenant.client.post(
            f"/api/servers/{tenant.server_id}/files/upload", params={"path": "half.bin"}, content=broken()
        )
    incoming = site.settings.data_dir / "servers" / tenant.server_id / "incoming"
    for _ in polling(30):
        if not list(incoming.iterdir()):
            break
    assert not list(incoming.iterdir())
    assert not stored(site, tenant, "half.bin").exists()


def test_a_download_saves_under_its_name_whatever_it_holds(site: Site, tenant: Tenant) -> None:
    name = 'wörld "1"; x.txt'
    stored(site, tenant, name).write_bytes(b"x")
    answer = tenant.client.get(f"/api/servers/{tenant.server_id}/files/download", params={"path": name})
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"w_rld _1_; x.txt\"; filename*=UTF-8''w%C3%B6rld%20%221%22%3B%20x.txt"
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
