"""Files that come with a ticket: few, small, and of a kind that their content shows. Names are made harmless.

What is kept is only ever downloaded, never shown by us: `sent`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import quote
from uuid import UUID

import puremagic
from litestar import Response
from sqlalchemy import Connection

from engine.notices import plain
from storage import ticket_thread
from storage.ticket_thread import Attachment
from web.inputs import Input
from web.problems import SAFE_HEADERS, Problem, bad_input, nothing_here

MOST_FILES = 5
MOST_BYTES = 2_000_000
NAME_CHARACTERS = 100

# What a file may be, and how its name may end then; the first is added to a name that ends otherwise. So no name makes
# a program of what is not one, wherever it is opened.
KINDS = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "application/pdf": (".pdf",),
    "text/plain": (".txt", ".log", ".csv", ".json", ".yaml", ".yml", ".toml", ".ini", ".properties", ".conf"),
}
REFUSED = "may be pictures (PNG, JPEG, GIF, WebP), PDF and plain text. What counts is what is in them, not their name."
HEAD_BYTES = 4096  # more says no more of what a file is
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Attached(Input):
    """A file in JSON: its name, and its content in base64."""

    name: str
    content: str


def decoded(files: Sequence[Attached]) -> list[tuple[str, bytes]]:
    """Return the names and contents of files that came in JSON. Raises the 400."""
    try:
        return [(each.name, base64.b64decode(each.content, validate=True)) for each in files]
    except (binascii.Error, ValueError):
        raise bad_input("A file's `content` is not base64.", field="content") from None


def checked(files: Sequence[tuple[str, bytes]]) -> list[Attachment]:
    """Return files that may be kept. Raises the 400 or 413."""
    if len(files) > MOST_FILES:
        raise bad_input(f"At most {MOST_FILES} files go with a message.", field="files")
    return [_checked(name, content) for name, content in files]


def _checked(name: str, content: bytes) -> Attachment:
    if len(content) > MOST_BYTES:
        raise Problem(413, "TOO_LARGE", f"A file may have at most {MOST_BYTES // 1_000_000} MB.")
    if not content:
        raise bad_input("A file is empty.", field="files")
    kind = kind_of(content)
    if kind is None:
        raise bad_input(f"Files {REFUSED}", field="files")
    return Attachment(harmless_name(name, kind), kind, content)


def kind_of(content: bytes) -> str | None:
    """Return what a content is, of what may be kept; None: something else. What its name says does not count."""
    try:
        found = puremagic.magic_string(content[:HEAD_BYTES])
    except (puremagic.PureError, ValueError):
        found = []
    if found and found[0].mime_type in KINDS and found[0].mime_type != "text/plain":
        return str(found[0].mime_type)
    try:
        words = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "text/plain" if CONTROLS.search(words) is None else None


def harmless_name(name: str, kind: str) -> str:
    """Return the last part of a name, visible, short, and ending as its kind does."""
    last = plain(name.replace("\\", "/").rpartition("/")[2], NAME_CHARACTERS).strip(". ")
    kept = re.sub(r'[<>:"|?*/;%]', "_", last) or "file"
    return kept if kept.lower().endswith(KINDS[kind]) else f"{kept}{KINDS[kind][0]}"


def sent(conn: Connection, ticket_id: UUID, file_id: UUID) -> Response[bytes]:
    """Send a file of a ticket, to be kept and not shown. Raises the 404."""
    found = ticket_thread.file(conn, ticket_id, file_id)
    if found is None:
        raise nothing_here("file")
    plain_name = re.sub(r"[^A-Za-z0-9._ -]", "_", found.name)
    named = f"attachment; filename=\"{plain_name}\"; filename*=UTF-8''{quote(found.name, safe='')}"
    headers = {
        **SAFE_HEADERS,
        "Content-Disposition": named,
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }
    return Response(found.content, media_type=found.media_type, headers=headers)
