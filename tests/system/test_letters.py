"""Every letter in a real browser, on two screens by day and at night: whole in itself, readable, narrow enough.

The desk shows letters in frames in which nothing runs, the checker neither; so they are looked at here by themselves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser

from engine.load import load_policy
from engine.model import Policy
from jobs.letters import forms
from storage.settings import SHIPPED_POLICY, Settings
from tests.acceptance.system import ROOT
from tests.system.people import ALL, FEW, Person
from web.pages.desk_notices import paper_of

AT = datetime(2026, 3, 6, 8, 0, tzinfo=UTC)
SETTINGS = Settings(database_url="", pay_url=f"https://pay.example/{'in_1MtHbELkdIwHu7ix' * 6}")


def looked_at(person: Person, policy: Policy, language: str) -> list[str]:
    """Look at every notice of a policy; return what is wrong with any."""
    faults = []
    for name in policy.notices:
        person.page.set_content(forms.html_of(paper_of(policy, name, SETTINGS, AT, language)))
        faults += person.looks(f"letter-{language}-{name}", screens=ALL if language == "en" else FEW)
        colours = []
        for size, scheme in FEW:
            person.turn(size, scheme)
            colours.append(person.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        faults += [f"{name}: night looks like day"] if len(set(colours)) == 1 else []
    return faults


def test_every_letter_can_be_read_by_everybody(window: Browser) -> None:
    person = Person(window, "about:blank")
    faults = looked_at(person, load_policy(SHIPPED_POLICY), "en")
    faults += looked_at(person, load_policy(Path(ROOT) / "examples" / "policies" / "gentle"), "de")
    person.leave()
    assert faults + person.complaints == []
