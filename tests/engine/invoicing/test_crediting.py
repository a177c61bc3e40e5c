"""Credit notes in parts: never more than is left of a line, and together they take back the whole, to the cent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.invoicing.compute import vat_of
from engine.invoicing.crediting import LineNotCreditable, credit, left_of, wanted_of
from engine.invoicing.invoice import Invoice, InvoiceKind, Line, LineKind
from tests.factories import party

D = Decimal
ON = date(2030, 3, 5)
RATES = (D("0.00"), D("2.60"), D("8.10"))


def line(amount: Decimal, rate: Decimal = RATES[-1]) -> Line:
    first, last = date(2030, 2, 1), date(2030, 2, 28)
    return Line(LineKind.MONTHLY, "Tenant alpha", "alpha", first, last, D(1), "month", amount, amount, rate)


def invoice(*lines: Line) -> Invoice:
    vat_lines = vat_of(lines)
    net, vat = sum((each.amount for each in lines), D("0.00")), sum((each.vat for each in vat_lines), D("0.00"))
    return Invoice(
        InvoiceKind.INVOICE, "2030-1", None, "O", party("Host"), party("O"), None, None, "CHF", lines[0].first_on,
        lines[0].last_on, date(2030, 3, 1), date(2030, 3, 31), lines, vat_lines, net, vat, net + vat,
    )  # fmt: skip


AMOUNTS = st.integers(1, 100_000).map(lambda cents: D(cents).scaleb(-2))
LINES = st.lists(st.builds(line, AMOUNTS, st.sampled_from(RATES)), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(LINES, st.data())
def test_parts_take_back_the_whole_to_the_cent_however_they_are_cut(lines: list[Line], data: st.DataObject) -> None:
    whole = invoice(*lines)
    taken: dict[int, Decimal] = {}
    notes: list[Invoice] = []
    while any(left := {at: amount for at, amount in left_of(whole, taken).items() if amount}):
        at = data.draw(st.sampled_from(sorted(left)))
        part = data.draw(st.one_of(st.none(), st.decimals(D("0.01"), left[at], places=2)))
        wanted = wanted_of(whole, taken, None if len(notes) == 5 else {at: part})
        note = credit(whole, f"2030-{len(notes) + 2}", ON, wanted, taken)
        notes.append(note)
        taken = {at: taken.get(at, D(0)) + wanted.get(at, D(0)) for at in range(1, len(lines) + 1)}
        assert note.net == sum(each.amount for each in note.lines)
        assert all(each.amount == (each.quantity * each.unit_price).quantize(D("0.01")) for each in note.lines)
        assert all(
            each.vat >= 0 and abs(each.vat - each.net * each.percent / 100) <= D("0.01") for each in note.vat_lines
        )
        assert (note.total, note.corrects) == (note.net + note.vat, "2030-1")
    assert sum(note.total for note in notes) == whole.total
    assert sum(note.vat for note in notes) == whole.vat


def test_an_untouched_invoice_is_credited_line_by_line_as_it_stands() -> None:
    whole = invoice(line(D("29.00")), line(D("0.00")), line(D("49.00"), D("0.00")))
    note = credit(whole, "2030-2", ON, wanted_of(whole, {}, None))
    assert (note.lines, note.vat_lines, note.total) == (whole.lines, whole.vat_lines, whole.total)
    assert note == credit(whole, "2030-2", ON)
    part = credit(whole, "2030-2", ON, wanted_of(whole, {}, {1: D("9.00")}))
    assert part.lines == (replace(whole.lines[0], unit="once", unit_price=D("9.00000"), amount=D("9.00")),)
    assert (part.net, part.vat, part.due_on, part.iban) == (D("9.00"), D("0.73"), ON, None)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({1: D("19.01")}, "19.01 is more than the 19.00 that is left"),
        ({1: D("0.00")}, "no amount"),
        ({1: D("-1.00")}, "no amount"),
        ({1: D("1.001")}, "no amount"),
        ({1: D("NaN")}, "no amount"),
        ({1: D("Infinity")}, "no amount"),
        ({2: None}, "nothing is left"),
        ({0: None}, "has 2 lines"),
        ({3: None}, "has 2 lines"),
    ],
)
def test_more_than_is_left_of_a_line_is_refused(wish: dict[int, Decimal | None], says: str) -> None:
    whole = invoice(line(D("29.00")), line(D("49.00")))
    with pytest.raises(LineNotCreditable, match=says):
        wanted_of(whole, {1: D("10.00"), 2: D("49.00")}, wish)


def test_up_to_what_is_left_of_a_line_is_credited() -> None:
    whole = invoice(line(D("29.00")), line(D("49.00")))
    taken = {1: D("10.00"), 2: D("49.00")}
    assert wanted_of(whole, taken, {1: D("19.00")}) == {1: D("19.00")}
    assert wanted_of(whole, taken, {1: None}) == {1: D("19.00")}
    assert wanted_of(whole, taken, None) == {1: D("19.00")}
    assert wanted_of(whole, taken, {}) == {}
