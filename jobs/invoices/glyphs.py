"""Which characters the fonts of the page have; what they have not is written plainly, for a page always has to be made.

A name is a customer's to choose. One that no page could show would keep its invoice, and every reminder, from leaving.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import font_source_sans_pro

FOLDER: Final = Path(font_source_sans_pro.font_directory)
WEIGHTS: Final = ("Regular", "Semibold", "Bold")
UNWRITTEN: Final = frozenset({"Cf", "Mn", "Me"})
"""Categories of characters that only change others: without a glyph they are left out."""


def readable(text: str) -> str:
    """Return a text that the page can show: with the plain letter, or a dot, in place of what no font has."""
    shown = characters()
    return "".join(c if c in shown else _plain(c) for c in unicodedata.normalize("NFC", text))


@cache
def characters() -> frozenset[str]:
    """Return the characters that every weight has, whichever of its files is taken."""
    files = [path for weight in WEIGHTS for path in sorted(FOLDER.glob(f"SourceSansPro-{weight}.?tf"))]
    shared = set.intersection(*({chr(code) for code in _codes(path.read_bytes())} for path in files))
    return frozenset(c for c in shared if unicodedata.category(c) not in {"Cc", "Co", "Cn"})


def _plain(character: str) -> str:
    if unicodedata.category(character) in UNWRITTEN:
        return ""
    shown = characters()
    letters = unicodedata.normalize("NFKC", character)
    if all(letter in shown for letter in letters):
        return letters
    return "".join(c for c in unicodedata.normalize("NFKD", character) if c in shown and c.isascii()).strip() or "."


def _codes(font: bytes) -> Iterator[int]:
    """Return the code points that a font's `cmap` gives a glyph to (OpenType: the tables of formats 4 and 12)."""
    count = struct.unpack_from(">H", font, 4)[0]
    tables = (struct.unpack_from(">4sIII", font, 12 + 16 * number) for number in range(count))
    cmap = next(offset for tag, _, offset, _ in tables if tag == b"cmap")
    for number in range(struct.unpack_from(">H", font, cmap + 2)[0]):
        _, _, offset = struct.unpack_from(">HHI", font, cmap + 4 + 8 * number)
        read = {4: _segments, 12: _groups}.get(struct.unpack_from(">H", font, cmap + offset)[0])
        if read is not None:
            yield from read(font, cmap + offset)


def _segments(font: bytes, at: int) -> Iterator[int]:
    size = struct.unpack_from(">H", font, at + 6)[0]
    for segment in range(0, size, 2):
        last = struct.unpack_from(">H", font, at + 14 + segment)[0]
        place = at + 16 + size + segment
        first, delta = struct.unpack_from(">H", font, place)[0], struct.unpack_from(">H", font, place + size)[0]
        near = struct.unpack_from(">H", font, place + 2 * size)[0]
        for code in range(first, last + 1):
            glyph = (
                code if not near else struct.unpack_from(">H", font, place + 2 * size + near + 2 * (code - first))[0]
            )
            if (glyph or not near) and (glyph + delta) & 0xFFFF:
                yield code


def _groups(font: bytes, at: int) -> Iterator[int]:
    for number in range(struct.unpack_from(">I", font, at + 12)[0]):
        first, last, _ = struct.unpack_from(">III", font, at + 16 + 12 * number)
        yield from range(first, last + 1)
