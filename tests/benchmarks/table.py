"""One table for all benchmarks: each figure beside its limit, measured in the same run, and the ratio aimed at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter_ns


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `ratio` is figure / limit; `aim` says what it should be, such as `<= 5` or `>= 0.7`."""

    name: str
    figure: float
    limit: float
    ratio: float
    unit: str
    aim: str

    @property
    def met(self) -> bool | None:
        """Tell whether the ratio is as aimed at; None when the aim is not a comparison."""
        found = re.match(r"\s*(<=|>=|≤|≥|<|>)?\s*(\d+(?:\.\d+)?)", str(self.aim))
        if found is None:
            return None
        bound = float(found[2])
        return self.ratio >= bound if found[1] in {">=", "≥", ">"} else self.ratio <= bound


def microseconds_each(act: Callable[[], object], count: int, repeats: int = 40) -> float:
    """Return the time of one call in µs: the best of several runs, as everything else on a machine only adds to it."""
    best = float("inf")
    for _ in range(repeats):
        start = perf_counter_ns()
        for _ in range(count):
            act()
        best = min(best, (perf_counter_ns() - start) / count / 1000)
    return best


def written(rows: Iterable[Row]) -> str:
    """Return the rows as one table."""
    lines = [("benchmark", "figure", "limit", "unit", "ratio", "aim", "")]
    for row in rows:
        verdict = {True: "met", False: "missed", None: ""}[row.met]
        figures = (f"{row.figure:,.3g}", f"{row.limit:,.3g}", row.unit, f"{row.ratio:.2f}", str(row.aim), verdict)
        lines.append((row.name, *figures))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {0, 3, 5, 6}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
