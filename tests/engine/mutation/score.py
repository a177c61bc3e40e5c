"""What became of mutants: how many each judge caught, and who survived, held against the list of those that may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.engine.mutation.mutants import Mutant, mutants
from tests.engine.mutation.trial import FATES, Fate, Trial

SURVIVORS = Path(__file__).resolve().parents[1] / "survivors.yaml"


@dataclass(frozen=True, slots=True)
class Tried:
    """A mutant and its end: `by` is a fault's code, a scenario's file or a guarantee."""

    mutant: Mutant
    fate: Fate
    by: str


def tried(folder: Path, chosen: Iterable[Mutant] | None = None) -> Iterator[Tried]:
    """Yield what becomes of each mutant of the policy in a folder, or of those that are chosen."""
    trial = Trial(folder)
    for mutant in mutants(trial.texts) if chosen is None else chosen:
        yield Tried(mutant, *trial.fate(mutant))


def argued() -> dict[str, str]:
    """Return the mutants that may survive, each with the reason why it does no harm."""
    entries: list[Mapping[str, str | list[str]]] = yaml.safe_load(SURVIVORS.read_text("utf-8"))
    return {str(name): str(entry["because"]) for entry in entries for name in entry["mutants"]}


def share(results: Iterable[Tried]) -> float:
    """Return the share of mutants that were caught."""
    fates = [each.fate for each in results]
    return 1 - fates.count("survived") / len(fates)


def table(results: Iterable[Tried]) -> str:
    """Return how many of each file ended how."""
    counted = Counter((each.mutant.file, each.fate) for each in results)
    files = sorted({file for file, _ in counted})
    rows = [["", *FATES, "all"]]
    rows += [[file, *_counts(counted, (file,))] for file in files] + [["all", *_counts(counted, files)]]
    return "\n".join(f"{name:<18}" + "".join(f"{cell:>10}" for cell in cells) for name, *cells in rows)


def _counts(counted: Counter[tuple[str, Fate]], files: Iterable[str]) -> list[str]:
    listed = list(files)
    found = [sum(counted[file, fate] for file in listed) for fate in FATES]
    return [str(count) for count in (*found, sum(found))]
