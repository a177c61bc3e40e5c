"""What workers and the controller say: one line per thing done, as text for people or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]

KEPT_QUIET = ("rq", "rq.worker", "rq.queue", "rq.job", "httpx", "httpcore", "stripe")


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, message, and whatever `facts` the line carries."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _instant(record),
            "level": record.levelname.lower(),
            "process": record.process,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Text(logging.Formatter):
    """`at level message fact=value …`, for a terminal or a log file."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        told = "".join(f" {name}={value}" for name, value in facts.items() if value is not None)
        line = f"{_instant(record)} {record.levelname.lower():7} {record.getMessage()}{told}"
        line = line.replace("\r", "\\r").replace("\n", "\\n")  # what a customer typed makes no line of its own
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(log: logging.Logger, level: int, message: str, **facts: object) -> None:
    """Write one line with its facts beside it."""
    log.log(level, message, extra={"facts": facts})


def set_up(form: Form) -> None:
    """Send every line to standard output, once per process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if form == "json" else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in KEPT_QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
