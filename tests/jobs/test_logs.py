"""Logs: one line per thing done, whatever a customer typed."""

from __future__ import annotations

import json
import logging

from jobs.logs import JsonLines, Text


def record(message: str, **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, __file__, 1, message, (), None)
    made.facts = facts
    return made


def test_text_is_one_line_with_its_facts() -> None:
    line = Text().format(record("done", server="a\r\nb", nothing=None))
    assert line.endswith("info    done server=a\\r\\nb")
    assert "\n" not in line


def test_json_is_one_object_a_line() -> None:
    line = JsonLines().format(record("done\nagain", server="a", took_ms=3))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["message"], told["server"], told["took_ms"], told["level"]) == ("done\nagain", "a", 3, "info")
    assert told["at"].endswith("Z")
