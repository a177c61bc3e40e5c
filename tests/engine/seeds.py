"""The seeded mistakes: one file each, as an operator would make them, put into a copy of the shipped policy.

Its first line says what happened, `# Expect:` which fault is to be found in which of its lines, `# Into:` which file
of the policy the lines below it are added to. A machine of a seed gets words and no gates, as one that does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.load import bundle

SHIPPED = Path(__file__).resolve().parents[2] / "policy"
FOLDER = Path(__file__).resolve().parent / "seeded"
EXPECT = re.compile(r"# Expect: ([PSM]\d{3}) in (?:line (\d+)(?: of (\S+))?|(\S+) at `(.+)`)")
INTO = re.compile(r"# Into: ([a-z0-9]+\.yaml)(?:, under `(.+)`|, instead of `(.+)`)?(?:, (\d+) times)?")


def _shipped_line(file: str, text: str) -> int:
    lines = (SHIPPED / file).read_text().splitlines()
    return 1 + next(n for n, line in enumerate(lines) if line.lstrip().startswith(text))


@dataclass(frozen=True)
class Part:
    """Lines of a seed that go into one file; `first` is the line of the seed that they begin with."""

    file: str
    under: str | None  # the line below which they stand; None: at the end
    instead: str | None  # the line whose place they take
    times: int
    first: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Seed:
    """One mistake: faults are (code, file, line), by the lines of the seed unless another file is named."""

    name: str
    expected: tuple[tuple[str, str, int], ...]
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return self.name


@cache
def seeds() -> tuple[Seed, ...]:
    """Return every seed, in the order of their names."""
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.yaml")))


def _read(path: Path) -> Seed:
    lines = path.read_text().splitlines()
    expected, parts = [], []
    for number, line in enumerate(lines, start=1):
        if (found := EXPECT.fullmatch(line)) is not None:
            code, own, file, other, text = found.groups()
            expected.append((code, other or file or path.name, int(own) if own else _shipped_line(other, text)))
        if (found := INTO.fullmatch(line)) is not None:
            file, under, instead, times = found.groups()
            rest = lines[number:]
            end = next((at for at, each in enumerate(rest) if INTO.fullmatch(each)), len(rest))
            parts.append(Part(file, under, instead, int(times or 1), number + 1, tuple(rest[:end])))
    return Seed(path.name, tuple(expected), tuple(parts))


def planted(chosen: Iterable[Seed]) -> tuple[dict[str, str], dict[tuple[str, int], tuple[str, int]]]:
    """Return a policy with these seeds in it, and which line of which seed each of its planted lines is."""
    texts = {file: text.splitlines() for file, text in bundle(SHIPPED).items()}
    origin: dict[str, list[tuple[str, int] | None]] = {file: [None] * len(lines) for file, lines in texts.items()}
    for seed in chosen:
        for part in seed.parts:
            lines, known = texts.setdefault(part.file, []), origin.setdefault(part.file, [])
            whence = [(seed.name, part.first + n) for n in range(len(part.lines))] * part.times
            at = len(lines)
            if (where := part.under or part.instead) is not None:
                at = next(n for n, line in enumerate(lines) if line.split("  #")[0].strip() == where)
            end = at + 1 if part.instead is not None else at
            at += 1 if part.under is not None else 0
            lines[at : max(at, end)] = part.lines * part.times
            known[at : max(at, end)] = whence
    for file, text in list(texts.items()):
        _admit(texts, origin, file, "\n".join(text))
    places = {
        (file, number): whence
        for file, known in origin.items()
        for number, whence in enumerate(known, start=1)
        if whence is not None
    }
    return {file: "\n".join(lines) + "\n" for file, lines in texts.items()}, places


def _admit(texts: dict[str, list[str]], origin: dict[str, list[tuple[str, int] | None]], file: str, text: str) -> None:
    """Give a seed's machine what every machine needs elsewhere: words for its rungs, and gates that it has none."""
    name, ladder = re.search(r"(?m)^machine: (s\d\d)$", text), re.search(r"(?m)^ladder: \[(.*)\]$", text)
    if name is None or ladder is None:
        return
    words = [f'  {name[1]}.{rung}: {{title: "Terms", message: "Our terms."}}' for rung in ladder[1].split(", ")]
    at = next(n for n, line in enumerate(texts["notices.yaml"]) if line.startswith("states:")) + 1
    texts["notices.yaml"][at:at] = words
    origin["notices.yaml"][at:at] = [None] * len(words)
    free = next((n for n, line in enumerate(texts["gates.yaml"]) if line.startswith("unrestricted: [")), None)
    if free is None:
        texts["gates.yaml"].append(f"unrestricted: [{name[1]}]")
        origin["gates.yaml"].append(None)
    else:
        texts["gates.yaml"][free] = texts["gates.yaml"][free].replace("]", f", {name[1]}]")
