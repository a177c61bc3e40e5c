"""What every driver for names has to do, whatever keeps its records."""

from __future__ import annotations

import pytest

from jobs.edge.base import EdgeTaken
from jobs.edge.records import Dns, Record
from tests.jobs.edge.entries import ADA, BEN, entry, lines


class NamesContract:
    """Inherited by a test class for each driver. It provides `names`, and `put` to let others write into the zone."""

    def put(self, names: Dns, *records: Record) -> None:
        """Write records into the zone as its operator does."""
        raise NotImplementedError

    def all_there(self, names: Dns) -> set[str]:
        return {str(record) for record in names.store.read() if record.name != "@"}

    def test_an_empty_zone_shows_nothing(self, names: Dns) -> None:
        look = names.observe_all()
        assert (dict(look.ours), look.taken) == ({}, frozenset())

    def test_what_is_published_is_shown_as_expected(self, names: Dns) -> None:
        names.publish(entry())
        assert self.all_there(names) == lines()
        assert names.observe_all().ours == {ADA: names.expected(entry())}

    def test_without_a_port_there_is_no_service(self, names: Dns) -> None:
        names.publish(entry(port=0))
        assert [line for line in self.all_there(names) if "SRV" in line] == []
        assert names.observe_all().ours[ADA] == names.expected(entry(port=0))

    def test_an_address_of_six_gets_its_own_kind_of_record(self, names: Dns) -> None:
        names.publish(entry(address="2001:db8::1"))
        assert "ada-1 300 AAAA 2001:db8::1" in self.all_there(names)

    def test_publishing_again_changes_nothing(self, names: Dns) -> None:
        names.publish(entry())
        names.publish(entry())
        assert self.all_there(names) == lines()

    def test_a_server_that_has_moved_is_found_at_its_new_place_alone(self, names: Dns) -> None:
        names.publish(entry())
        names.publish(entry(address="192.0.2.99", port=25999))
        assert self.all_there(names) == lines(port=25999, address="192.0.2.99")

    def test_withdrawing_removes_what_is_ours_and_nothing_else(self, names: Dns) -> None:
        other = Record("www", "A", "192.0.2.1", 600)
        self.put(names, other)
        names.publish(entry())
        names.publish(entry(BEN, "ben-2"))
        names.withdraw(entry())
        assert self.all_there(names) == lines("ben-2", BEN) | {str(other)}
        names.withdraw(entry())
        assert self.all_there(names) == lines("ben-2", BEN) | {str(other)}

    @pytest.mark.parametrize(
        "theirs",
        [
            Record("ada-1", "A", "203.0.113.5", 600),
            Record("ada-1", "CNAME", "elsewhere.example.com.", 600),
            Record("_minecraft._tcp.ada-1", "SRV", "0 0 1 elsewhere.example.com.", 600),
            Record("_forbear.ada-1", "TXT", f"heritage=forbear,owner=another,server={ADA}", 600),
            Record("_forbear.ada-1", "TXT", "something else", 600),
        ],
    )
    def test_what_somebody_else_has_there_is_told_and_left(self, names: Dns, theirs: Record) -> None:
        self.put(names, theirs)
        with pytest.raises(EdgeTaken, match=r"ada-1\.play\.example\.net"):
            names.publish(entry())
        assert self.all_there(names) == {str(theirs)}
        assert "ada-1" in names.observe_all().taken
        names.withdraw(entry())
        assert self.all_there(names) == {str(theirs)}

    def test_the_label_of_another_server_of_ours_is_not_taken_over(self, names: Dns) -> None:
        names.publish(entry(BEN, "ada-1"))
        with pytest.raises(EdgeTaken):
            names.publish(entry())
        assert self.all_there(names) == lines("ada-1", BEN)

    def test_a_record_that_was_removed_by_hand_is_missed_and_comes_back(self, names: Dns) -> None:
        names.publish(entry())
        self.remove(names, "ada-1", "A")
        assert names.observe_all().ours[ADA] != names.expected(entry())
        names.publish(entry())
        assert self.all_there(names) == lines()

    def remove(self, names: Dns, name: str, kind: str) -> None:
        """Remove a record as somebody at the name server does."""
        raise NotImplementedError
