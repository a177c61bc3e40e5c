"""What the demo prints: each step, each check with its evidence, aligned; colour and a spinner only on a terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from rich.console import Console
from rich.text import Text

WIDEST = 112
WHAT = 48  # columns of what was asked
INDENT = 4


class Show:
    """Prints the steps, and counts the checks that held and failed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = stream or sys.stdout
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.width = min(self.console.width if self.console.is_terminal else WIDEST, WIDEST)
        plain = not (stream.encoding or "ascii").lower().startswith("utf")
        self.mark = {True: "+", False: "x"} if plain else {True: "✓", False: "✗"}
        self.bar = "|" if plain else "│"
        self.rule = "-" if plain else "─"
        self.held = 0
        self.failed = 0

    def title(self, words: str, below: list[str]) -> None:
        """Print the head of the demo."""
        self.console.print(Text(f"\n {words}", "bold"))
        for each in below:
            self.console.print(Text(f" {each}", "dim"))

    def step(self, number: int | None, words: str, when: str = "") -> None:
        """Begin a step."""
        head = Text("\n ")
        head.append(f"{number:>2} " if number else " · ", "bold cyan")
        head.append(words, "bold")
        if when:
            gap = self.width - len(head.plain.strip("\n")) - len(when)
            head.append(" " * max(2, gap) + when, "dim")
        self.console.print(head)

    def check(self, ok: bool, what: str, got: str, *, status: int | None = None, expected: str = "") -> bool:
        """Print one check: what was asked or looked at, and what came back."""
        self.held += ok
        self.failed += not ok
        line = Text(" " * INDENT)
        line.append(self.mark[ok], "bold green" if ok else "bold red")
        line.append(f" {what:<{WHAT}} ")
        line.append(f"{status or '':<4}", "cyan" if ok else "bold red")
        room = max(24, self.width - len(line.plain))
        words = got if ok or not expected else f"{got}; expected {expected}"
        pieces = textwrap.wrap(words, room, break_on_hyphens=False) or [""]
        line.append(pieces[0], "" if ok else "red")
        hang = " " * len(line.plain[: INDENT + 2 + WHAT + 1 + 4])
        for piece in pieces[1:]:
            line.append(f"\n{hang}{piece}", "" if ok else "red")
        self.console.print(line)
        return ok

    def quote(self, label: str, words: str) -> None:
        """Print what a customer reads, word for word."""
        head = f"{' ' * (INDENT + 2)}{label:<10}{self.bar} "
        room = self.width - len(head)
        for number, piece in enumerate(textwrap.wrap(words, room) or [""]):
            start = head if number == 0 else f"{' ' * (INDENT + 2)}{'':<10}{self.bar} "
            self.console.print(Text(start, "dim").append(piece, "italic" if self.console.is_terminal else "not dim"))

    def note(self, words: str) -> None:
        """Print an aside."""
        self.console.print(Text(f"{' ' * (INDENT + 2)}{words}", "dim"))

    def end(self, words: str, ok: bool, below: list[str]) -> None:
        """Print the verdict."""
        self.console.print(Text("\n " + self.rule * (self.width - 2), "dim"))
        self.console.print(Text(f" {self.mark[ok]} {words}", "bold green" if ok else "bold red"))
        for each in below:
            self.console.print(Text(f"   {each}", "dim"))
        self.console.print()

    def waiting(self, words: str) -> AbstractContextManager[object]:
        """Show on a terminal that something is being waited for; the line is gone afterwards."""
        if not self.console.is_terminal or os.environ.get("TERM") == "dumb":
            return nullcontext()
        return self.console.status(Text(f"{words} …", "dim"), spinner="dots", spinner_style="cyan")
