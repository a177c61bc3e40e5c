"""How people come to be in the shop: a customer by registering and subscribing, an admin by `forbear admin add`."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.acceptance.system import ROOT, System
from tests.system.people import Person

PASSWORD = "seven green lanterns"


def registered(shop: System, person: Person, email: str, name: str = "Ada Lovelace") -> None:
    """Register, open the link in the letter, and sign in there."""
    person.open("/register")
    person.write("Name", name)
    person.write("Mail address", email)
    person.write("Password", PASSWORD)
    person.press("Register")
    person.sees("Look into your mail")
    person.open(shop.mailed(email, "/verify"))
    person.write("Password", PASSWORD)
    person.press("Sign in")
    person.sees(f"Hello {name}")


def subscribed(shop: System, person: Person) -> str:
    """Subscribe with a card that fails later, and return the account's id."""
    person.open("/plan")
    person.press("Subscribe to game")
    person.page.wait_for_url(f"{shop.stand_in}/**")
    person.choose("works now, fails at the next charge")
    person.press("Subscribe")
    person.sees("Your plan is active")
    found = re.search(r"account=([\w-]+)", person.page.url)
    assert found is not None
    return found[1]


def ordered(person: Person, name: str) -> str:
    """Order a server, wait until it runs, and return its page."""
    person.open("/order")
    person.write("Name", name)
    person.press("Order it")
    person.sees("Your server runs.")
    return person.page.url.removeprefix(person.url)


def let_in(shop: System, person: Person, email: str) -> None:
    """Let an admin in, as an operator does it, and sign in at the desk."""
    command = [
        sys.executable,
        "-m",
        "forbear",
        "admin",
        "add",
        email,
        "--name",
        "Grace Hopper",
        "--data",
        str(shop.data),
    ]
    said = subprocess.run(command, cwd=ROOT, env=shop.env, capture_output=True, text=True, check=True).stdout
    link = said.split()[-1]
    assert link.startswith(f"{shop.url}/password/new?token="), said
    person.open(link)
    person.write("New password", PASSWORD)
    person.press("Keep it")
    person.write("Mail address", email)
    person.write("Password", PASSWORD)
    person.press("Sign in")
    person.page.get_by_role("heading", name="Accounts").wait_for()
