"""Pictures of machines: every state and rule is in them, as Mermaid and as SVG that is well-formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.commands import SHIPPED
from engine.commands.draw import draw
from engine.draw import mermaid
from engine.draw_svg import svg
from engine.load import load_policy
from engine.model import Machine

FOLDERS = (SHIPPED, Path(__file__).parents[1] / "policies" / "small")
MACHINES = [machine for folder in FOLDERS for machine in load_policy(folder).machines.values()]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_mermaid_shows_every_state_and_rule(machine: Machine) -> None:
    drawn = mermaid(machine)
    for state in machine.ladder:
        assert f"<b>{state}</b>" in drawn
    for rule in machine.rules:
        if rule.to is None:
            assert f'm_{rule.id}["<b>{rule.id}</b>' in drawn
            assert drawn.count(f"-.- m_{rule.id}\n") == len(rule.sources)
        else:
            assert drawn.count(f'|"<b>{rule.id}</b>') == len(rule.sources)
    assert all(line.count('"') % 2 == 0 for line in drawn.splitlines())


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_svg_shows_every_state_and_rule_within_its_frame(machine: Machine) -> None:
    root = ET.fromstring(svg(machine))
    words = [text.text or "" for text in root.iter(f"{SVG}text")]
    for state in machine.ladder:
        assert state in words
    for rule in machine.rules:
        assert any(each.split(" (")[0].split(":")[0] == rule.id for each in words), rule.id
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        for name, limit in (("x", width), ("y", height), ("cx", width), ("cy", height)):
            assert 0 <= float(element.attrib.get(name, 0)) <= limit
    style = next(root.iter(f"{SVG}style")).text or ""
    assert "prefers-color-scheme: dark" in style


def test_one_file_a_machine_is_written(tmp_path: Path) -> None:
    done = CliRunner().invoke(draw, [str(SHIPPED), "--format", "svg", "--out", str(tmp_path)])
    assert done.exit_code == 0
    machines = load_policy(SHIPPED).machines
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.svg" for name in machines}


@pytest.mark.parametrize("arguments", [["--machine", "nobody"], ["--format", "svg"], ["/nowhere"]])
def test_what_cannot_be_drawn_is_refused_in_one_sentence(arguments: list[str]) -> None:
    done = CliRunner().invoke(draw, arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
