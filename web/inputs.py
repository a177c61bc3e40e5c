"""What comes in: JSON bodies read strictly into typed shapes, texts bounded and made harmless, ids and paths checked.

Unknown fields are refused: a misspelt optional one would be ignored otherwise, and nobody would be told.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
import uuid
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

import msgspec
from litestar import Request

from engine.languages import is_language
from web.problems import Problem, bad_input, nothing_here

NAME_CHARACTERS = 100
EMAIL_CHARACTERS = 254
PATH_CHARACTERS = 4096
KEY_CHARACTERS = 255
REASON_CHARACTERS = 500
FIRST_YEAR, LAST_YEAR = 2000, 2200

# Formatting characters that reorder or hide neighbouring text. Joiners stay: scripts and emoji need them.
INVISIBLE = frozenset("\u00ad\u061c\u180e\u200b\u200e\u200f\u2060\ufeff") | {
    chr(code) for low, high in ((0x202A, 0x202E), (0x2066, 0x206F), (0xFFF9, 0xFFFB)) for code in range(low, high + 1)
}
EMAIL = re.compile(r"[^\s@<>(),;:\\\"\[\]]{1,64}@[^\s@<>(),;:\\\"\[\]]{1,189}")
TOKEN = re.compile(r"[!-~]{1,255}")
PLAIN_TYPES = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
    "datetime": "a date and time",
}

Shape = TypeVar("Shape", bound="Input")


class Input(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A body that a route takes. Field names are camelCase on the wire."""


def decode(shape: type[Shape], body: bytes) -> Shape:
    """Decode a JSON body, or raise the 400 that says which field is wrong and what it should be."""
    if not body.strip():
        raise bad_input(f"The request needs a JSON body with {_listed(shape)}.")
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise _explained(shape, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        where = re.search(r"\(byte (\d+)\)", str(error))
        at = f" (near byte {where[1]})" if where else ""
        raise bad_input(f"The body is not valid JSON{at}.") from None


def _listed(shape: type[Input]) -> str:
    names = [f"`{field.encode_name}`" for field in msgspec.structs.fields(shape) if field.required]
    return ", ".join(names) or "its fields"


def _explained(shape: type[Input], message: str) -> Problem:
    """Translate a decoder's message into a sentence about a field."""
    words, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".") or None
    about = f"`{field}`" if field else "The body"
    if found := re.fullmatch(r"Object missing required field `(.+)`", words):
        return bad_input(f"The field `{found[1]}` is missing.", field=found[1])
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", words, re.DOTALL):
        return _unknown(shape, found[1])
    if found := re.match(r"Expected `(.+?)`, got `(.+?)`", words):
        expected = " or ".join(PLAIN_TYPES.get(name, name) for name in found[1].split(" | "))
        got = PLAIN_TYPES.get(found[2], found[2])
        return bad_input(f"{about} must be {expected}, not {got}.", field=field)
    if words.startswith("Invalid enum value"):
        choices = _choices(shape, field)
        return bad_input(
            f"{about} must be {choices}." if choices else f"{about} is not one that is known.", field=field
        )
    if found := re.match(r"Expected `\w+` (?:of length )?(<=|>=|<|>) (\S+)", words):
        bound = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}[found[1]]
        unit = " characters" if "of length" in words else ""
        return bad_input(f"{about} must be {bound} {found[2]}{unit}.", field=field)
    if "RFC3339" in words:
        return bad_input(f"{about} must be a date and time such as `2030-01-31T12:00:00Z`.", field=field)
    if words == "Number out of range":
        return bad_input(f"{about} is a number out of all bounds.", field=field)
    return bad_input(f"{about} is not as it should be.", field=field)


def _unknown(shape: type[Input], name: str) -> Problem:
    known = [field.encode_name for field in msgspec.structs.fields(shape)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"Known are {', '.join(f'`{each}`' for each in known)}."
    shown = shorten(name)
    return bad_input(
        f"There is no field `{shown}`; {hint}" if near else f"There is no field `{shown}`. {hint}", field=shown
    )


def _choices(shape: type[Input], field: str | None) -> str:
    for each in msgspec.structs.fields(shape):
        if each.encode_name == field:
            values = getattr(each.type, "__args__", ())
            return " or ".join(f"`{value}`" for value in values if isinstance(value, str))
    return ""


def shorten(text: str, characters: int = 60) -> str:
    """Show what somebody sent, harmlessly and not too long."""
    safe = "".join(c if c.isprintable() and c not in INVISIBLE else "\N{REPLACEMENT CHARACTER}" for c in text)
    return safe if len(safe) <= characters else safe[:characters] + "…"


def line(text: str, field: str, characters: int = NAME_CHARACTERS) -> str:
    """Return one line of text that is harmless wherever it is shown.

    Line breaks and tabs become spaces, formatting that reorders or hides text is dropped, control characters refused.
    """
    kept = []
    for character in text:
        if character in INVISIBLE:
            continue
        category = unicodedata.category(character)
        if character in "\t\n\r\x0b\x0c" or category in ("Zl", "Zp"):
            kept.append(" ")
        elif category in ("Cc", "Cs"):
            raise bad_input(f"`{field}` holds a control character.", field=field)
        else:
            kept.append(character)
    words = " ".join("".join(kept).split())
    if not words:
        raise bad_input(f"`{field}` is empty.", field=field)
    if len(words) > characters:
        raise bad_input(f"`{field}` is longer than {characters} characters.", field=field)
    return words


def paragraphs(text: str, field: str, characters: int) -> str:
    """Return a text of several lines that is harmless wherever it is shown, as `line` does for one."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(plain) > characters:
        raise bad_input(f"`{field}` is longer than {characters} characters.", field=field)
    rows = plain.split("\n")
    words = "\n".join(line(row, field, characters) if set(row.strip()) - INVISIBLE else "" for row in rows)
    if not words.strip():
        raise bad_input(f"`{field}` is empty.", field=field)
    return words


def given_reason(words: str) -> str:
    """Check a reason that may be left out."""
    return line(words, "reason", REASON_CHARACTERS) if words else ""


def email_address(text: str, field: str = "email") -> str:
    """Check that a text can be an address for mail."""
    if len(text) > EMAIL_CHARACTERS or not text.isprintable() or not EMAIL.fullmatch(text) or set(text) & INVISIBLE:
        raise bad_input(f"`{field}` is not an e-mail address.", field=field)
    return text


def provider_id(text: str, field: str) -> str:
    """Check an id that Stripe gave."""
    if not TOKEN.fullmatch(text):
        raise bad_input(f"`{field}` is not an id as Stripe gives them.", field=field)
    return text


def language_tag(text: str, field: str = "language") -> str:
    """Check the tag of a language that dates can be written in."""
    if not is_language(text):
        raise bad_input(f"`{field}` is not a language such as `de` or `pt-BR`.", field=field)
    return text


def zone_name(text: str, field: str = "zone") -> str:
    """Check an IANA time zone name."""
    if text not in _zones():
        raise bad_input(f"`{field}` is not a time zone such as `Europe/Berlin`.", field=field)
    return text


@cache
def _zones() -> frozenset[str]:
    """Return the zones by name. `ZoneInfo` opens others too, which the database does not know, such as `right/…`."""
    from zoneinfo import available_timezones

    return frozenset(available_timezones()) - {"localtime"}


def identifier(text: str, what: str) -> str:
    """Return an id of ours in its usual form; one that cannot exist gets the answer of one that does not."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise nothing_here(what) from None


def identifier_field(text: str, field: str) -> str:
    """Return an id of ours that a body names."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise bad_input(f"`{field}` is not an id.", field=field) from None


def query(request: Request[Any, Any, Any], name: str, default: str | None = None) -> str:
    """Return one query parameter, given at most once; without a default it must be there."""
    values = request.query_params.getall(name, [])
    if len(values) > 1:
        raise bad_input(f"`{name}` is given more than once.", field=name)
    if values:
        if "\0" in values[0]:
            raise bad_input(f"`{name}` holds a character that no text has.", field=name)
        return str(values[0])
    if default is None:
        raise bad_input(f"The address needs `?{name}=`.", field=name)
    return default


def bounded_query(request: Request[Any, Any, Any], name: str, characters: int = 500) -> str:
    """Return one query parameter of a page, cut to a length and harmless to show; empty when it is not there."""
    values = request.query_params.getall(name, [])
    words = str(values[0])[:characters] if values else ""
    return "".join(c for c in words if c.isprintable() and c not in INVISIBLE).strip()


def file_path(text: str) -> str:
    """Bound a path; the host decides what it names."""
    if not text:
        raise bad_input("`path` is empty.", field="path")
    if len(text) > PATH_CHARACTERS:
        raise bad_input(f"`path` is longer than {PATH_CHARACTERS} characters.", field="path")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise bad_input("`path` holds characters that a path cannot have.", field="path")
    return text


def new_file_path(text: str) -> str:
    """Bound the path of a file that is to be made: its name must not look like another one."""
    if set(file_path(text)) & INVISIBLE:
        raise bad_input("`path` holds invisible characters.", field="path")
    return text


def instant(value: datetime, field: str) -> datetime:
    """Check that a date and time names its zone and lies within the years that anybody means."""
    if value.tzinfo is None:
        raise bad_input(f"`{field}` needs a zone, such as `Z` at its end.", field=field)
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise bad_input(f"`{field}` is not a date that can be meant.", field=field)
    return value


def day(value: date, field: str) -> date:
    """Check that a day lies within the years that anybody means."""
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise bad_input(f"`{field}` is not a day that can be meant.", field=field)
    return value


def idempotency_key(request: Request[Any, Any, Any]) -> str:
    """Return the Idempotency-Key header, which makes repeating the request harmless."""
    values = request.headers.getall("idempotency-key", [])
    if not values:
        raise bad_input("The header `Idempotency-Key` is missing; send a new random one with each new wish.")
    if len(values) > 1 or not TOKEN.fullmatch(values[0]):
        raise bad_input(f"`Idempotency-Key` is one printable text without spaces, at most {KEY_CHARACTERS} characters.")
    return str(values[0])


def page_size(request: Request[Any, Any, Any], default: int = 100, most: int = 1_000) -> int:
    """Return `?limit=`."""
    words = query(request, "limit", str(default))
    if not (words.isascii() and words.isdigit() and len(words) <= 6 and 1 <= int(words) <= most):
        raise bad_input(f"`limit` is a whole number from 1 to {most}.", field="limit")
    return int(words)
