"""A place where a fault test can stop a worker in the middle of an intent. Does nothing without the test clock."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Literal

from jobs.logs import say
from storage.settings import Settings

POLL_SECONDS = 0.02

log = logging.getLogger(__name__)

Moment = Literal[
    "before_act",
    "after_act",
    # between these, in the phases of `provision_server`
    "in_allocate",
    "in_create",
    "after_create",
    "in_start",
    "after_start",
    "in_edge",
    "in_ready",
    "in_destroy",  # in `destroy_servers`: it is written down that the server goes, and its host was not told yet
]


def marker(data_dir: Path, intent: str, moment: Moment) -> Path:
    """Name the file that stands while a worker is stopped there; it holds the worker's process id."""
    return data_dir / "paused" / f"{intent}.{moment}"


def pause(settings: Settings, intent: str, moment: Moment) -> None:
    """Stop here when the settings say so, until the marker is removed or the process is killed."""
    if settings.test_pause_at != f"{intent}:{moment}":
        return
    file = marker(settings.data_dir, intent, moment)
    file.parent.mkdir(parents=True, exist_ok=True)
    say(log, logging.INFO, "stopped for a fault test", intent=intent, moment=moment)
    aside = file.with_suffix(".tmp")
    aside.write_text(str(os.getpid()))
    aside.rename(file)
    while file.exists():
        time.sleep(POLL_SECONDS)
