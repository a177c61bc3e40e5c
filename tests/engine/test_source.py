"""Reading YAML: values with places, bounded, and only what all readers of YAML read the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.faults import Faults
from engine.source import MOST_ALIASES, MOST_BYTES, Node, decode, parse


def read(text: str) -> tuple[Node | None, list[str]]:
    """Return the tree of a text, and the codes of its faults."""
    faults = Faults()
    root = parse("x.yaml", text, faults)
    return root, [fault.code for fault in faults.in_order()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 5", {"a": 5}),
        ("a: -5", {"a": -5}),
        ("a: '5'", {"a": "5"}),
        ("a: true", {"a": True}),
        ("a: false", {"a": False}),
        ("a: null", {"a": None}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: 'no'", {"a": "no"}),
        ("a: no", {"a": "no"}),
        ("a: 72h", {"a": "72h"}),
        ("a: 2%", {"a": "2%"}),
        ("a: 09:00-16:00", {"a": "09:00-16:00"}),
        ("a: 2030-12-25", {"a": "2030-12-25"}),
        ("a: [1, b, {c: d}]", {"a": [1, "b", {"c": "d"}]}),
        ("null: x", {"null": "x"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("- a\n- b", ["a", "b"]),
        ("word", "word"),
    ],
)
def test_values_are_what_they_look_like(text: str, value: object) -> None:
    root, codes = read(text)
    assert codes == []
    assert root is not None
    assert root.plain() == value


def test_a_node_knows_where_it_stands() -> None:
    root, _ = read("first: 1\nsecond: {inner: 'words', other: [a, bcd]}\n")
    assert root is not None
    second = root.entries["second"][1]
    assert (second.start, second.end) == ((2, 9), (2, 42))
    assert second.key("inner").start == (2, 10)
    assert second.entries["inner"][1].start == (2, 17)
    assert second.entries["other"][1].items[1].end == (2, 40)


def test_columns_count_characters_not_bytes() -> None:
    root, _ = read('a: "żółć", b: 1'.replace(", b", "\nb"))
    assert root is not None
    root, _ = read("{äöü: ß, b: c}")
    assert root is not None
    assert root.key("b").start == (1, 10)


def test_an_alias_bomb_is_refused_after_a_few_of_its_anchors() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    assert read(bomb)[1] == ["P106"] * MOST_ALIASES


def test_depth_is_bounded_however_deep_it_goes() -> None:
    assert read("[" * 100_000)[1] == ["P104"]
    assert read("- " * 50_000 + "x")[1] == ["P104"]
    assert read("{a: " * 50_000)[1] == ["P104"]


def test_size_is_bounded() -> None:
    assert read(f"[{'a,' * 30_000}]")[1] == ["P105"]
    assert read("# " + "x" * MOST_BYTES)[1] == ["P103"]


def test_several_faults_of_one_file_come_together() -> None:
    root, codes = read("a: 010\nyes: 1\na: 2\n<<: {b: c}\nd: 1.5\n")
    assert sorted(codes) == ["P107", "P108", "P112", "P113", "P113"]
    assert root is not None
    assert root.hurt


def test_the_same_key_twice_keeps_the_first() -> None:
    root, codes = read("a: 1\na: 2")
    assert codes == ["P108"]
    assert root is not None
    assert root.plain() == {"a": 1}


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\x7f", "\x85", "\u200b", "\u202e", "\u2028", "\u2066", "\ufeff", "\ud800"]
)
def test_what_cannot_be_seen_is_refused(character: str) -> None:
    assert read(f"a: b # {character}")[1] == ["P114"]


@pytest.mark.parametrize(
    "word", ["010", "0x1f", "0o17", "1_000", "+5", "12:30", "1.5", "1e3", ".inf", ".nan", "True", "NULL", "9" * 30]
)
def test_numbers_and_words_on_which_readers_disagree_are_refused(word: str) -> None:
    assert read(f"a: {word}")[1] == ["P113"]
    assert read(f"a: '{word}'")[1] == []


@pytest.mark.parametrize("key", ["on", "off", "yes", "no", "y", "N", "On", "YES"])
def test_a_key_that_is_true_or_false_to_some_is_refused(key: str) -> None:
    assert read(f"{key}: 1")[1] == ["P112"]
    assert read(f"'{key}': 1")[1] == []


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", b"a: \xe4", b"\xc0\x80", b"a: \xed\xa0\x80"])
def test_what_is_not_utf8_is_refused(content: bytes) -> None:
    faults = Faults()
    assert decode("x.yaml", content, faults) is None
    assert [fault.code for fault in faults.in_order()] == ["P102"]


@given(st.text(max_size=300))
def test_no_text_makes_reading_fail(text: str) -> None:
    root, codes = read(text)
    assert root is not None or codes


@given(st.text(alphabet="{}[]:,-#&*!|>'\"%@`?\n \tab01~<.", max_size=120))
def test_no_yaml_punctuation_makes_reading_fail(text: str) -> None:
    root, codes = read(text)
    assert root is not None or codes
    if root is not None:
        root.plain()


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail(content: bytes) -> None:
    faults = Faults()
    text = decode("x.yaml", content, faults)
    assert (text is None) == bool(len(faults))
