"""Faults as people and programs see them: underlined, as JSON, as annotations."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from engine.durations import LONGEST, parse_duration, write_duration
from engine.faults import Fault, FaultKind, Faults, PolicyFaults, closest, meant, shown
from engine.model import Place
from engine.render import MOST_SHOWN, WIDEST, render_github, render_json, render_text

SOURCES = {"a.yaml": ("machine: billing", "ladder: [actve, late]", "\tword: x")}
FAULT = Fault("M304", Place("a.yaml", 2, 10), 15, "machine `billing` has no state `actve`", "did you mean `active`?")


def test_a_fault_is_shown_with_its_line_underlined_and_its_hint() -> None:
    assert render_text([FAULT], SOURCES, folder="policy").splitlines() == [
        "policy/a.yaml:2:10: M304 machine `billing` has no state `actve`",
        " 2 | ladder: [actve, late]",
        "   |          ^^^^^",
        "   = did you mean `active`?",
        "",
        "1 fault: 1 have the wrong meaning",
    ]


def test_colours_come_only_when_asked_for() -> None:
    assert "\x1b" not in render_text([FAULT], SOURCES)
    assert "\x1b[31m^^^^^\x1b[0m" in render_text([FAULT], SOURCES, color=True)


def test_a_fault_of_a_file_without_lines_is_shown_all_the_same() -> None:
    text = render_text([Fault("S211", Place("b.yaml", 1, 1), 2, "the policy has no `b.yaml`")], SOURCES)
    assert text.startswith("b.yaml:1:1: S211 the policy has no `b.yaml`\n")


def test_a_tab_before_the_fault_is_a_tab_before_its_underline() -> None:
    lines = render_text([Fault("P101", Place("a.yaml", 3, 2), 6, "x")], SOURCES).splitlines()
    assert lines[2] == "   | \t^^^^"


def test_wide_characters_are_underlined_in_full() -> None:
    sources = {"a.yaml": ("名前: 値 # x",)}
    lines = render_text([Fault("S202", Place("a.yaml", 1, 1), 3, "x")], sources).splitlines()
    assert lines[2] == "   | ^^^^"
    lines = render_text([Fault("S202", Place("a.yaml", 1, 5), 6, "x")], sources).splitlines()
    assert lines[2] == "   | " + " " * 6 + "^^"


@pytest.mark.parametrize("column", [1, 50, 139, 140, 200, 5_000, 9_990])
def test_of_a_long_line_the_part_around_the_fault_is_shown(column: int) -> None:
    line = "".join(chr(97 + n % 26) for n in range(10_000))
    sources = {"a.yaml": (line,)}
    _, source, mark, *_ = render_text(
        [Fault("S202", Place("a.yaml", 1, column), column + 3, "x")], sources
    ).splitlines()
    assert len(source) <= WIDEST + 10
    start = mark.index("^")
    assert mark[start:] == "^^^"
    assert source[start : start + 3] == line[column - 1 : column + 2]


@pytest.mark.parametrize(("column", "end"), [(100, 200), (5, 4), (1, 1)])
def test_places_beyond_the_line_do_no_harm(column: int, end: int) -> None:
    assert "^" in render_text([Fault("P101", Place("a.yaml", 1, column), end, "x")], SOURCES)


def test_of_very_many_faults_the_first_are_shown_and_the_rest_counted() -> None:
    faults = [Fault("S202", Place("a.yaml", 1, n + 1), n + 2, "x") for n in range(MOST_SHOWN + 5)]
    text = render_text(faults, SOURCES)
    assert "… and 5 more" in text
    assert text.endswith(f"{MOST_SHOWN + 5} faults: {MOST_SHOWN + 5} have the wrong shape")


def test_json_holds_every_fault() -> None:
    told = json.loads(render_json([FAULT], folder="policy/"))
    assert told == {
        "ok": False,
        "faults": [
            {
                "code": "M304",
                "kind": "wrong meaning",
                "file": "policy/a.yaml",
                "line": 2,
                "column": 10,
                "endColumn": 15,
                "message": FAULT.message,
                "hint": FAULT.hint,
            }
        ],
    }


def test_an_annotation_cannot_be_ended_from_inside() -> None:
    fault = Fault("M301", Place("a,b:c.yaml", 2, 3), 9, "unknown `x%\n::error::y`")
    assert render_github([fault]) == (
        "::error file=a%2Cb%3Ac.yaml,line=2,col=3,endColumn=9,title=M301 wrong meaning::unknown `x%25%0A::error::y`"
    )


def test_the_kinds_follow_from_the_codes() -> None:
    kinds = {code: Fault(code, Place("a", 1, 1), 2, "x").kind for code in ("P101", "S201", "M301")}
    assert kinds == {"P101": FaultKind.PARSE, "S201": FaultKind.SHAPE, "M301": FaultKind.MEANING}


def test_the_same_fault_at_the_same_place_is_kept_once_and_words_are_underlined() -> None:
    faults = Faults()
    faults.sources = dict(SOURCES)
    for _ in range(3):
        faults.add("M304", Place("a.yaml", 2, 10), "x")
    (fault,) = faults.in_order()
    assert fault.end_column == 15
    with pytest.raises(PolicyFaults, match=r"a\.yaml:2:10: M304 x; `forbear policy check` shows all"):
        faults.raise_if_any()


def test_a_likely_name_is_proposed_and_otherwise_the_known_ones() -> None:
    assert closest("suspnd", ["suspend", "retain"]) == "suspend"
    assert closest("xyz", ["suspend", "retain"]) is None
    assert meant("suspnd", ["suspend"]) == "did you mean `suspend`?"
    assert meant("xyz", ["suspend", "retain"]) == "known here: `retain`, `suspend`"
    assert meant("xyz", [f"name{n}" for n in range(50)]) == ""
    assert meant("xyz", ["suspend"], "is it right?") == "is it right?"


def test_what_a_message_quotes_is_one_short_line_without_commands_to_the_terminal() -> None:
    assert shown("a\x1b[31m\nb\u202e") == "a\ufffd[31m\ufffdb\ufffd"
    assert len(shown("x" * 5_000)) == 60


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0h", timedelta(0)), ("5s", timedelta(seconds=5)), ("30m", timedelta(minutes=30)),
        ("72h", timedelta(hours=72)),
        ("14d", timedelta(days=14)), ("3660d", LONGEST), ("3661d", None), ("999999d", None), ("1000000s", None),
        ("072h", None), ("-5h", None), ("5", None), ("h", None), ("5 h", None), ("1.5h", None), ("5H", None),
        ("٥h", None),
        ("", None), ("5h\n", None),
    ],
)  # fmt: skip
def test_durations_are_a_whole_number_and_a_unit(text: str, duration: timedelta | None) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["0h", "5s", "90s", "30m", "72h", "120h", "14d", "1h", "24h", "7d"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    duration = parse_duration(text)
    assert duration is not None
    assert write_duration(duration) == text
