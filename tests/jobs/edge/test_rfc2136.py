"""Dynamic updates: signed, only where the name is free or ours at that very moment, and no half answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from jobs.edge.base import EdgeTaken, EdgeUnavailable
from jobs.edge.records import Dns, Record
from jobs.edge.rfc2136 import NameServer, Tsig
from tests.doubles.name_server import SECRET, NameServerDouble
from tests.jobs.edge.entries import ADA, ZONE, entry, lines
from tests.jobs.edge.names_contract import NamesContract

THEIRS = Record("ada-1", "A", "203.0.113.5", 600)


@pytest.fixture
def server() -> Iterator[NameServerDouble]:
    with NameServerDouble(ZONE.name) as double:
        yield double


def names_at(server: NameServerDouble, secret: str = SECRET, timeout_seconds: float = 30.0) -> Dns:
    key = Tsig("forbear", "hmac-sha256", secret)
    return Dns(ZONE, NameServer(ZONE, "127.0.0.1", server.port, key, timeout_seconds))


@pytest.fixture
def names(server: NameServerDouble) -> Dns:
    return names_at(server)


class TestNameServer(NamesContract):
    """The contract, on a name server."""

    @pytest.fixture(autouse=True)
    def served(self, server: NameServerDouble) -> None:
        self.server = server

    def put(self, names: Dns, *records: Record) -> None:
        self.server.put(*records)

    def remove(self, names: Dns, name: str, kind: str) -> None:
        self.server.remove(name, kind)


def test_a_name_that_somebody_takes_meanwhile_is_left_to_them(server: NameServerDouble, names: Dns) -> None:
    server.before_update = lambda: server.put(THEIRS)
    with pytest.raises(EdgeTaken):
        names.publish(entry())
    assert [str(record) for record in names.store.read()] == [str(THEIRS)]


def test_a_mark_that_goes_away_meanwhile_ends_the_change(server: NameServerDouble, names: Dns) -> None:
    names.publish(entry())
    server.before_update = lambda: server.remove("_forbear.ada-1", "TXT")
    with pytest.raises(EdgeUnavailable, match="NXRRSET"):
        names.withdraw(entry())
    assert len(names.store.read()) == 2


@pytest.mark.parametrize("fault", ["refuse", "cut_transfer", "hang_up", "garbage"])
def test_an_answer_that_is_not_whole_is_unknown(server: NameServerDouble, names: Dns, fault: str) -> None:
    names.publish(entry())
    server.fault = fault  # type: ignore[assignment]
    with pytest.raises(EdgeUnavailable, match=r"name server 127\.0\.0\.1"):
        names.observe_all()
    with pytest.raises(EdgeUnavailable):
        names.publish(entry(port=1))
    server.fault = ""
    assert names.observe_all().ours == {ADA: frozenset(lines())}


def test_an_update_that_fails_is_told(server: NameServerDouble, names: Dns) -> None:
    server.fault = "servfail_update"
    with pytest.raises(EdgeUnavailable, match="SERVFAIL"):
        names.publish(entry())


def test_a_server_that_hangs_is_given_up_in_its_time(server: NameServerDouble) -> None:
    server.hangs = threading.Event()
    with pytest.raises(EdgeUnavailable):
        names_at(server, timeout_seconds=0.2).observe_all()


def test_a_wrong_key_is_told_without_the_key(server: NameServerDouble) -> None:
    secret = "d3JvbmcgYW5kIHNlY3JldA=="
    with pytest.raises(EdgeUnavailable) as raised:
        names_at(server, secret).observe_all()
    assert secret not in str(raised.value)
    assert secret not in repr(Tsig("forbear", "hmac-sha256", secret))


def test_nothing_is_written_when_nothing_has_changed(server: NameServerDouble, names: Dns) -> None:
    names.publish(entry())
    names.publish(entry())
    assert server.asked.count("update") == 1
    names.withdraw(entry(label="other"))
    assert names.store.read() == [], "the server is found under the label that it has"


def test_a_server_that_is_away_is_unknown(server: NameServerDouble) -> None:
    names = names_at(server)
    server.__exit__()
    with pytest.raises(EdgeUnavailable):
        names.observe_all()
    server.__enter__()
