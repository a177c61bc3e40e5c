"""A letter in its two forms, from one content: `letter.txt` and `letter.html` beside this file. The text is the truth.

What it says comes from the policy (`engine.notices`) or from whoever wrote it; nothing here adds a fact.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from engine.languages import ENGLISH
from engine.letter_blocks import Block, blocks_of
from engine.model_words import LetterWords
from engine.notices import Written

HERE = Path(__file__).resolve().parent
URL = re.compile(r"https?://[!-~]+")
STYLE = re.compile(r"<style>([^<]*)</style>")


@dataclass(frozen=True, slots=True)
class Paper:
    """What a letter says, before it is given a form."""

    subject: str
    text: str
    blocks: tuple[Block, ...]
    language: str = ENGLISH
    facts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What stands below: a label and its lines each."""
    pay_url: str | None = None
    """Where to pay, when the text does not say it."""
    pay_words: str = LetterWords().pay


def notice(written: Written, invoices: Sequence[str], pay_url: str | None) -> Paper:
    """Return a notice with what stands below it: why, what next, and what is owed. invoices: a line each."""
    says_where = any(block.names in {"pay_url", "confirm_url"} for block in written.blocks)
    return replace(
        with_facts(written, [(written.labels.invoices, invoices)]),
        pay_url=pay_url if invoices and not says_where else None,
        pay_words=written.labels.pay,
    )


def with_facts(written: Written, facts: Sequence[tuple[str, Sequence[str]]]) -> Paper:
    """Return what was written with what stands below it: why, what next, and facts, each a label and its lines."""
    labels = written.labels
    said = [(label, (line,)) for label, line in ((labels.reason, written.reason), (labels.next, written.next)) if line]
    shown = tuple((label, tuple(lines)) for label, lines in (*said, *facts) if lines)
    return Paper(written.subject, written.text, written.blocks, written.language, shown)


def plain_letter(subject: str, text: str, ours: Sequence[str]) -> Paper:
    """Return a letter that is written already. ours: what addresses begin with that become links; no others do."""
    template = "".join(f"{'{portal_url}' if _is_ours(line.strip(), ours) else line}\n" for line in text.splitlines())
    return Paper(subject, text, blocks_of(template, text))


def _is_ours(line: str, ours: Sequence[str]) -> bool:
    return URL.fullmatch(line) is not None and any(line == each or line.startswith(f"{each}/") for each in ours)


def text_of(paper: Paper) -> str:
    """Return the plain form."""
    return _environment().get_template("letter.txt").render(paper=paper)


def html_of(paper: Paper) -> str:
    """Return the form with looks: nothing is loaded from anywhere, everything that was filled in is escaped."""
    return _environment().get_template("letter.html").render(paper=paper)


def style_source(html: str) -> str:
    """Return what a Content-Security-Policy has to allow so that a letter keeps its looks, and nothing else."""
    style = STYLE.search(html)
    assert style is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'"


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
