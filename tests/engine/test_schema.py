"""Schemas of one policy: its names are the choices, its own files obey them, and a mistyped name does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from engine.commands import SHIPPED
from engine.commands.schema import schema
from engine.faults import Faults
from engine.load import bundle, load_policy
from engine.schema import schemas
from engine.shape import schema_of
from engine.source import Node, parse

FOLDERS = [SHIPPED, Path(__file__).parents[1] / "policies" / "small"]


def validator(made: dict[str, Any], name: str) -> Any:
    """Return a validator as an editor has it: every schema found by its file's name."""
    registry: Any = Registry().with_resources((file, Resource.from_contents(each)) for file, each in made.items())
    return Draft202012Validator(made[f"{name}.schema.json"], registry=registry)


def tree(file: str, written: str) -> Node:
    """Read a file."""
    root = parse(file, written, Faults())
    assert root is not None
    return root


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_of_a_policy_obeys_its_own_schemas(folder: Path) -> None:
    made = schemas(load_policy(folder))
    for each in made.values():
        Draft202012Validator.check_schema(each)
    for file, written in bundle(folder).items():
        root = tree(file, written)
        name = schema_of(file, root)
        assert name is not None
        assert [error.message for error in validator(made, name).iter_errors(root.plain())] == []


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("billing.yaml", "to: overdue_warning", "to: overdue_waning"),
        ("billing.yaml", "when: owing", "when: owning"),
        ("standing.yaml", "{fact: exempt, eq", "{fact: exampt, eq"),
        ("intents.yaml", "promises: suspend", "promises: suspand"),
        ("permits.yaml", "notify: send_hold_changed_notice", "notify: send_hold_changed"),
        ("permits.yaml", "alert: clock_not_sane", "alert: clock_insane"),
        ("server.yaml", "event: stop_requested", "event: stop"),
    ],
)
def test_name_that_is_not_declared_is_underlined(file: str, right: str, wrong: str) -> None:
    made = schemas(load_policy(SHIPPED))
    written = bundle(SHIPPED)[file]
    assert right in written
    name = schema_of(file, tree(file, written))
    assert name is not None
    assert list(validator(made, name).iter_errors(tree(file, written.replace(right, wrong, 1)).plain()))


def test_schemas_are_written_beside_the_policy(tmp_path: Path) -> None:
    done = CliRunner().invoke(schema, [str(SHIPPED), "--out", str(tmp_path / "schema")])
    assert done.exit_code == 0
    common = json.loads((tmp_path / "schema" / "common.schema.json").read_text("utf-8"))
    assert "overdue_invoices" in common["$defs"]["declared_fact"]["enum"]
    assert "backups.create" in common["$defs"]["declared_action"]["enum"]
    assert "billing.suspended" in common["$defs"]["declared_rung"]["enum"]
    assert {path.name for path in (SHIPPED / "schema").iterdir()} == {
        path.name for path in (tmp_path / "schema").iterdir()
    }
