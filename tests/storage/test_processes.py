"""What code a process runs: told apart where the version stays the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from storage.processes import Process, code_digest, own_code, own_version, stale

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_digest_follows_every_module_by_name_and_text_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "engine" / "prove").mkdir(parents=True)
    module = tmp_path / "engine" / "prove" / "judge.py"
    module.write_text("one")
    first = code_digest(tmp_path)
    (tmp_path / "engine" / "notes.txt").write_text("words")
    assert code_digest(tmp_path) == first
    module.write_text("two")
    second = code_digest(tmp_path)
    module.rename(module.with_name("verdict.py"))
    assert len({first, second, code_digest(tmp_path)}) == 3


def test_a_process_of_the_same_version_with_other_code_is_named() -> None:
    old = Process(1, "worker repair", 7, f"{own_version()}+00000000", "p", NOW, NOW, alive=True, behind=False)
    new = Process(2, "serve", 8, own_code(), "p", NOW, NOW, alive=True, behind=False)
    (told,) = stale([old, new], "p")
    assert told == f"worker repair (process 7) runs version {own_version()}+00000000, not {own_code()}"
