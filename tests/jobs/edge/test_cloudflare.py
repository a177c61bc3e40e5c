"""Cloudflare: through its own library, all pages or nothing, and what broke off is finished by the next try."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jobs.edge.base import EdgeUnavailable
from jobs.edge.cloudflare import CloudflareZone
from jobs.edge.records import Dns, Record, Zone
from tests.doubles.cloudflare import TOKEN, ZONE_ID, CloudflareDouble
from tests.jobs.edge.entries import ADA, ZONE, entry, lines
from tests.jobs.edge.names_contract import NamesContract


@pytest.fixture
def double() -> Iterator[CloudflareDouble]:
    with CloudflareDouble(ZONE.name) as made:
        yield made


def names_at(double: CloudflareDouble, token: str = TOKEN) -> Dns:
    return Dns(ZONE, CloudflareZone(ZONE, ZONE_ID, token, double.url))


@pytest.fixture
def names(double: CloudflareDouble) -> Dns:
    return names_at(double)


class TestCloudflare(NamesContract):
    """The contract, at Cloudflare."""

    @pytest.fixture(autouse=True)
    def served(self, double: CloudflareDouble) -> None:
        self.double = double

    def put(self, names: Dns, *records: Record) -> None:
        self.double.put(*records)

    def remove(self, names: Dns, name: str, kind: str) -> None:
        self.double.remove(name, kind)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_by_itself_is_tried_again(double: CloudflareDouble, names: Dns, status: int) -> None:
    double.fail_next = [status, status]
    names.publish(entry())
    assert names.observe_all().ours == {ADA: frozenset(lines())}


@pytest.mark.parametrize("status", [429, 500, 502, 401, 403])
def test_what_lasts_is_unknown(double: CloudflareDouble, names: Dns, status: int) -> None:
    double.fail_always = status
    with pytest.raises(EdgeUnavailable, match="cloudflare"):
        names.observe_all()


def test_every_page_is_read(double: CloudflareDouble, names: Dns) -> None:
    for number in range(7):
        double.put(Record(f"x{number}", "A", "192.0.2.1", 60))
    double.page = 3
    assert len(names.store.read()) == 7


def test_pages_that_do_not_add_up_are_no_answer(double: CloudflareDouble, names: Dns) -> None:
    names.publish(entry())
    double.page, double.lose_pages = 2, True
    with pytest.raises(EdgeUnavailable, match="says that it has 3 records, and showed 2"):
        names.observe_all()
    with pytest.raises(EdgeUnavailable):
        names.publish(entry(port=1))


def test_a_change_that_breaks_off_is_finished_by_the_next_try(double: CloudflareDouble, names: Dns) -> None:
    double.fails_after_posts = 1
    with pytest.raises(EdgeUnavailable):
        names.publish(entry())
    double.fail_always = 0
    assert {str(record) for record in names.store.read()} < lines()
    names.publish(entry())
    assert {str(record) for record in names.store.read()} == lines()


@pytest.mark.parametrize(
    "body",
    [b"<html>busy</html>", b"{}", b"[]", b'{"result": null}',
     b'{"result": [{"type": "SRV", "name": "a.play.example.net"}], "result_info": {"total_count": 1}}',
     json.dumps({"result": [{"type": "A"}], "result_info": {"total_count": 1}}).encode()],
)  # fmt: skip
def test_an_answer_of_another_shape_is_unknown(double: CloudflareDouble, names: Dns, body: bytes) -> None:
    double.raw_body = body
    with pytest.raises(EdgeUnavailable):
        names.observe_all()


def test_a_zone_may_be_a_part_of_theirs(double: CloudflareDouble) -> None:
    zone = Zone("play.example.net", 300, "forbear")
    double.zone = "example.net"
    double.put(Record("www", "A", "192.0.2.1", 60))
    names = Dns(zone, CloudflareZone(zone, ZONE_ID, TOKEN, double.url))
    names.publish(entry())
    assert {str(record) for record in names.store.read()} == lines()
    assert "www.example.net" in {each["name"] for each in double.records.values()}


def test_a_wrong_token_is_told_without_it(double: CloudflareDouble) -> None:
    with pytest.raises(EdgeUnavailable) as raised:
        names_at(double, "wrong-and-secret").observe_all()
    assert "wrong-and-secret" not in str(raised.value)
