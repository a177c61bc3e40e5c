"""Forty mistakes that operators make: each is found in its line in one pass, alone and with all the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from engine.faults import Fault, PolicyFaults
from engine.load import load_policy
from tests.engine.seeds import Seed, planted, seeds


def found_in(folder: Path, chosen: Iterable[Seed]) -> list[tuple[str, str, int]]:
    """Write a policy with these seeds into a folder, check it once, and return code, file and line of each fault."""
    texts, places = planted(chosen)
    for file, text in texts.items():
        (folder / file).write_text(text)
    with pytest.raises(PolicyFaults) as found:
        load_policy(folder)
    assert list(found.value.faults) == sorted(found.value.faults, key=_place)
    return [
        (fault.code, *places.get((fault.place.file, fault.place.line), (fault.place.file, fault.place.line)))
        for fault in found.value.faults
    ]


def _place(fault: Fault) -> tuple[str, int, int]:
    return fault.place.file, fault.place.line, fault.place.column


def test_there_are_forty_mistakes() -> None:
    assert len(seeds()) == 40
    assert all(seed.expected and seed.parts for seed in seeds())


@pytest.mark.parametrize("seed", seeds(), ids=str)
def test_a_mistake_is_found_in_its_line_and_nothing_else_is_said(tmp_path: Path, seed: Seed) -> None:
    assert sorted(found_in(tmp_path, [seed])) == sorted(seed.expected)


def test_all_of_them_in_one_folder_are_reported_together(tmp_path: Path) -> None:
    expected = [fault for seed in seeds() for fault in seed.expected]
    assert sorted(found_in(tmp_path, seeds())) == sorted(expected)
