"""Shows faults: to people with the line underlined, to programs as JSON, to a pull request as annotations."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from engine.faults import Fault, FaultKind

WIDEST = 140  # characters of a source line that are shown around its fault
MOST_SHOWN = 200  # faults; whoever has more reads these first

_BOLD, _RED, _CYAN, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[36m", "\x1b[2m", "\x1b[0m"
_COUNTED = {
    FaultKind.PARSE: "cannot be read",
    FaultKind.SHAPE: "have the wrong shape",
    FaultKind.MEANING: "have the wrong meaning",
}


def render_text(
    faults: Sequence[Fault], sources: Mapping[str, tuple[str, ...]], *, folder: str = "", color: bool = False
) -> str:
    """Return every fault with its source line underlined and its hint; `folder` is put before the file names."""
    blocks = [_block(fault, sources, folder, color) for fault in faults[:MOST_SHOWN]]
    if len(faults) > MOST_SHOWN:
        blocks.append(f"… and {len(faults) - MOST_SHOWN} more\n")
    blocks.append(_summary(faults))
    return "\n".join(blocks)


def _block(fault: Fault, sources: Mapping[str, tuple[str, ...]], folder: str, color: bool) -> str:
    bold, red, cyan, dim, plain = (_BOLD, _RED, _CYAN, _DIM, _PLAIN) if color else ("",) * 5
    place = fault.place
    at = f"{_joined(folder, place.file)}:{place.line}:{place.column}"
    lines = [f"{bold}{at}:{plain} {red}{fault.code}{plain} {fault.message}"]
    shown = sources.get(place.file, ())
    gutter = " " * (len(str(place.line)) + 1)
    if 1 <= place.line <= len(shown) and shown[place.line - 1].strip():
        text, before, marked = _window(shown[place.line - 1], place.column - 1, fault.end_column - 1)
        lines.append(f" {dim}{place.line} |{plain} {text}")
        lines.append(f" {dim}{gutter}|{plain} {before}{red}{marked}{plain}")
    if fault.hint:
        lines.append(f" {dim}{gutter}={plain} {cyan}{fault.hint}{plain}")
    return "\n".join(lines) + "\n"


def _window(line: str, start: int, end: int) -> tuple[str, str, str]:
    """Return the part of a line that is shown, the space before the underline, and the underline, all on one raster."""
    start = min(start, len(line))
    end = max(min(end, len(line)), start + 1)
    first = 0
    if len(line) > WIDEST and end > WIDEST - 20:
        first = max(min(start - 30, len(line) - WIDEST), 0)
    last = min(first + WIDEST, len(line))
    head, tail = "…" if first else "", "…" if last < len(line) else ""
    before = head + line[first:start]
    space = "".join("\t" if char == "\t" else " " * _width(char) for char in before)
    marked = line[start : min(end, last)]
    return f"{head}{line[first:last]}{tail}", space, "^" * max(sum(map(_width, marked)), 1)


def _width(char: str) -> int:
    """Return how many cells of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "FW" else 1


def _summary(faults: Iterable[Fault]) -> str:
    kinds = [fault.kind for fault in faults]
    parts = [f"{kinds.count(kind)} {words}" for kind, words in _COUNTED.items() if kind in kinds]
    return f"{len(kinds)} fault{'' if len(kinds) == 1 else 's'}: {', '.join(parts)}"


def render_json(faults: Iterable[Fault], *, folder: str = "") -> str:
    """Return the faults as one JSON document."""
    found = [
        {
            "code": fault.code,
            "kind": fault.kind.value,
            "file": _joined(folder, fault.place.file),
            "line": fault.place.line,
            "column": fault.place.column,
            "endColumn": fault.end_column,
            "message": fault.message,
            "hint": fault.hint or None,
        }
        for fault in faults
    ]
    return json.dumps({"ok": not found, "faults": found}, indent=2, ensure_ascii=False)


def render_github(faults: Iterable[Fault], *, folder: str = "") -> str:
    """Return the faults as workflow commands that annotate a pull request, one a line."""
    return "\n".join(_annotation(fault, folder) for fault in faults)


def _annotation(fault: Fault, folder: str) -> str:
    place = fault.place
    given = {
        "file": _joined(folder, place.file),
        "line": place.line,
        "col": place.column,
        "endColumn": fault.end_column,
        "title": f"{fault.code} {fault.kind.value}",
    }
    properties = ",".join(f"{name}={escaped(str(value), ',:')}" for name, value in given.items())
    message = f"{fault.message}: {fault.hint}" if fault.hint else fault.message
    return f"::error {properties}::{escaped(message)}"


def escaped(text: str, more: str = "") -> str:
    """Write what would end a workflow command, or one of its properties, in its own way."""
    for char in f"%\r\n{more}":
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def _joined(folder: str, file: str) -> str:
    return f"{folder.rstrip('/')}/{file}" if folder else file
