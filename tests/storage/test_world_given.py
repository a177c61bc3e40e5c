"""Every decision outside tests is told what permits ask beyond the account: left out, a mirror would count as fresh."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECIDING = {
    "record", "record_many", "record_batch", "move_server", "move_servers", "ask", "ask_again", "ask_server", "claim",
    "finish", "requeue_dead", "resolve", "set_hold", "end_hold", "exempt", "create_account", "request_start",
    "request_stop", "request_restart", "take_back", "close",
}  # fmt: skip
MODULES = {"ledger", "intents", "servers", "holds", "accounts"}
BARE = {"record_many", "move_server", "move_servers", "ask_server", "create_account", "record_batch"}


def without_world(source: str) -> list[str]:
    """Return the calls that decide and are told of no world, as `name:line`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg in {"world", None} for word in node.keywords):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in BARE:
            found.append(f"{called.id}:{node.lineno}")
        elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            name = f"{called.value.id}.{called.attr}"
            deciding = called.attr in DECIDING or name == "servers.create"
            if called.value.id in MODULES and deciding:
                found.append(f"{name}:{node.lineno}")
    return found


@pytest.mark.parametrize("folder", ["storage", "jobs", "web"])
def test_every_decision_is_told_of_the_world(folder: str) -> None:
    found = {
        str(path.relative_to(ROOT)): calls
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (calls := without_world(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_this_test_sees_a_call() -> None:
    assert without_world("ledger.record(conn, policy, account)") == ["ledger.record:1"]
    assert without_world("move_server(conn, policy, server, 'x', world=world)") == []
    assert without_world("servers.create(conn, policy, account, **more)") == []
