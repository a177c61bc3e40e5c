"""Edits of a policy's text that keep everything else as it is written: replace a value, take an entry or item away."""

from __future__ import annotations

from engine.faults import Faults
from engine.source import Node, parse


class Source:
    """The text of one file and its tree; each edit returns another text."""

    def __init__(self, file: str, text: str) -> None:
        faults = Faults()
        root = parse(file, text, faults)
        assert root is not None, f"{file} cannot be read"
        self.file, self.text, self.root = file, text, root
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def replaced(self, node: Node, new: str) -> str:
        """Return the text with another value."""
        return self._cut(node.start, self._end(node), new)

    def appended(self, items: Node, new: str) -> str:
        """Return the text with one more item in a list that is written in brackets."""
        return self._cut(self._end(items.items[-1]), self._end(items.items[-1]), f", {new}")

    def without_item(self, items: Node, index: int) -> str:
        """Return the text without an item of a list."""
        if self._in_brackets(items):
            return self._cut_between([(item.start, self._end(item)) for item in items.items], index)
        item = items.items[index]
        return self._without_lines(item.start[0], self._end(item)[0])

    def without_key(self, mapping: Node, key: str) -> str:
        """Return the text without an entry of a map; the map keeps at least another one."""
        if self._in_brackets(mapping):
            spans = [(name.start, self._end(value)) for _, name, value in mapping.pairs()]
            return self._cut_between(spans, list(mapping.entries).index(key))
        name, value = mapping.entries[key]
        return self._without_lines(name.start[0], max(self._end(value)[0], name.start[0]))

    def swapped(self, one: Node, other: Node) -> str:
        """Return the text with two values of a list in each other's place."""
        between = self.text[self._at(self._end(one)) : self._at(other.start)]
        return self._cut(one.start, self._end(other), f"{self.written(other)}{between}{self.written(one)}")

    def negated(self, node: Node) -> str:
        """Return the text with a guard that holds when this one does not."""
        return self.replaced(node, f"{{not: {self.written(node)}}}")

    def written(self, node: Node) -> str:
        """Return a value as it is written."""
        return self.text[self._at(node.start) : self._at(self._end(node))]

    def _in_brackets(self, node: Node) -> bool:
        return self.text[self._at(node.start)] in "[{"

    def _cut_between(self, spans: list[tuple[tuple[int, int], tuple[int, int]]], index: int) -> str:
        """Return the text without one of several values between brackets, and without its comma."""
        if index + 1 < len(spans):
            return self._cut(spans[index][0], spans[index + 1][0], "")
        return self._cut(spans[index - 1][1] if index else spans[0][0], spans[index][1], "")

    def _without_lines(self, first: int, last: int) -> str:
        return self.text[: self.starts[first - 1]] + self.text[self.starts[last] :]

    def _cut(self, start: tuple[int, int], end: tuple[int, int], new: str) -> str:
        return self.text[: self._at(start)] + new + self.text[self._at(end) :]

    def _at(self, place: tuple[int, int]) -> int:
        return self.starts[place[0] - 1] + place[1] - 1

    def _end(self, node: Node) -> tuple[int, int]:
        """Return where a value ends; one without brackets ends with its last value."""
        inner = node.items or [value for _, _, value in node.pairs()]
        return self._end(inner[-1]) if inner and not self._in_brackets(node) else node.end
