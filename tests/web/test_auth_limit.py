"""Failed tokens are limited only above a hundred a minute from one address."""

from __future__ import annotations

from web.auth import ADDRESSES, FailureLimit, is_admin


def test_a_hundred_failures_a_minute_pass_and_the_next_waits() -> None:
    limit = FailureLimit()
    assert [limit.failed("a", now=float(n) / 10) for n in range(100)] == [None] * 100
    assert limit.failed("a", now=10.0) == 50.0
    assert limit.failed("b", now=10.0) is None


def test_a_minute_later_it_starts_again() -> None:
    limit = FailureLimit(per_minute=2)
    assert limit.failed("a", 0) is None
    assert limit.failed("a", 30) is None
    assert limit.failed("a", 59.9) is not None
    assert limit.failed("a", 60) is None
    assert limit.failed("a", 60) is not None
    assert limit.failed("a", 90) is None


def test_addresses_that_are_remembered_are_bounded() -> None:
    limit = FailureLimit(per_minute=1)
    for number in range(ADDRESSES + 10):
        limit.failed(str(number), 0)
    assert len(limit._failures) == ADDRESSES


def test_nobody_is_an_admin_without_an_admin_token() -> None:
    assert not is_admin("", "")
    assert not is_admin("x", "")
    assert not is_admin("", "x")
    assert is_admin("x", "x")
