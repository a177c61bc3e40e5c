"""Mutants of policies: what is made of a text, and that a sample of the shipped policy's is caught. Soak tries all."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import pytest

from engine.commands import SHIPPED
from engine.faults import Faults
from engine.load import bundle, load_texts
from engine.source import parse
from tests.engine.mutation.mutants import Mutant, mutants
from tests.engine.mutation.score import argued, tried
from tests.engine.mutation.trial import Trial

SAMPLE = 4
LADDER = """\
machine: debt
ladder: [active, late, stopped]
settings:
  wait: {default: 3h, min: 1h}
  keep: {default: 7d}
pressure:
  - {id: climb, from: active, to: late, when: {fact: owing, eq: true}}
  - id: stop
    from: late
    to: stopped
    after: {late_at: wait, told_at: 0h}   # both
    do: [stop_servers, {tell: each server}]
"""


@pytest.fixture(scope="module")
def shipped() -> list[Mutant]:
    """Return all mutants of the shipped policy."""
    return mutants(bundle(SHIPPED))


def changes(text: str, file: str = "debt.yaml") -> dict[str, str]:
    """Return the lines that each mutant changes, as they are then, by its name."""
    before = text.splitlines()
    found = {}
    for each in mutants({file: text}):
        after = each.text.splitlines()
        found[each.name] = "; ".join(line.strip() for line in after if line not in before)
    return found


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("debt: settings.wait.default: 3h -> 4h", "wait: {default: 4h, min: 1h}"),
        ("debt: settings.wait.default: 3h -> 2h", "wait: {default: 2h, min: 1h}"),
        ("debt: settings.wait.min: dropped", "wait: {default: 3h}"),
        ("debt: pressure.climb: dropped", ""),
        (
            "debt: pressure.climb.to: late -> stopped",
            "- {id: climb, from: active, to: stopped, when: {fact: owing, eq: true}}",
        ),
        ("debt: pressure.climb.when: dropped", "- {id: climb, from: active, to: late}"),
        ("debt: pressure.climb.when.eq: -> ne", "- {id: climb, from: active, to: late, when: {fact: owing, ne: true}}"),
        (
            "debt: pressure.climb.when: negated",
            "- {id: climb, from: active, to: late, when: {not: {fact: owing, eq: true}}}",
        ),
        ("debt: pressure.stop.after: dropped", ""),
        ("debt: pressure.stop.after.late_at: dropped", "after: {told_at: 0h}   # both"),
        ("debt: pressure.stop.after.late_at: wait -> keep", "after: {late_at: keep, told_at: 0h}   # both"),
        ("debt: pressure.stop.do.tell: dropped", "do: [stop_servers]"),
        ("debt: pressure.stop.do: dropped", ""),
    ],
)  # fmt: skip
def test_a_mutant_changes_one_thing_and_leaves_the_rest_as_it_was(name: str, line: str) -> None:
    assert changes(LADDER)[name] == line


def test_every_mutant_is_yaml_and_another_text(shipped: list[Mutant]) -> None:
    texts = bundle(SHIPPED)
    for each in shipped:
        faults = Faults()
        parse(each.file, each.text, faults)
        assert [fault.message for fault in faults.in_order()] == [], each.name
        assert each.text != texts[each.file], each.name


def test_every_file_is_mutated_but_words_and_judges(shipped: list[Mutant]) -> None:
    empty = {"maintenance.yaml"}  # ships without a window
    judged = {each.file for each in shipped} | empty | {"notices.yaml", "guarantees.yaml"}
    assert judged == {path.name for path in SHIPPED.glob("*.yaml")}


def test_a_sample_of_mutants_is_caught(shipped: list[Mutant]) -> None:
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    chosen = random.Random(seed).sample([each for each in shipped if each.name not in argued()], SAMPLE)
    survivors = [
        f"{each.mutant.place} {each.mutant.name}" for each in tried(SHIPPED, chosen) if each.fate == "survived"
    ]
    assert survivors == [], f"seed {seed}"


def test_who_may_survive_is_a_mutant_and_has_a_reason(shipped: list[Mutant]) -> None:
    known = argued()
    assert known.keys() <= {each.name for each in shipped}
    assert all(reason.endswith(".") for reason in known.values())


def test_a_policy_without_judges_loses_its_mutants(tmp_path: Path, shipped: list[Mutant]) -> None:
    for file, text in bundle(SHIPPED).items():
        if file != "guarantees.yaml":
            (tmp_path / file).write_text(text, "utf-8")
    (tmp_path / "scenarios").mkdir()
    number = next(each for each in shipped if each.name == "billing: settings.suspend_after.default: 120h -> 121h")
    assert [each.fate for each in tried(tmp_path, [number])] == ["survived"]
    assert [each.fate for each in tried(SHIPPED, [number])] == ["test"]


def test_a_policy_of_which_one_file_is_read_again_is_the_same() -> None:
    texts = bundle(SHIPPED)
    trial, whole = Trial(SHIPPED), load_texts(texts).digest
    for file, text in texts.items():
        assert trial.loaded(file, text).digest == whole
