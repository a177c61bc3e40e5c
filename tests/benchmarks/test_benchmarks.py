"""Runs every benchmark of this folder and prints one table. An aim that is missed is shown, and fails nothing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.benchmarks.table import Row, written


@pytest.mark.timeout(3600)
def test_every_benchmark_prints_its_figure_beside_its_limit() -> None:
    rows: list[Row] = []
    failed: list[str] = []
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        try:
            rows += importlib.import_module(f"tests.benchmarks.{path.stem}").run()
        except Exception as error:  # one benchmark's error must not hide the others' figures
            failed.append(f"{path.stem}: {error!r}")
    sys.stdout.write("\n\n" + written(rows) + "\n\n")
    assert not failed, "\n".join(failed)
    assert rows
