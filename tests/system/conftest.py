"""One system and one Chromium for every test of this folder that asks for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.acceptance.system import System, left_behind
from tests.doubles.discord import DiscordSink
from tests.system.people import PICTURES, Person, chromium

CHANNELS = ("support", "alerts-billing", "audit-log")


@pytest.fixture(scope="session")
def discord() -> Iterator[DiscordSink]:
    """Where the shop tells its operators."""
    with DiscordSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, discord: DiscordSink) -> Iterator[System]:
    """`forbear up` with a stand-in for Stripe. Its first warning waits a day, so that no rung is over at once."""
    channels = discord.webhooks(*CHANNELS)
    told = {f"FORBEAR_DISCORD_{name.upper().replace('-', '_')}": url for name, url in channels.items()}
    running = System(tmp_path_factory.mktemp("shop"), {"BILLING_WARNING_GRACE_HOURS": "24", **told})
    running.start("--stripe-double")
    yield running
    running.stop()
    assert left_behind(running.data) == []


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    """A Chromium in which everybody has a window of their own."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(shop: System, window: Browser) -> Iterator[Callable[..., Person]]:
    """Return somebody at a browser of their own. Whatever else a test shows, no page may have had a fault."""
    people: list[Person] = []

    def arrive(**given: str) -> Person:
        """Open a window."""
        people.append(Person(window, shop.url, **given))  # type: ignore[arg-type]
        return people[-1]

    yield arrive
    for person in people:
        person.leave()
    assert [complaint for person in people for complaint in person.complaints] == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the pictures are."""
    if PICTURES.exists():
        terminalreporter.write_line(f"pictures: {PICTURES} ({len(list(PICTURES.iterdir()))})")
