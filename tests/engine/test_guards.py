"""What guards mean, at every boundary, and that their compiled form means the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guards import compile_guard, facts_of, holds
from engine.model import Guard, Op, Value
from tests.factories import START, atom, every, named, negated, some

SECOND = timedelta(seconds=1)

BOUNDARIES: tuple[tuple[Op, Value | tuple[Value, ...], Value, bool], ...] = (
    ("eq", 3, 2, False), ("eq", 3, 3, True), ("eq", 3, None, False),
    ("ne", 3, 2, True), ("ne", 3, 3, False), ("ne", 3, None, False),
    ("lt", 3, 2, True), ("lt", 3, 3, False), ("lt", 3, None, False),
    ("lte", 3, 3, True), ("lte", 3, 4, False), ("lte", 3, None, False),
    ("gt", 3, 3, False), ("gt", 3, 4, True), ("gt", 3, None, False),
    ("gte", 3, 2, False), ("gte", 3, 3, True), ("gte", 3, None, False),
    ("in", ("a", "b"), "a", True), ("in", ("a", "b"), "c", False), ("in", ("a", "b"), None, False),
    ("between", (2, 4), 1, False), ("between", (2, 4), 2, True), ("between", (2, 4), 4, True),
    ("between", (2, 4), 5, False), ("between", (2, 4), None, False),
    ("is_null", True, None, True), ("is_null", True, 0, False), ("is_null", True, False, False),
    ("is_null", False, None, False), ("is_null", False, 0, True), ("is_null", False, "", True),
    ("lt", START, START - SECOND, True), ("lt", START, START, False), ("gte", START, START, True),
    ("eq", False, False, True), ("eq", False, None, False), ("eq", True, False, False),
)  # fmt: skip


@pytest.mark.parametrize(("op", "value", "found", "expected"), BOUNDARIES)
def test_an_atom_holds_exactly_at_its_boundary(op: Op, value: Value, found: Value, expected: bool) -> None:
    guard = atom("x", op, value)
    assert holds(guard, {"x": found}) is expected
    assert compile_guard(guard)({"x": found}) is expected


def test_an_absent_fact_is_null() -> None:
    assert holds(atom("x", "is_null", True), {})
    assert not holds(atom("x", "ne", 1), {})
    assert holds(negated(atom("x", "eq", 1)), {})


def test_an_empty_all_holds_and_an_empty_any_does_not() -> None:
    assert holds(every(), {})
    assert not holds(some(), {})
    assert compile_guard(every())({})
    assert not compile_guard(some())({})


def test_a_predicate_means_what_it_stands_for() -> None:
    guard = named("owing", some(atom("x", "gt", 0), atom("y", "eq", "late")))
    assert holds(guard, {"y": "late"})
    assert not holds(guard, {"x": 0, "y": "paid"})


def test_the_facts_of_a_guard_come_once_each_in_the_order_of_reading() -> None:
    guard = every(atom("b", "gt", 0), named("p", some(atom("a", "gt", 0), negated(atom("b", "lt", 9)))))
    assert facts_of(guard) == ("b", "a")
    assert facts_of(None) == ()


NAMES = st.sampled_from(("x", "y"))
NUMBERS = st.integers(-2, 2)
ATOMS: st.SearchStrategy[Guard] = st.one_of(
    st.builds(atom, NAMES, st.sampled_from(("eq", "ne", "lt", "lte", "gt", "gte")), NUMBERS),
    st.builds(atom, NAMES, st.just("in"), st.lists(NUMBERS, max_size=3).map(tuple)),
    st.builds(atom, NAMES, st.just("between"), st.tuples(NUMBERS, NUMBERS)),
    st.builds(atom, NAMES, st.just("is_null"), st.booleans()),
)
GUARDS: st.SearchStrategy[Guard] = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: every(*parts)),
        st.lists(inner, max_size=3).map(lambda parts: some(*parts)),
        inner.map(negated),
        inner.map(lambda part: named("p", part)),
    ),
    max_leaves=8,
)


@given(GUARDS, st.dictionaries(NAMES, st.one_of(st.none(), NUMBERS)))
def test_the_compiled_form_means_what_the_guard_means(guard: Guard, facts: dict[str, Value]) -> None:
    assert compile_guard(guard)(facts) is holds(guard, facts)


@given(GUARDS, st.dictionaries(NAMES, st.one_of(st.none(), NUMBERS)))
def test_facts_that_a_guard_does_not_name_do_not_matter(guard: Guard, facts: dict[str, Value]) -> None:
    read = {name: value for name, value in facts.items() if name in facts_of(guard)}
    assert holds(guard, read) is holds(guard, facts)
