"""`forbear up --stripe-double`: a stand-in for Stripe beside the system; from a source checkout, never with a key."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

from jobs.supervisor import Service
from storage.beside import STRIPE_FILE as BESIDE_FILE
from storage.embedded.folder import is_free, write_private

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "tests" / "doubles" / "stripe_program.py"
NAME = "stripe-double"
KEY = "sk_test_of_the_double"
STRIPE_NAMES = ("STRIPE_API_KEY", "STRIPE_API_BASE")
BEHAVIOURS = (
    r"twice|shuffled|off",
    r"delay=\d{1,4}",
    r"retries=[1-9]\d?(\+[1-9]\d?){0,7}",
    r"after=(past_due|unpaid|cancel)",
)


class DoubleRefused(Exception):
    """There is no stand-in for Stripe to be had here; says why, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}")


def environment_beside(port: int, behaviour: str = "") -> dict[str, str]:
    """Return what every process is told when a stand-in takes Stripe's place. Raises DoubleRefused.

    INVARIANT: whoever has given a key of Stripe's gets no stand-in: real customers would be told of payments that
    nobody made.
    """
    for name in STRIPE_NAMES:
        if os.environ.get(name, "").strip():
            raise DoubleRefused(f"{name} is set, and `--stripe-double` would take its place", "unset one of the two")
    if not PROGRAM.is_file():
        raise DoubleRefused("the stand-in for Stripe is not installed", "start `forbear` from a checkout of its source")
    check_behaviour(behaviour)
    portal = os.environ.get("FORBEAR_PORTAL_URL") or os.environ.get("FORBEAR_PUBLIC_URL") or f"http://127.0.0.1:{port}"
    return {
        "STRIPE_API_KEY": KEY,
        "STRIPE_API_BASE": f"http://127.0.0.1:{_port_beside(port)}",
        "FORBEAR_PAY_URL": os.environ.get("FORBEAR_PAY_URL") or f"{portal.rstrip('/')}/plan",
    }


def check_behaviour(behaviour: str) -> None:
    """Refuse what no stand-in can do. Raises DoubleRefused."""
    for part in filter(None, behaviour.split(",")):
        if not any(re.fullmatch(form, part) for form in BEHAVIOURS):
            remedy = "say some of `twice,shuffled,off,delay=5,retries=1+2+3,after=unpaid`, with commas between"
            raise DoubleRefused(f"`--stripe-double-with` cannot be `{part[:40]}`", remedy)


def tell_commands(data: Path, environment: dict[str, str]) -> None:
    """Let commands typed beside this system find the stand-in, or none where there is none."""
    file = data / "secrets" / BESIDE_FILE
    told: dict[str, str] = {name: environment[name] for name in STRIPE_NAMES if name in environment}
    if told and (mode := os.environ.get("FORBEAR_STRIPE_MODE", "").strip()):
        told["FORBEAR_STRIPE_MODE"] = mode
    file.unlink(missing_ok=True)
    if told:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(file, "".join(f"{name}={value}\n" for name, value in told.items()))


def service_of(environment: dict[str, str], data: Path, behaviour: str = "") -> Service:
    """Return the process of the stand-in that this environment leads to."""
    port = environment["STRIPE_API_BASE"].rpartition(":")[2]
    command = [sys.executable, "-m", "tests.doubles.stripe_program", "--port", port]
    command += ["--behaviour", behaviour] if behaviour else []
    return Service(NAME, command, data / "logs" / f"{NAME}.log")


def is_listening(environment: dict[str, str]) -> bool:
    """Tell whether it can be reached."""
    return not is_free(int(environment["STRIPE_API_BASE"].rpartition(":")[2]))


def _port_beside(port: int) -> int:
    """Return the next port, where it is easily found, or any that is free."""
    if port < 65_535 and is_free(port + 1):
        return port + 1
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
