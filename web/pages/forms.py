"""What forms bring: read whole, bounded, and only when they are ours."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from web.browsers import PROOF_FIELD
from web.pages.visitor import prove
from web.problems import Problem, bad_input
from web.services import HttpRequest

MOST_BYTES = 200_000
MOST_FIELDS = 60


async def form_of(request: HttpRequest, *, most_bytes: int = MOST_BYTES) -> Mapping[str, str]:
    """Return the fields of a form of ours, the first of each name. Raises the 400, 403 or 413."""
    body = await request.body()
    if len(body) > most_bytes:
        raise Problem(413, "TOO_LARGE", "This is more than the form takes. Shorten it and send it again.")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (UnicodeDecodeError, ValueError):
        raise bad_input("The form could not be read.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value.replace("\0", ""))
    prove(request, fields.get(PROOF_FIELD, ""))
    return fields
