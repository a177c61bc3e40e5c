"""People at a real, headless Chromium: with a mouse, or with nothing but keys. What they see is kept as pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Locator, Page, Request, sync_playwright

from tests.acceptance.system import ROOT, poll

PICTURES = ROOT / "build" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "chromium is missing; Debian: apt-get install chromium; Ubuntu: snap install chromium"
PHONE, DESK = (390, 844), (1280, 900)
FEW = ((PHONE, "light"), (DESK, "dark"))  # on these two, axe looks on
ALL = (*FEW, (PHONE, "dark"), (DESK, "light"))
LOOK = {"resultTypes": ["violations"], "iframes": False}  # what stands in a frame is a page of its own
CONTRAST = {**LOOK, "runOnly": ["color-contrast"]}  # what may differ at night
MOST_KEYS = 150  # to reach anything on a page
WAIT_MS = 20_000

Hand = Literal["mouse", "keys"]

INLINE = """[...document.querySelectorAll("*")].filter(element => element.localName === "style"
  || element.localName === "script" && !element.src
  || [...element.attributes].some(({name}) => name === "style" || name.startsWith("on"))).length"""

# Places in the header that are cut off.
HIDDEN = """[...document.querySelectorAll("header.top a")].filter(place =>
  place.getBoundingClientRect().right > document.documentElement.clientWidth).map(place => place.textContent)"""

# What keeps a focus ring from being seen, if so.
FOCUS = """element => {
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return "has no ring";
  return box.width && box.height ? "" : "has no size";
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, in its sandbox where that is possible: as root it is not."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program is not None, MISSING
    with sync_playwright() as driver:
        browser = None
        for sandboxed in (False,) if os.geteuid() == 0 else (True, False):
            try:
                browser = driver.chromium.launch(executable_path=program, chromium_sandbox=sandboxed)
                break
            except Error:
                if not sandboxed:
                    raise
        assert browser is not None
        yield browser
        browser.close()


class Person:
    """Somebody at their browser. Everything that it loads from elsewhere, and every fault in it, is remembered."""

    def __init__(self, browser: Browser, url: str, *, hand: Hand = "mouse", zone: str = "Europe/Zurich") -> None:
        self.url = url
        self.hand = hand
        self.context = browser.new_context(
            base_url=url, viewport={"width": DESK[0], "height": DESK[1]}, timezone_id=zone, locale="en-GB"
        )
        self.context.set_default_timeout(WAIT_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.read: list[str] = []  # the markup of each page that was looked at
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("dialog", self._interrupted)
        self.page.on("request", self._asked)

    def _complain(self, text: str) -> None:
        if self.page.url.startswith(self.url):  # not where Stripe would be
            self.complaints.append(f"{self.page.url}: {text}")

    def _said(self, told: ConsoleMessage) -> None:
        """A page that is itself an answer such as 404 is no fault; what it cannot load is one."""
        is_itself = told.text.startswith("Failed to load resource") and told.location["url"] == self.page.url
        if told.type in ("error", "warning") and not is_itself:
            self._complain(told.text)

    def _interrupted(self, dialog: Dialog) -> None:
        """No page of ours opens a dialog; what does is a script that somebody smuggled in."""
        self._complain(f"opens a dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        """Remember what a page loads from elsewhere. Going there is no loading."""
        if not request.is_navigation_request() and not request.url.startswith(
            (self.url, self.url.replace("http", "ws"))
        ):
            self._complain(f"loads {request.url}")

    def leave(self) -> None:
        """End it."""
        self.context.close()

    # ---- what they do ------------------------------------------------------------------------------------------------

    def open(self, path: str) -> Person:
        """Open a page."""
        self.page.goto(path)
        return self

    def press(self, words: str, role: Literal["button", "link", "radio"] = "button") -> None:
        """Press what is called so."""
        found = self.page.get_by_role(role, name=words, exact=True).first
        if self.hand == "mouse":
            found.click()
        else:
            self._reach(found)
            self.page.keyboard.press("Space" if role == "radio" else "Enter")

    def choose(self, words: str) -> None:
        """Choose one of several. By key, only the chosen one is reached; the arrows lead on from there."""
        wanted = self.page.get_by_role("radio", name=words)
        if self.hand == "mouse":
            wanted.check()
            return
        self._reach(self.page.get_by_role("radio", checked=True))
        for _ in range(10):
            if wanted.is_checked():
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"`{words}` cannot be chosen by key")

    def write(self, label: str, text: str) -> None:
        """Write into the field of that label, over what is there."""
        found = self.page.get_by_label(label, exact=True).first
        if self.hand == "mouse":
            found.fill(text)
        else:
            self._reach(found)
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(text)

    def _reach(self, wanted: Locator) -> None:
        """Go to something with the tabulator, as far as it takes, and see where one is on the way."""
        wanted.wait_for()
        for _ in range(MOST_KEYS):
            self.page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                why = wanted.evaluate(FOCUS) if self.page.url.startswith(self.url) else ""
                assert not why, f"{self.page.url}: {wanted} {why} when it is reached"
                return
        raise AssertionError(f"{self.page.url}: {wanted} cannot be reached by key")

    # ---- what they see -----------------------------------------------------------------------------------------------

    def sees(self, words: str) -> None:
        """Wait until the page says so by itself."""
        self.page.get_by_text(words).first.wait_for()

    def finds(self, path: str, words: str) -> None:
        """Open a page again and again, as somebody who waits does, until it says so."""
        for _ in poll(WAIT_MS / 1_000, 0.2):
            if words in self.open(path).page.locator("main").inner_text():
                return
        raise AssertionError(f"`{words}` is not on {path}: {self.page.locator('main').inner_text()}")

    def looks(self, name: str, screens: Iterable[tuple[tuple[int, int], str]] = ALL) -> list[str]:
        """Take the page's picture on a phone and at a desk, by day and at night; return what is wrong with it."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        faults: list[str] = []
        for size, scheme in screens:
            self.turn(size, scheme)
            self.page.screenshot(path=PICTURES / f"{name}-{size[0]}-{scheme}.png", full_page=True, caret="initial")
            if (size, scheme) in FEW:
                faults += [f"{name} at {size[0]}, {scheme}: {fault}" for fault in self.faults(scheme)]
        self.turn(DESK, "light")
        return faults

    def turn(self, size: tuple[int, int], scheme: str) -> None:
        """Look at the page on another screen."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    def unsafe(self) -> list[str]:
        """Return what a policy without `unsafe-inline` would not let run, and would be wrong to have on a page."""
        self.read.append(self.page.content())
        inline: int = self.page.evaluate(INLINE)
        return [f"{self.page.url}: {inline} things inline"] if inline else []

    def faults(self, scheme: str = "light") -> list[str]:
        """Return what keeps somebody from using the page as it stands: what axe finds, and what is wider than it."""
        found: list[dict[str, Any]] = (
            Axe().run(self.page, options=CONTRAST if scheme == "dark" else LOOK).response["violations"]
        )
        faults = [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}" for each in found]
        return [*faults, *self.too_wide()]

    def too_wide(self) -> list[str]:
        """Return whether one has to scroll sideways, or a way to another page is out of sight."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        hidden: list[str] = self.page.evaluate(HIDDEN)
        return [*([f"scrolls sideways by {wide} px"] if wide > 0 else []), *(f"`{name}` is cut off" for name in hidden)]
