"""What is installed is ours and complete, the lock can be trusted, and the Makefile explains itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("engine", "storage", "jobs", "web")
LOCKS = ("requirements.lock", "requirements-dev.lock")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: str) -> dict[str, str]:
    """Return the requirement lines of a lock by name, with what follows them."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {normal(line.partition("==")[0]): line for line in lines}


@pytest.mark.parametrize("name", [*PACKAGES, "forbear"])
def test_installed_packages_are_ours_from_anywhere(name: str) -> None:
    code = f"import {name}; print({name}.__file__)"
    outcome = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert Path(outcome.stdout.strip()).is_relative_to(ROOT)


def test_the_wheel_holds_every_package_the_policy_and_the_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    assert "forbear.py" in names
    for folder in (*PACKAGES, "policy"):
        wanted = [
            str(file.relative_to(ROOT))
            for file in (ROOT / folder).rglob("*")
            if file.is_file() and not {"__pycache__", ".mypy_cache", ".ruff_cache"} & set(file.parts)
        ]
        assert wanted
        assert set(wanted) <= names
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]


@pytest.mark.parametrize("file", LOCKS)
def test_lock_pins_and_hashes_everything_and_names_no_host(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|index-url|find-links|trusted-host|@ ", text)
    for name, line in locked(file).items():
        assert re.match(r"^[A-Za-z0-9._-]+==[^ ;]+", line), name
        assert "--hash=sha256:" in line, name


def test_lock_covers_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {normal(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in requirements}

    assert names(project["dependencies"]) <= locked("requirements.lock").keys()
    assert names(project["optional-dependencies"]["dev"]) <= locked("requirements-dev.lock").keys()
    shared = locked("requirements.lock")
    for name, line in locked("requirements-dev.lock").items():
        assert shared.get(name, line).split()[0] == line.split()[0]


def test_make_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    outcome = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in targets.group(1).split():
        assert re.search(rf"^  make {target} +\S", outcome.stdout, re.MULTILINE), target


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = tmp_path / "an old python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit\nexit 1\n')
    old.chmod(0o755)
    outcome = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "setup")],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert "needs Python 3.11 or newer, found Python 3.9.2" in outcome.stderr


def imported(folder: Path) -> set[str]:
    """Return the top-level names that a folder's code imports."""
    names: set[str] = set()
    for file in folder.rglob("*.py") if folder.is_dir() else [folder]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def test_whatever_is_imported_is_asked_for_by_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: asked for name, asked in project["optional-dependencies"].items() if name != "dev"}
    lines = [*project["dependencies"], *(line for asked in extras.values() for line in asked)]
    asked_for = {normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in lines}
    used = set().union(*(imported(ROOT / name) for name in (*PACKAGES, "forbear.py")))
    foreign = used - set(sys.stdlib_module_names) - {*PACKAGES, "forbear"}
    owners = packages_distributions()
    assert {name for name in foreign if not {normal(owner) for owner in owners.get(name, [])} & asked_for} == set()
