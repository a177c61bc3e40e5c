"""What comes in is read strictly, and what is wrong is said in words about a field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from web.inputs import INVISIBLE, Input, decode, email_address, file_path, identifier, instant, line, shorten, zone_name
from web.problems import Problem


class Order(Input):
    """A shape with a field of each type that routes use."""

    name: str
    kind: Literal["game", "dev"]
    server_count: int = 0
    hours: float = 0
    ends_at: datetime | None = None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "needs a JSON body with `name`, `kind`"),
        (b"[]", "must be an object, not a list"),
        (b'"text"', "must be an object, not a text"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"name": "\xff", "kind": "game"}', "not valid JSON"),
        (b'{"name": "\\ud800", "kind": "game"}', "not valid JSON"),
        (b'{"name": "a", "kind": "game"} tail', "not valid JSON"),
        (b'{"name": "a", "kind": "game", "hours": NaN}', "not valid JSON"),
        (b"{}", "`name` is missing"),
        (b'{"name": "a"}', "`kind` is missing"),
        (b'{"name": 1, "kind": "game"}', "`name` must be a text, not a whole number"),
        (b'{"name": null, "kind": "game"}', "`name` must be a text, not null"),
        (b'{"name": ["a"], "kind": "game"}', "`name` must be a text, not a list"),
        (b'{"name": "a", "kind": "space"}', "`kind` must be `game` or `dev`"),
        (b'{"name": "a", "kind": true}', "`kind` must be a text, not true or false"),
        (b'{"name": "a", "kind": "game", "serverCount": "1"}', "`serverCount` must be a whole number, not a text"),
        (b'{"name": "a", "kind": "game", "serverCount": 1.5}', "`serverCount` must be a whole number"),
        (b'{"name": "a", "kind": "game", "serverCount": true}', "`serverCount` must be a whole number"),
        (b'{"name": "a", "kind": "game", "hours": 1e999}', "`hours` is a number out of all bounds"),
        (b'{"name": "a", "kind": "game", "endsAt": "tomorrow"}', "`endsAt` must be a date and time"),
        (b'{"name": "a", "kind": "game", "server_count": 1}', "did you mean `serverCount`?"),
        (b'{"name": "a", "kind": "game", "zzz": 1}', "There is no field `zzz`. Known are `name`"),
        (b'{"name": "a", "kind": "game", "\\u202e": 1}', "There is no field `\N{REPLACEMENT CHARACTER}`"),
        (b'{"name":' * 50_000, "`name` must be a text"),
        (b"[" * 50_000, "must be an object"),
    ],
)
def test_a_wrong_body_is_named_by_its_field(body: bytes, words: str) -> None:
    with pytest.raises(Problem) as caught:
        decode(Order, body)
    assert caught.value.status == 400
    assert words in caught.value.detail
    assert "msgspec" not in caught.value.detail


def test_a_right_body_is_read_by_its_names_on_the_wire() -> None:
    order = decode(
        Order, b'{"name": "a", "kind": "dev", "serverCount": 2, "hours": 1, "endsAt": "2030-01-01T00:00:00Z"}'
    )
    assert (order.name, order.kind, order.server_count, order.hours) == ("a", "dev", 2, 1.0)
    assert order.ends_at == datetime(2030, 1, 1, tzinfo=UTC)


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_value_or_a_400(body: bytes) -> None:
    assert status_of(lambda: decode(Order, body)) in (None, 400)


@given(st.text(max_size=60))
def test_a_name_that_is_taken_is_one_visible_line(text: str) -> None:
    assert status_of(lambda: line(text, "name")) in (None, 400)
    assume(status_of(lambda: line(text, "name")) is None)
    name = line(text, "name")
    assert name == name.strip()
    assert 0 < len(name) <= 100
    assert not set(name) & (INVISIBLE | set("\n\r\t\0\x1b\u2028\u2029"))
    assert line(name, "name") == name


def status_of(read: Callable[[], object]) -> int | None:
    """Return the status that reading is answered with; None when it succeeds."""
    try:
        read()
    except Problem as problem:
        return problem.status
    return None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada", "Ada"),
        ("  Ada \n Lovelace ", "Ada Lovelace"),
        ("\u202eadA", "adA"),
        ("@everyone <b>", "@everyone <b>"),
        ("שלום\u200f", "שלום"),
    ],
)
def test_markup_stays_and_what_reorders_text_goes(text: str, name: str) -> None:
    assert line(text, "name") == name


@pytest.mark.parametrize("text", ["", " ", "\n", "\u200b", "a\0b", "a\x1b[31m", "x" * 101])
def test_a_name_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(Problem):
        line(text, "name")


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@x", "a b@x", "a@b@c", "a@x\nBcc: b@y", "a@x\0", "<a@x>", "a@" + "x" * 300, "a@x,b@y"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Problem):
        email_address(text)


def test_an_address_is_taken_as_it_is() -> None:
    assert email_address("ada+servers@example.org") == "ada+servers@example.org"


@pytest.mark.parametrize(
    "text", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "UTC\0", "x" * 100, "right/UTC", "localtime"]
)
def test_what_is_no_zone_is_refused(text: str) -> None:
    with pytest.raises(Problem):
        zone_name(text)


@pytest.mark.parametrize("text", ["", "1", "x" * 100, "../..", "\0", "00000000-0000-0000-0000-00000000000g"])
def test_an_id_that_cannot_exist_is_answered_as_one_that_does_not(text: str) -> None:
    with pytest.raises(Problem) as caught:
        identifier(text, "server")
    assert (caught.value.status, caught.value.detail) == (404, "There is no such server.")


@pytest.mark.parametrize("text", ["", "a\0b", "a\nb", "x" * 5000, "\ud800"])
def test_a_path_that_no_file_can_have_is_refused_here(text: str) -> None:
    with pytest.raises(Problem):
        file_path(text)


@pytest.mark.parametrize(
    "at",
    [
        datetime(2030, 1, 1),  # noqa: DTZ001 - that it lacks a zone is what is wrong with it
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
    ],
)
def test_an_instant_has_a_zone_and_a_year_that_is_meant(at: datetime) -> None:
    with pytest.raises(Problem):
        instant(at, "until")


def test_what_is_shown_back_is_short_and_harmless() -> None:
    assert shorten("a\u202e\x1b" + "b" * 100) == "a\ufffd\ufffd" + "b" * 57 + "…"
