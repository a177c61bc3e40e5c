"""The recipe for pull requests: it is YAML that a runner takes, and each command of ours in it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples" / "pull-request" / "policy.yml"


def steps() -> list[dict[str, Any]]:
    """Return the steps of the recipe."""
    recipe = yaml.safe_load(RECIPE.read_text("utf-8"))
    found: list[dict[str, Any]] = recipe["jobs"]["policy"]["steps"]
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose last commit changes a number of its policy, and `forbear` on the path."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "policy", tree / "policy")
    programs = tmp_path / "bin"
    programs.mkdir()
    wrapper = programs / "forbear"
    wrapper.write_text(
        f'#!/bin/sh\nexec {quote(sys.executable)} {quote(str(ROOT / "forbear.py"))} "$@"\n', encoding="utf-8"
    )
    wrapper.chmod(0o755)
    git(tree, "init", "-q")
    commit(tree)
    maintenance = tree / "policy" / "maintenance.yaml"
    maintenance.write_text(maintenance.read_text("utf-8").replace("title: Planned maintenance", "title: Planned work"))
    commit(tree)
    return tree


def git(tree: Path, *arguments: str) -> str:
    """Run git."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *who, *arguments], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(tree: Path) -> None:
    """Commit everything."""
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "policy")


def test_recipe_asks_for_no_more_than_it_needs() -> None:
    recipe = yaml.safe_load(RECIPE.read_text("utf-8"))
    assert recipe["permissions"] == {"contents": "read", "pull-requests": "write"}
    for step in steps():  # what an author of a pull request writes never becomes part of a command
        assert "${{" not in step.get("run", "")


def test_every_command_of_the_recipe_runs(checkout: Path) -> None:
    ran = [step["run"] for step in steps() if re.search(r"^forbear ", step.get("run", ""), re.MULTILINE)]
    assert len(ran) == 4
    env = {
        **os.environ,
        "BASE": git(checkout, "rev-parse", "HEAD~1"),
        "PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}",
    }
    for command in ran:
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=checkout, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    told = (checkout / "difference.md").read_text("utf-8")
    assert "| **changed** | `maintenance 72h before.title` | Planned maintenance | Planned work |" in told
