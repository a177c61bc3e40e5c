"""What deploys Forbear names commands, settings and files that there are, and opens one door."""

from __future__ import annotations

import configparser
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import forbear
from jobs.queues import QUEUES
from storage.settings import Settings

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"
UNITS = sorted((FOLDER / "systemd").glob("*.service"))
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
ELSEWHERE = {"FORBEAR_LOG", "FORBEAR_TRUSTED_PROXIES"}  # read by commands, not by the settings


def known_settings() -> set[str]:
    """Return every variable that is read."""
    source = inspect.getsource(inspect.getmodule(Settings))  # type: ignore[arg-type]
    return set(re.findall(r'"((?:FORBEAR|STRIPE)_[A-Z_]+)"', source)) | ELSEWHERE


def unit(path: Path) -> configparser.SectionProxy:
    """Read the service of a unit."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text("utf-8"))
    return parser["Service"]


def is_command(words: list[str]) -> bool:
    """Tell whether the front door has this command."""
    return words[0] in {command.name for command in forbear.COMMANDS}


def test_units_are_the_web_the_workers_and_the_controller_and_no_more() -> None:
    assert [path.name for path in UNITS] == [
        "forbear-controller.service",
        "forbear-web.service",
        "forbear-worker@.service",
    ]
    told = (FOLDER / "README.md").read_text("utf-8")
    assert all(f"@{queue}" in told or queue in told for queue in QUEUES)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_starts_a_command_that_there_is_with_least_rights(path: Path) -> None:
    service = unit(path)
    words = service["ExecStart"].split()
    assert words[0].endswith("/forbear")
    assert is_command(words[1:])
    assert service["User"] == "forbear"
    assert service["NoNewPrivileges"] == "true"
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always"


def test_settings_that_are_named_are_read() -> None:
    named = set(
        re.findall(r"^([A-Z_]+)=", (FOLDER / "systemd" / "environment.example").read_text("utf-8"), re.MULTILINE)
    )
    for service in SERVICES.values():
        named |= {name for name in service.get("environment", {}) if name.startswith(("FORBEAR_", "STRIPE_"))}
    assert named <= known_settings()
    assert {"FORBEAR_DATABASE_URL", "FORBEAR_REDIS_URL", "STRIPE_WEBHOOK_SECRET"} <= named


def test_compose_runs_every_part_as_often_as_it_should() -> None:
    ours = {name: service for name, service in SERVICES.items() if service.get("image") == "forbear:latest"}
    commands = {name: service["command"] for name, service in ours.items()}
    assert sorted(words[2] for words in commands.values() if words[:2] == ["forbear", "worker"]) == sorted(QUEUES)
    for words in commands.values():
        for each in " ".join(words).split("&&") if words[0] == "sh" else [" ".join(words)]:
            assert is_command(each.split("forbear ", 1)[1].split()), each
    assert ours["web"]["deploy"]["replicas"] == 2
    assert ours["web"]["read_only"]
    assert set(SERVICES) - set(ours) == {"postgres", "redis", "proxy"}


def test_compose_opens_one_door_on_loopback() -> None:
    doors = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert doors == {"proxy": ["127.0.0.1:8080:8080"]}
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    assert not re.search(r"(PASSWORD|TOKEN|SECRET|KEY): [^$\"\s]", text), "secrets come from the environment"


def test_compose_lets_every_part_read_the_same_files_of_the_operator() -> None:
    ours = {name: service for name, service in SERVICES.items() if service.get("image") == "forbear:latest"}
    for name in ours:
        environment = SERVICES[name]["environment"]
        assert environment["FORBEAR_HOSTS_FILE"] == "${FORBEAR_HOSTS_FILE:?}", f"{name} would be its own host"
        assert environment["FORBEAR_EDGE_FILE"] == "${FORBEAR_EDGE_FILE:-}", name
        assert "data:/data" in SERVICES[name]["volumes"], name


def test_proxy_publishes_the_webhook_and_nothing_else() -> None:
    text = (FOLDER / "nginx.conf").read_text("utf-8")
    locations = re.findall(r"location (.+?) \{\n((?:.|\n)*?)\n    \}", text)
    assert [where for where, body in locations if "proxy_pass" in body] == ["= /api/billing/webhook"]
    assert dict(locations)["/"].strip() == "return 404;"


def test_runbook_names_commands_that_there_are() -> None:
    told = re.findall(r"`forbear ([^`]+)`", (FOLDER / "runbook.md").read_text("utf-8"))
    assert len(told) > 8
    assert all(is_command(words.split()) for words in told)


def test_image_is_built_from_locked_packages_alone() -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    for command in re.findall(r"pip install [^&\n]+", text):
        assert "--require-hashes" in command or "--no-index" in command, command
