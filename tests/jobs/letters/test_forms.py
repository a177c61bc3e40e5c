"""The two forms of a letter: the same facts in both, for every notice that ships, whatever is known and whoever."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from engine.errors import NoticeIncomplete
from engine.letter_blocks import blocks_of
from engine.load import load_policy
from engine.model import IntentKind, Policy
from engine.notices import FIELDS, FieldValue, fields_of, write
from jobs.letters import forms
from tests.factories import shipped_policy

GENTLE = Path(__file__).resolve().parents[3] / "examples" / "policies" / "gentle"
AT = datetime(2026, 3, 6, 8, 0, tzinfo=UTC)
PAY = "https://pay.example/in_1?a=b&c=d"
PORTAL = "https://portal.example"
HOSTILE = "<script>alert(1)</script> @everyone {pay_url} \r\nBcc: all@example.com \u202e" + "x" * 10_000
KINDS = {name: intent.kind for name, intent in shipped_policy().intents.items()}
NOTICES = sorted(name for name in shipped_policy().notices if KINDS[name] is IntentKind.NOTICE)


def values(**more: FieldValue) -> dict[str, FieldValue]:
    """Return a value for every field."""
    kinds: dict[str, FieldValue] = {"text": "something", "instant": AT, "list": ["overworld", "nether"]}
    return {
        **{name: kinds[kind] for name, kind in FIELDS.items()},
        "pay_url": PAY,
        "confirm_url": PAY,
        "portal_url": PORTAL,
        **more,
    }


def paper(policy: Policy, name: str, language: str = "en", **more: FieldValue) -> forms.Paper:
    """Return a notice with an invoice below it."""
    written = write(policy, name, values(**more), "Europe/Zurich", language)
    return forms.notice(written, ["A1B2-0001, 19.00 EUR"], PAY)


def words(html: str) -> str:
    """Return what a reader sees of a page."""
    body = html.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize("name", NOTICES)
def test_each_notice_says_the_same_in_both_forms(name: str) -> None:
    policy = shipped_policy()
    made = paper(policy, name)
    text, html = forms.text_of(made), forms.html_of(made)
    notice = policy.notices[name].words
    shown = words(html)
    for part in ("A1B2-0001, 19.00 EUR", PAY, "Why we write", "What happens next"):
        assert part in text
        assert part in shown
    for paragraph in made.text.split("\n\n"):
        assert " ".join(paragraph.split()).partition(" https:")[0] in shown.replace("Pay now ", "")
    if "instant" in {FIELDS[field] for field in fields_of(notice.whole)}:
        assert "Friday, 6 March 2026, 09:00 (Europe/Zurich, UTC+1)" in text
        assert "Friday, 6 March 2026, 09:00 (Europe/Zurich, UTC+1)" in shown
    assert html.count(f'href="{PAY.replace("&", "&amp;")}"') == 1
    assert "{" not in text + shown


@pytest.mark.parametrize("name", NOTICES)
def test_each_notice_without_any_fact_waits(name: str) -> None:
    with pytest.raises(NoticeIncomplete):
        write(shipped_policy(), name, {})


@pytest.mark.parametrize("name", NOTICES)
def test_each_notice_is_whole_without_an_invoice_or_servers(name: str) -> None:
    empty = values(servers=[], stopped_servers=[], stopping_servers=[])
    made = forms.notice(write(shipped_policy(), name, empty), [], PAY)
    text, shown = forms.text_of(made), words(forms.html_of(made))
    assert "Open invoices" not in text + shown
    names = fields_of(shipped_policy().notices[name].words.text)
    assert (PAY in text) == (PAY in shown) == bool({"pay_url", "confirm_url"} & set(names))
    assert "None" not in text + shown


@pytest.mark.parametrize("name", NOTICES)
def test_what_a_person_typed_is_shown_and_does_nothing(name: str) -> None:
    html = forms.html_of(paper(shipped_policy(), name, customer_name=HOSTILE, servers=[HOSTILE]))
    assert "<script" not in html
    assert set(re.findall(r'href="([^"]*)"', html)) <= {PAY.replace("&", "&amp;"), PORTAL}
    assert "\u202e" not in html


def test_a_letter_loads_nothing_and_its_looks_are_in_its_own_policy() -> None:
    html = forms.html_of(paper(shipped_policy(), "send_final_warning"))
    assert not re.search(r"(?i)<(img|script|link|iframe|form)|url\(|@import|style=", html)
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", forms.style_source(html))


def test_a_customer_reads_their_language_and_english_where_there_is_none() -> None:
    policy = load_policy(GENTLE)
    german = paper(policy, "send_final_warning", "de-CH")
    assert german.language == "de"
    assert german.subject.startswith("Bitte bezahlen Sie bis Freitag, 6. März 2026, 09:00 (Europe/Zurich, UTC+1)")
    assert "Offene Rechnungen:\n    A1B2-0001" in forms.text_of(german)
    assert '<html lang="de">' in forms.html_of(german)
    assert "Jetzt bezahlen" in words(forms.html_of(german))
    french = paper(policy, "send_final_warning", "fr")
    assert (french.language, french.text[:5]) == ("en", "Hello")


@pytest.mark.parametrize(
    "name", [name for name in NOTICES if "de" in getattr(load_policy(GENTLE).notices.get(name), "translations", ())]
)
def test_every_translation_of_the_example_is_written(name: str) -> None:
    made = paper(load_policy(GENTLE), name, "de")
    assert made.language == "de"
    assert "Guten Tag something," in words(forms.html_of(made))


def test_lines_that_a_page_had_no_room_for_are_joined_and_others_stay() -> None:
    template = f"Stopped: {{servers}}\nRunning: none\n\n{'long ' * 20}\nend\n\n    {{suspend_at}}\n{{pay_url}}\n"
    filled = template.replace("{servers}", "a").replace("{suspend_at}", "Friday").replace("{pay_url}", PAY)
    found = [(block.kind, block.lines) for block in blocks_of(template, filled)]
    assert found == [
        ("words", ("Stopped: a", "Running: none")),
        ("words", (f"{('long ' * 20).strip()} end",)),
        ("apart", ("Friday",)),
        ("link", (PAY,)),
    ]


@pytest.mark.parametrize("text", ["", "\n", "a", "a\n\n\n", "\n\na\n", "a\x0bb\u2028c\r\rd\x85", "    \n    a\n"])
def test_any_text_has_its_form(text: str) -> None:
    shown = words(forms.html_of(forms.plain_letter("Subject", text, [])))
    assert shown == " ".join(["Subject", *text.split()])


@pytest.mark.parametrize(
    ("line", "is_link"),
    [
        ("https://portal.example/support/ZLH-1", True),
        ("https://portal.example", True),
        ("https://portal.example.evil.example/x", False),
        ("https://portal.examplex", False),
        ("see https://portal.example/x", False),
        ("https://portal.example/\u202e", False),
        ("javascript:alert(1)", False),
    ],
)
def test_only_addresses_of_ours_become_links(line: str, is_link: bool) -> None:
    html = forms.html_of(forms.plain_letter("Hello", f"Look:\n{line}\n", ["https://portal.example"]))
    assert ("<a " in html) is is_link
