"""What a hosts file tells a host of its own, held against that host's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.hosts.errors import HostMisconfigured, quoted

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def shaped(host: str, schema: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as plain dictionaries and lists. Raises HostMisconfigured at the first that is misshapen."""
    given: dict[str, Any] = _plain(options)
    for error in _validator(schema).iter_errors(given):
        where = ".".join(str(step) for step in error.absolute_path) or "its options"
        expected = error.schema.get("errorMessage") if isinstance(error.schema, dict) else None
        raise HostMisconfigured(host, f"{quoted(where)}: {f'expected {expected}' if expected else error.message}")
    return given


def _plain(value: Any) -> Any:
    """Return plain dictionaries and lists: a schema, and JSON, take no other for them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


@cache
def _validator(schema: Path) -> Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema.read_text("utf-8")))
