"""What forms bring: read whole, bounded, and only when they are ours."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import multipart  # type: ignore[import-untyped]

from web.pages.visitor import prove
from web.problems import Problem, bad_input
from web.services import HttpRequest
from web.sessions import PROOF_FIELD

MOST_BYTES = 200_000
MOST_FIELDS = 60


@dataclass(frozen=True, slots=True)
class Sent:
    """A form with files in it: the fields, the first of each name, and each file's name and content."""

    fields: Mapping[str, str]
    files: list[tuple[str, bytes]] = field(default_factory=list)


async def form_of(
    request: HttpRequest, *, most_bytes: int = MOST_BYTES, most_fields: int = MOST_FIELDS
) -> Mapping[str, str]:
    """Return the fields of a form of ours, the first of each name. Raises the 400, 403 or 413."""
    body = await request.body()
    if len(body) > most_bytes:
        raise Problem(413, "TOO_LARGE", "This is more than the form takes. Shorten it and send it again.")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=most_fields)
    except (UnicodeDecodeError, ValueError):
        raise bad_input("The form could not be read.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value.replace("\0", ""))
    prove(request, fields.get(PROOF_FIELD, ""))
    return fields


async def form_with_files(request: HttpRequest) -> Sent:
    """Return a form of ours that may hold files, small enough to be held whole. Raises the 400, 403 or 413.

    The application's bound on bodies is the bound on all files together.
    """
    kind, options = multipart.parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data":
        return Sent(await form_of(request))
    body = await request.body()
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    try:
        parser = multipart.MultipartParser(
            io.BytesIO(body), options.get("boundary", ""), part_limit=MOST_FIELDS, memory_limit=len(body) + 1,
            spool_limit=len(body) + 1,
        )  # fmt: skip
        for part in parser:
            if part.filename is None:
                if part.size > MOST_BYTES:
                    raise Problem(413, "TOO_LARGE", "This is more than the form takes. Shorten it and send it again.")
                fields.setdefault(part.name, part.raw.decode("utf-8", "replace").replace("\0", ""))
            elif part.filename or part.size:  # a field that was left empty is a file without name and content
                files.append((part.filename, part.raw))
    except (multipart.MultipartError, ValueError):
        raise bad_input("The form could not be read.") from None
    prove(request, fields.get(PROOF_FIELD, ""))
    return Sent(fields, files)
