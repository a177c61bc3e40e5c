"""The ten invoices worked out by hand come out so, to the cent, and the README tells the same totals."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.invoicing.compute import preview
from engine.invoicing.days import Days, month_of
from engine.invoicing.document import from_document, to_document
from engine.invoicing.invoice import Invoice
from engine.invoicing.metered import PlatformPrice, Prices, SkillPrice, Switch, Tenant, Usage, UsageKind
from engine.invoicing.tariff import Tariff
from tests.factories import party

FOLDER = Path(__file__).parents[2] / "examples" / "invoices"
FILES = sorted(FOLDER.glob("*.yaml"))


def _price(found: dict[str, str]) -> dict[str, Any]:
    amounts = {name: Decimal(value) for name, value in found.items() if name != "valid_from"}
    return {"valid_from": date.fromisoformat(found["valid_from"]), **amounts}


def _switches(found: list[dict[str, Any]]) -> list[Switch]:
    return [Switch(datetime.fromisoformat(each["at"]), each["event"] in {"enabled", "suspended"}) for each in found]


def _tenant(name: str, found: dict[str, Any]) -> Tenant:
    deleted = found.get("deleted")
    return Tenant(
        name,
        datetime.fromisoformat(found["created"]),
        None if deleted is None else datetime.fromisoformat(deleted),
        _switches(found.get("suspensions", [])),
        {skill: _switches(switches) for skill, switches in found.get("skills", {}).items()},
        [
            Usage(UsageKind(each["kind"]), date.fromisoformat(each["used_on"]), Decimal(each["quantity"]))
            for each in found.get("usage", [])
        ],
    )


def computed(given: dict[str, Any]) -> Invoice:
    """Compute the invoice of a file."""
    year, month = map(int, given["month"].split("-"))
    days = Days.of(*month_of(year, month), given["zone"])
    skills = {name: [SkillPrice(**_price(each)) for each in prices] for name, prices in given["skills"].items()}
    prices = Prices("CHF", [PlatformPrice(**_price(each)) for each in given["prices"]], skills)
    tenants = [_tenant(name, found) for name, found in given["tenants"].items()]
    tariff = Tariff(days, prices, given["country"])
    return preview(tenants, tariff, organisation="Example", creditor=party("Host"), debtor=party("Example"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_invoice_is_as_worked_out_by_hand(path: Path) -> None:
    given = yaml.safe_load(path.read_text("utf-8"))
    found, wanted = computed(given), given["invoice"]
    lines = [(x.text, x.quantity, x.unit, x.unit_price, x.amount) for x in found.lines]
    assert lines == [
        (x["text"], Decimal(x["quantity"]), x["unit"], Decimal(x["unit_price"]), Decimal(x["amount"]))
        for x in wanted["lines"]
    ]
    vat = [(x.percent, x.net, x.vat) for x in found.vat_lines]
    assert vat == [(Decimal(x["percent"]), Decimal(x["net"]), Decimal(x["vat"])) for x in wanted["vat"]]
    sums = (found.net, found.vat, found.total)
    assert sums == tuple(Decimal(wanted[name]) for name in ("net", "vat_total", "total"))
    assert from_document(to_document(found)) == found


def test_readme_tells_of_each_file_and_its_total() -> None:
    words = (FOLDER / "README.md").read_text("utf-8")
    told = dict(re.findall(r"\]\((\d\d-[\w-]+\.yaml)\)\n.*?Total \*\*([\d.]+)\*\*", words, re.DOTALL))
    assert told == {path.name: yaml.safe_load(path.read_text("utf-8"))["invoice"]["total"] for path in FILES}
    assert len(told) == 10
