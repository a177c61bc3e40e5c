"""From bytes to a tree of values that know their place. Reads the YAML on which all readers agree and refuses the rest.

Built from parse events, so that aliases and depth are refused before anything grows. Which keys may occur others judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import yaml

from engine.faults import Faults, shown
from engine.model import Place

MOST_BYTES = 256 * 1024
MOST_DEPTH = 24
OUT = "write the value out where it is used"
MOST_ALIASES = 10  # with their anchors and tags; more are a bomb rather than a mistake
MOST_NODES = 20_000

Scalar = bool | int | str | None

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DOUBTFUL = re.compile(
    r"[-+]?(0[0-9_]+|0[oxb][0-9A-Fa-f_]+|[0-9][0-9_]*_[0-9_]*|\+[0-9]+|[0-9]+(:[0-5]?[0-9])+|[0-9]{19,})"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "~": None, "": None}
_TRAPS = {"yes", "no", "on", "off", "y", "n"}  # true or false to a reader of YAML 1.1, text to one of YAML 1.2
# Controls, line ends that only some readers count, marks that turn the direction of writing, halves of characters
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)

_ADVICE = (  # part of what libyaml says -> what probably happened
    ("tab character", "indent with spaces, never with tabs"),
    (
        "cannot start any token",
        "indent with spaces, never with tabs; quote a text that begins with a special character",
    ),
    ("mapping values are not allowed", "quote the text if it holds `: `, or check the indentation"),
    ("expected ',' or ']'", "a list `[` is not closed, or a comma is missing"),
    ("expected ',' or '}'", "a map `{` is not closed, or a comma is missing"),
    ("expected <block end>", "check the indentation: this line does not line up with those above"),
    ("could not find expected ':'", "a key needs `: ` after it"),
    ("quoted scalar", "a quotation mark is not closed"),
    ("block sequence entries are not allowed", "put the list on its own lines, indented under its key"),
    ("unexpected end", "a quotation mark or bracket is not closed"),
)


class Node:
    """A value of a file: a map, a list or a scalar. `hurt` says that it, or something inside, has a fault already."""

    __slots__ = ("end", "entries", "file", "hurt", "items", "kind", "start", "trap", "value")

    def __init__(self, kind: Literal["map", "list", "scalar"], file: str, start: tuple[int, int]) -> None:
        self.kind = kind
        self.file = file
        self.start = start  # line and column, from 1
        self.end = start  # one past the last character
        self.value: Scalar = None
        self.items: list[Node] = []
        self.entries: dict[str, tuple[Node, Node]] = {}
        self.hurt = False
        self.trap = False

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.file, *self.start)

    @property
    def end_column(self) -> int | None:
        """One past its last column; None when it ends on another line."""
        return self.end[1] if self.end[0] == self.start[0] else None

    def get(self, key: str) -> Node | None:
        """Return the value of a key of a map."""
        entry = self.entries.get(key)
        return entry[1] if entry is not None else None

    def key(self, key: str) -> Node:
        """Return the key itself, to point at it."""
        return self.entries[key][0]

    def pairs(self) -> Iterator[tuple[str, Node, Node]]:
        """Yield name, key and value of a map's entries."""
        for name, (key, value) in self.entries.items():
            yield name, key, value

    @property
    def text(self) -> str:
        """A scalar as text."""
        return self.value if isinstance(self.value, str) else shown(self.value)

    def plain(self) -> Any:
        """Return the value without places, as JSON knows it."""
        if self.kind == "map":
            return {name: value.plain() for name, (_, value) in self.entries.items()}
        if self.kind == "list":
            return [item.plain() for item in self.items]
        return self.value


def decode(file: str, content: bytes, faults: Faults) -> str | None:
    """Return the text of a file; None, with a fault, when it is too large or no text."""
    place = Place(file, 1, 1)
    if len(content) > MOST_BYTES:
        faults.add("P103", place, f"the file is larger than {MOST_BYTES // 1024} KiB", "split it, one noun a file")
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x}"
        faults.add("P102", Place(file, line, 1), f"expected UTF-8 text, found {found}", "save the file as UTF-8")
        return None


def parse(file: str, text: str, faults: Faults) -> Node | None:
    """Return the tree of a file's text; None, with at least one fault, when there is none to judge further."""
    faults.sources[file] = tuple(text.splitlines())
    if len(text) > MOST_BYTES:
        faults.add(
            "P103", Place(file, 1, 1), f"the file is larger than {MOST_BYTES // 1024} KiB", "split it, one noun a file"
        )
        return None
    if (found := _INVISIBLE.search(text)) is not None:
        place = _place_of(file, text, found.start())
        what = f"an invisible character, U+{ord(found[0]):04X}, is not allowed"
        faults.add(
            "P114", place, what, "delete it: what is read and what is shown could differ", end_column=place.column + 1
        )
        return None
    try:
        return _Reader(file, faults).read(text)
    except _Refused:
        return None
    except yaml.YAMLError as error:
        _explain(file, error, faults)
        return None


class _Refused(Exception):
    """Reading stops here; the fault is noted."""


class _Reader:
    """Builds the tree of one file. Iterative, so that depth costs no stack."""

    def __init__(self, file: str, faults: Faults) -> None:
        self.file = file
        self.faults = faults
        self.count = 0
        self.aliases = 0
        self.open: list[Node] = []
        self.keys: list[Node | None] = []  # for each open map: the key that waits for its value
        self.root: Node | None = None

    def read(self, text: str) -> Node | None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = 0
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(
                        "P110", event, "a second document begins here", "one file, one document: remove the `---`"
                    )
            elif isinstance(event, yaml.AliasEvent):
                node = self._node("scalar", event)
                self._alias("P106", node, f"the alias `*{shown(event.anchor)}` is not allowed", "write the value out")
                self._place(node)
            elif isinstance(event, yaml.ScalarEvent):
                self._place(self._scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                node = self.open.pop()
                self.keys.pop()
                node.end = _at(event.end_mark)
        if self.root is None or (self.root.kind == "scalar" and self.root.value is None):
            self.faults.add(
                "P115", Place(self.file, 1, 1), "the file is empty", "write what belongs there, or delete the file"
            )
            return None
        return self.root

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if len(self.open) >= MOST_DEPTH:
            self._refuse(
                "P104", event, f"nested deeper than {MOST_DEPTH} levels", "name inner guards under `predicates:`"
            )
        kind: Literal["map", "list"] = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
        node = self._node(kind, event)
        self._plain_only(event, node)
        if self.open and self.open[-1].kind == "map" and self.keys[-1] is None:
            self._refuse(
                "P111", event, f"a {kind} cannot be a key", "a key is one word; quote it if it begins with a bracket"
            )
        self._place(node)
        self.open.append(node)
        self.keys.append(None)

    def _node(self, kind: Literal["map", "list", "scalar"], event: yaml.Event) -> Node:
        self.count += 1
        if self.count > MOST_NODES:
            self._refuse("P105", event, f"more than {MOST_NODES} values", "split it, one noun a file")
        node = Node(kind, self.file, _at(event.start_mark))
        node.end = _at(event.end_mark)
        return node

    def _place(self, node: Node) -> None:
        """Put a node where the parent waits for it: as an item, as a key, or as the value of the key before."""
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if parent.kind == "list":
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is None:
            self.keys[-1] = node
            return
        self.keys[-1] = None
        if node.start == node.end:
            node.start, node.end = key.start, key.end  # nothing is written there: what is said of it is said of its key
        name = key.text
        if name in parent.entries:
            first = parent.entries[name][0]
            self._fault(
                "P108", key, f"the key `{shown(name)}` is given twice, first in line {first.start[0]}", "keep one"
            )
        else:
            parent.entries[name] = (key, node)

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        node = self._node("scalar", event)
        self._plain_only(event, node)
        is_key = bool(self.open) and self.open[-1].kind == "map" and self.keys[-1] is None
        node.value = event.value
        if not event.implicit[0]:
            return node  # quoted or a block: text
        word = event.value
        if is_key:
            if word == "<<":
                self._fault("P107", node, "the merge key `<<` is not allowed", "write the keys out")
            elif word.lower() in _TRAPS:
                wanted = "write `event:`" if word.lower() == "on" else "choose another key"
                self._fault("P112", node, f"the bare key `{word}` is true or false to some YAML readers", wanted)
            return node
        node.value = self._resolve(word, node)
        return node

    def _resolve(self, word: str, node: Node) -> Scalar:
        """Return the value of an unquoted scalar, by the rules on which YAML 1.1 and 1.2 agree."""
        if word.lower() in _WORDS:
            if word not in _WORDS:
                self._fault(
                    "P113", node, f"`{word}` is written in small letters here", f"write `{word.lower()}`, or quote it"
                )
            return _WORDS[word.lower()]
        if word.lower() in _TRAPS:
            node.trap = True  # only a gates matrix may say yes and no; judged when all shapes are known
            return word
        if _INT.fullmatch(word):
            return int(word)
        if _DOUBTFUL.fullmatch(word):
            self._fault(
                "P113",
                node,
                f"`{shown(word)}` is a number on which YAML readers disagree",
                "write it plainly, or quote it",
            )
        elif _FLOAT.fullmatch(word):
            self._fault(
                "P113", node, f"`{shown(word)}` has a fraction", "the policy knows whole numbers, durations and shares"
            )
        return word

    def _plain_only(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, node: Node) -> None:
        """Note an anchor or tag of a node. It is read on, so that the rest of the file is judged too."""
        if event.anchor is not None:
            self._alias("P106", node, f"the anchor `&{shown(event.anchor)}` is not allowed", OUT)
        if event.tag is not None:
            self._alias(
                "P109", node, f"the tag `{shown(event.tag)}` is not allowed", "remove it: values have their plain types"
            )

    def _alias(self, code: str, node: Node, message: str, hint: str) -> None:
        """Note what has no value here; after some of them, reading stops: it may be a bomb."""
        node.hurt = True
        for parent in self.open:
            parent.hurt = True
        self.faults.add(code, node.place, message, hint)
        self.aliases += 1
        if self.aliases >= MOST_ALIASES:
            raise _Refused

    def _fault(self, code: str, node: Node, message: str, hint: str) -> None:
        node.hurt = True
        for parent in self.open:
            parent.hurt = True
        self.faults.add(code, node.place, message, hint, end_column=node.end_column)

    def _refuse(self, code: str, event: yaml.Event, message: str, hint: str) -> None:
        place = Place(self.file, *_at(event.start_mark))
        self.faults.add(code, place, message, hint)
        raise _Refused


def _explain(file: str, error: yaml.YAMLError, faults: Faults) -> None:
    """Note what the YAML library could not read, in words of ours where it is known what they mean."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it is not YAML")
    said = f"{getattr(error, 'context', None) or ''} {problem}"
    hint = next((advice for part, advice in _ADVICE if part in said), "")
    lines = faults.sources[file]
    line = min(mark.line + 1 if mark is not None else 1, max(len(lines), 1))
    column = mark.column + 1 if mark is not None and mark.line + 1 == line else len(lines[line - 1]) + 1 if lines else 1
    faults.add("P101", Place(file, line, column), f"cannot be read as YAML: {shown(problem, 90)}", hint)


def _at(mark: Any) -> tuple[int, int]:
    """Return line and column from 1; events of a text always have marks."""
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _place_of(file: str, text: str, index: int) -> Place:
    line = text.count("\n", 0, index) + 1
    return Place(file, line, index - (text.rfind("\n", 0, index) + 1) + 1)
