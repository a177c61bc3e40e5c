"""`forbear policy check` on the shipped policy, as the process that a hook starts. The limit is in seconds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.table import Row

LIMIT_SECONDS = 0.4
ROUNDS = 12
PROJECT = Path(__file__).resolve().parents[2]


def run() -> list[Row]:
    """Measure the best of several runs; the median stands beside it, as whoever waits feels that."""
    took = sorted(_seconds() for _ in range(ROUNDS))
    return [
        Row("forbear policy check, as a process", took[0], LIMIT_SECONDS, took[0] / LIMIT_SECONDS, "s", "<= 1"),
        Row("the same, median", took[ROUNDS // 2], LIMIT_SECONDS, took[ROUNDS // 2] / LIMIT_SECONDS, "s", "<= 1"),
    ]


def _seconds() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "forbear", "policy", "check"], cwd=PROJECT, check=True, capture_output=True)
    return time.perf_counter() - began
