"""The words for customers: notices in English and in other languages, what the panel shows, and what they may name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.builders.draft import Draft, entries, text_of
from engine.effects import CREDIT_NOTE
from engine.faults import listed, meant, shown
from engine.languages import ENGLISH, is_language
from engine.model import IntentKind, Place
from engine.model_words import LetterWords, NoticeText, NoticeWords, StateText
from engine.notices import CREDIT_FIELDS, FIELDS, LETTER_FIELDS, FieldKind, fields_for, fields_of
from engine.source import Node

BELOW_LETTERS = ("total", "paid", "credited", "open", "pay_to", "reference")
"""Of `engine.model_words.LetterWords`: what stands below a letter about an invoice, and below no notice."""
ANY_BRACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Words:
    """All words of a policy."""

    notices: dict[str, NoticeText]
    states: dict[tuple[str, str], StateText]
    letter: dict[str, LetterWords]


def build_words(draft: Draft) -> Words:
    """Read notices.yaml."""
    labels = {ENGLISH: _labels(draft.section("notices", "letter"))}
    translated: dict[str, dict[str, tuple[Node, NoticeWords]]] = {}
    for language, key, node in entries(draft.section("notices", "translations")):
        if node.hurt or key.hurt or not _is_known(draft, language, key):
            continue
        labels[language] = _labels(node.get("letter"))
        _check_labels(draft, language, node)
        for name, at, words in entries(node.get("notices")):
            if not words.hurt and draft.known("intent", at, name):
                translated.setdefault(name, {})[language] = (at, _words(draft, name, words))
    notices = {}
    for name, key, node in entries(draft.section("notices", "notices")):
        if node.hurt or not draft.known("intent", key, name):
            continue
        in_english, others = _words(draft, name, node), translated.pop(name, {})
        for language, (at, translation) in others.items():
            _check_same(draft, at, language, translation, in_english)
        by_language = {language: translation for language, (_, translation) in others.items()}
        notices[name] = NoticeText(name, in_english, key.place, by_language)
    return Words(notices, _states(draft), labels)


def _is_known(draft: Draft, language: str, key: Node) -> bool:
    if language != ENGLISH and is_language(language):
        return True
    message = (
        "the texts above are the English ones"
        if language == ENGLISH
        else f"`{shown(language)}` is no language that dates can be written in"
    )
    draft.fault("M375", key, message, "name it as `de` or `pt-BR`")
    return False


def _check_labels(draft: Draft, language: str, node: Node) -> None:
    """Check that a language with a letter about invoices has the words that stand below one."""
    intents = [draft.intents.get(name) for name, _, _ in entries(node.get("notices"))]
    letter = node.get("letter")
    if letter is None or not any(each is not None and each.kind is IntentKind.LETTER for each in intents):
        return
    if lacks := [name for name in BELOW_LETTERS if name not in letter.entries]:
        message = f"letters about invoices in `{shown(language)}` have no {listed(lacks)} below"
        draft.fault("M376", node.key("letter"), message, "write it here, as under the English `letter:`")


def _labels(node: Node | None) -> LetterWords:
    if node is None or node.hurt:
        return LetterWords()
    names = (each.name for each in dataclasses.fields(LetterWords))
    return LetterWords(**{name: text for name in names if (text := text_of(node, name)) is not None})


def _words(draft: Draft, name: str, node: Node) -> NoticeWords:
    intent = draft.intents.get(name)
    kind = IntentKind.NOTICE if intent is None else intent.kind
    for _, _, value in node.pairs():
        check_fields(draft, value, fields_for(name, kind))
    if "paper" in node.entries and (kind is not IntentKind.LETTER or name == CREDIT_NOTE):
        what = "but the credit note itself" if name == CREDIT_NOTE else f"which is of kind {kind.value}"
        message = f"nothing comes along with `{shown(name)}`, {what}"
        draft.fault("M377", node.key("paper"), message, "remove `paper:`")
    subject, text = text_of(node, "subject") or "", text_of(node, "text") or ""
    return NoticeWords(subject, text, text_of(node, "reason"), text_of(node, "next"), text_of(node, "paper"))


def _check_same(draft: Draft, at: Node, language: str, words: NoticeWords, english: NoticeWords) -> None:
    """Check that a translation tells what the English text tells: the same dates, the same links."""
    if (words.paper is None) is not (english.paper is None):
        has = "has no" if words.paper is None else "has a"
        message = f"the letter in `{shown(language)}` {has} `paper:`, unlike the English text"
        draft.fault("M376", at, message, "give it in both, or in neither")
    known = FIELDS.keys() | LETTER_FIELDS.keys() | CREDIT_FIELDS.keys()
    told, wanted = (set(fields_of(each.whole)) & known for each in (words, english))
    if told == wanted:
        return
    lacks, adds = sorted(wanted - told), sorted(told - wanted)
    parts = [f"does not name {listed(lacks)}"] if lacks else []
    parts += [f"names {listed(adds)} too"] if adds else []
    message = f"the notice in `{shown(language)}` {' and '.join(parts)}"
    draft.fault("M376", at, message, "let it name what the English text names")


def _states(draft: Draft) -> dict[tuple[str, str], StateText]:
    states = {}
    for name, key, node in entries(draft.section("notices", "states")):
        rung = draft.rung(key, name) if not key.hurt else None
        if node.hurt or rung is None:
            continue
        for _, _, value in node.pairs():
            check_fields(draft, value)
        next_step = text_of(node, "next_step")
        states[rung] = StateText(
            *rung, text_of(node, "title") or "", text_of(node, "message") or "", next_step, key.place
        )
    return states


def check_fields(draft: Draft, node: Node, fields: Mapping[str, FieldKind] = FIELDS) -> None:
    """Check that a text names only fields that are filled in, pointing into the text where that can be done."""
    for brace in ANY_BRACE.finditer(node.text):
        name = brace[1]
        if brace[0] in {"{{", "}}"} or (name is not None and name in fields):
            continue
        place, end = _inside(draft, node, brace[0])
        if name is not None:
            draft.faults.add("M372", place, f"a text cannot name `{shown(name)}`", meant(name, fields), end_column=end)
        else:
            draft.faults.add(
                "M374",
                place,
                f"a lone `{brace[0]}` names nothing",
                f"write `{brace[0] * 2}` for a brace",
                end_column=end,
            )


def _inside(draft: Draft, node: Node, part: str) -> tuple[Place, int | None]:
    """Return where a part of a text is written; the text's own place when it is not found there."""
    lines = draft.faults.sources.get(node.file, ())
    for number in range(node.start[0], min(node.end[0], len(lines)) + 1):
        begin = node.start[1] - 1 if number == node.start[0] else 0
        column = lines[number - 1].find(part, begin)
        if column >= 0:
            return Place(node.file, number, column + 1), column + 1 + len(part)
    return node.place, None
