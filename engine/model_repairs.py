"""What is done about a server that is not as it should be, as the model has it. `engine.repairs` judges by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from engine.model import Place
from engine.model_permits import Brake

RepairMode = Literal["off", "dry_run", "live"]


@dataclass(frozen=True, slots=True)
class Repair:
    """One line of repairs: the first that is live and whose condition holds is what is done."""

    id: str
    do: str | None  # None: nothing to do
    place: Place
    observed: tuple[str, ...] = ()  # empty: any but `unknown`
    desired: tuple[str, ...] = ()
    server: tuple[str, ...] = ()  # server billing states
    lifecycle: tuple[str, ...] = ()
    autostart: bool | None = None
    edge: tuple[str, ...] = ()
    lifecycle_older_than: timedelta | None = None
    lock_older_than: timedelta | None = None
    level: int | None = None  # None: always, and always live
    mode: RepairMode = "live"  # what its level says
    brake: str | None = None
    alert_after: timedelta | None = None
    damped: bool = True
    in_maintenance: bool = False  # done also while a window of maintenance runs


@dataclass(frozen=True, slots=True)
class Repairs:
    """Desired against observed: what to do, how sure to be first, and how much at once."""

    lines: tuple[Repair, ...]
    agreeing_observations: int
    brakes: Mapping[str, Brake]
    maintenance: str | None = None  # a calendar: while one of its windows runs, only what stops the suspended is done
