"""What watches Forbear names only figures that there are, says what to do, and listens on loopback alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from web import metrics

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"
NAME = re.compile(r"\bforbear_[a-z_]+")


def shown() -> set[str]:
    """Return the names of all figures, as the source gives them to `/metrics`."""
    source = Path(metrics.__file__).read_text("utf-8")
    plain = set(re.findall(r'_(?:gauge|family)\(\s*"([a-z_]+)"', source))
    unsettled = {f"events_{status}{more}" for status in ("parked", "quarantined") for more in ("", "_oldest_seconds")}
    return {f"forbear_{name}" for name in plain | unsettled}


def loaded(name: str) -> Any:
    """Read one of the files."""
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


@pytest.mark.parametrize("name", ["alerts.yml", "alerts.test.yml", "dashboard.json"])
def test_every_figure_that_is_named_is_shown(name: str) -> None:
    named = set(NAME.findall((FOLDER / name).read_text("utf-8")))
    assert named
    assert named <= shown()


def test_every_figure_that_tells_of_trouble_wakes_somebody() -> None:
    watched = set(NAME.findall((FOLDER / "alerts.yml").read_text("utf-8")))
    context = {"accounts", "intents", "processes", "build_info", "scrape_seconds", "brake_slots_taken", "alerts_untold",
               "events_parked", "events_quarantined_oldest_seconds"}  # fmt: skip
    assert shown() - watched == {f"forbear_{name}" for name in context}


def test_every_alert_says_what_to_do() -> None:
    for group in loaded("alerts.yml")["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"], rule["alert"]
            assert rule["annotations"]["action"], rule["alert"]
            assert rule["labels"]["severity"] in {"page", "ticket"}


def test_everything_listens_on_loopback_alone() -> None:
    services = loaded("compose.yaml")["services"]
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    for service in services.values():
        assert "ports" not in service
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert not source.startswith("./") or (FOLDER / source).is_file()


def test_dashboard_overlaps_nowhere_and_reads_the_chosen_source() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in panels}) == len(panels)
