"""Notices in words: fields and nothing cleverer, hostile values, times in the customer's zone."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import NoticeIncomplete
from engine.languages import written_instant
from engine.model import Policy
from engine.model_words import NoticeText, NoticeWords, StateText
from engine.notices import FIELDS, FieldValue, fields_of, plain, render, state_text
from tests.factories import HERE, policy_of

SUSPEND_AT = datetime(2026, 3, 6, 8, 0, tzinfo=UTC)


def policy_with(subject: str, text: str) -> Policy:
    """Return a policy with one notice."""
    return replace(policy_of(), notices={"send_news": NoticeText("send_news", NoticeWords(subject, text), HERE)})


def written(subject: str, text: str, zone: str = "UTC", **fields: FieldValue) -> tuple[str, str]:
    """Return the notice as the customer reads it."""
    return render(policy_with(subject, text), "send_news", fields, zone)


def test_fields_are_filled_in() -> None:
    subject, text = written("Hello {customer_name}", "{servers}: {pay_url}\n", customer_name="Ada", servers=["a", "b"],
                            pay_url="https://pay.example/1")  # fmt: skip
    assert subject == "Hello Ada"
    assert text == "a, b: https://pay.example/1\n"


def test_a_time_is_written_in_the_customers_zone_and_the_zone_is_named() -> None:
    _, text = written("s", "{suspend_at}", "Europe/Zurich", suspend_at=SUSPEND_AT)
    assert text == "Friday, 6 March 2026, 09:00 (Europe/Zurich, UTC+1)"


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "Friday, 6 March 2026, 08:00 (UTC)"),
        ("America/New_York", "Friday, 6 March 2026, 03:00 (America/New_York, UTC-5)"),
        ("Asia/Kathmandu", "Friday, 6 March 2026, 13:45 (Asia/Kathmandu, UTC+5:45)"),
        ("Pacific/Kiritimati", "Friday, 6 March 2026, 22:00 (Pacific/Kiritimati, UTC+14)"),
        ("Mars/Olympus", "Friday, 6 March 2026, 08:00 (UTC)"),
        ("../../etc/passwd", "Friday, 6 March 2026, 08:00 (UTC)"),
    ],
)
def test_times_in_zones(zone: str, expected: str) -> None:
    assert written_instant(SUSPEND_AT, zone) == expected


def test_the_hour_that_exists_twice_is_told_apart() -> None:
    first = written_instant(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Europe/Zurich")
    second = written_instant(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/Zurich")
    assert first == "Sunday, 25 October 2026, 02:30 (Europe/Zurich, UTC+2)"
    assert second == "Sunday, 25 October 2026, 02:30 (Europe/Zurich, UTC+1)"


def test_a_notice_with_a_hole_in_it_is_not_written() -> None:
    with pytest.raises(NoticeIncomplete, match="`send_news` cannot be written without `suspend_at`, `pay_url`") as hole:
        written("{suspend_at}", "{customer_name} {pay_url}", customer_name="Ada", pay_url=None)
    assert hole.value.fields == ("suspend_at", "pay_url")


def test_a_field_that_the_text_does_not_name_may_be_missing() -> None:
    assert written("Hello", "Hello", suspend_at=None) == ("Hello", "Hello")


def test_an_empty_list_is_written_out() -> None:
    assert written("s", "Being stopped: {stopping_servers}", stopping_servers=[])[1] == "Being stopped: none"


def test_a_long_list_is_counted() -> None:
    names = [f"s{number}" for number in range(60)]
    assert written("s", "{servers}", servers=names)[1].endswith(", s49 and 10 more")


@pytest.mark.parametrize(
    "text",
    [
        "{customer_name.__class__}",
        "{customer_name[0]}",
        "{customer_name!r}",
        "{customer_name:>9999999}",
        "{0}",
        "{}",
        "{ x }",
    ],
)
def test_nothing_but_a_plain_field_means_anything(text: str) -> None:
    assert fields_of(text) == ()
    assert written("s", text, customer_name="Ada")[1] == text


def test_doubled_braces_are_braces_and_a_value_is_never_read_as_a_field() -> None:
    assert written("s", "{{customer_name}}", customer_name="Ada")[1] == "{customer_name}"
    assert written("s", "{customer_name}", customer_name="{pay_url}")[1] == "{pay_url}"


HOSTILE = {
    "line breaks": "Ada\r\nBcc: all@example.com",
    "separators": "Ada\u2028Bcc:\u2029x",
    "control characters": "Ada\x00\x07\x1b[31m",
    "direction marks": "Ada\u202egnp.exe\u2066x\u2069\u200f",
    "invisible characters": "A\u200bd\u200da\ufeff",
    "a tab and spaces": "  Ada \t x  ",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_values_stay_on_one_line_and_can_be_seen(value: str) -> None:
    subject, text = written("For {customer_name}", "For {customer_name}\n", customer_name=value, servers=[value])
    for line in (subject, text.removesuffix("\n")):
        assert all(unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp", "Cs"} for character in line)
    assert subject.startswith("For A")


def test_a_subject_is_bounded() -> None:
    assert len(written("{customer_name}", "x", customer_name="a" * 5000)[0]) == 200


@given(st.text(), st.integers(1, 50))
def test_what_is_plain_stays_plain(value: str, characters: int) -> None:
    once = plain(value, characters)
    assert plain(once, characters) == once
    assert len(once) <= characters
    assert "\n" not in once
    assert "\r" not in once


def test_a_state_is_described_even_when_something_is_not_known() -> None:
    text = StateText("billing", "suspended", "Stopped", "Kept until {retention_until}.", "Pay at {pay_url}", HERE)
    policy = replace(policy_of(), state_texts={("billing", "suspended"): text})
    told = state_text(policy, "billing", "suspended", {"retention_until": None, "pay_url": "https://pay.example"})
    assert told.message == "Kept until not known yet."
    assert told.next_step == "Pay at https://pay.example"


def test_every_field_is_written_in_a_known_way() -> None:
    assert set(FIELDS.values()) <= {"text", "instant", "list"}
