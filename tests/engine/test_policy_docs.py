"""The policy's README knows every key, code, file and override, and its examples of faults are faults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.load import load_policy
from engine.shape import SCHEMAS
from tests.engine.mistakes import SHIPPED
from tests.engine.test_load import MISTAKES, OF_FOLDERS

README = (SHIPPED / "README.md").read_text()
ROWS = dict(re.findall(r"(?m)^\| ([PSM]\d{3}) \|[^|]*\|(.*)\|$", README))
OTHERS = {"guarantees.schema.json", "scenario.schema.json"}  # explained where they are proved and played


def keys_of(schema: Any) -> set[str]:
    """Return every key that a schema names."""
    if isinstance(schema, dict):
        inner = [keys_of(part) for part in schema.values()]
        return set(schema.get("properties", {})).union(*inner)
    return set().union(*map(keys_of, schema)) if isinstance(schema, list) else set()


@pytest.mark.parametrize(
    "path", [p for p in sorted(SCHEMAS.glob("*.json")) if p.name not in OTHERS], ids=lambda p: p.name
)
def test_every_key_is_explained(path: Path) -> None:
    prose = re.sub(r"(?s)```.*?```", "", README)
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert keys_of(json.loads(path.read_text())) - words == set()


def test_every_code_of_a_fault_is_explained() -> None:
    assert {mistake.code for mistake in MISTAKES} | OF_FOLDERS == set(ROWS)


@pytest.mark.parametrize(("code", "example"), [(code, cell) for code, cell in ROWS.items() if cell.strip()])
def test_an_example_of_a_fault_is_one(code: str, example: str) -> None:
    written = " ".join(example.strip().strip("`").split())
    found = [m for m in MISTAKES if m.code == code]
    texts = [" ".join(m.new.split()) for m in found]
    texts += [f"{name}={value}" for m in found for name, value in m.env.items()]
    assert any(written in text for text in texts), texts


def test_every_file_is_in_the_table() -> None:
    assert {path.name for path in SHIPPED.glob("*.yaml")} == set(re.findall(r"\| \[`([a-z]+\.yaml)`\]", README))


def test_every_override_is_in_the_table_with_its_default() -> None:
    rows = re.findall(r"\| `(BILLING_[A-Z_]+)` \| `([a-z_]+)`.* \| (\d+) \|", README)
    settings = load_policy(SHIPPED).machines["billing"].settings.values()
    expected = set()
    for setting in settings:
        if setting.env is not None:
            size = 3600 if setting.env_unit == "hours" else 86_400
            expected.add((setting.env, setting.name, str(int(setting.default.total_seconds()) // size)))
    assert set(rows) == expected


def test_every_level_of_repairs_is_in_the_table_with_its_default() -> None:
    rows = set(re.findall(r"\| `(BILLING_REPAIR_[A-Z0-9_]+)` \| (\d): .* \| `([a-z_]+)` \|", README))
    text = (SHIPPED / "repairs.yaml").read_text()
    levels = re.findall(r'(?m)^  (\d): \{default: "?([a-z_]+)"?, +env: ([A-Z0-9_]+)\}', text)
    assert rows == {(variable, level, mode) for level, mode, variable in levels}
    assert rows
