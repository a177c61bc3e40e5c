"""The console in a real browser: it connects, says what is wrong, and always comes back to a button that opens it."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.system import System
from tests.system.newcomers import ordered, registered, subscribed
from tests.system.people import Person

DEAF = "() => { window.WebSocket = class { close() {} } }"  # a connection that is never made


def test_console_always_comes_back_to_a_button_that_opens_it(shop: System, visit: Callable[..., Person]) -> None:
    person = visit()
    registered(shop, person, "console@shop.example")
    account_id = subscribed(shop, person)
    place = ordered(person, "Castle")
    person.open(f"{place}/console").press("Open console")
    person.sees("Connected: you see what the server prints.")
    person.write("Command", "say hello to everybody")
    person.press("Send")
    person.page.locator("#console-lines").get_by_text("hello to everybody").first.wait_for()
    person.press("Close")
    person.sees("The console is closed.")
    person.press("Reconnect")
    person.sees("Connected: you see what the server prints.")

    # Somebody is there who does not answer.
    person.press("Close")
    person.page.clock.install()
    person.open(f"{place}/console")
    person.page.evaluate(DEAF)
    person.press("Open console")
    person.sees("Connecting to the console…")
    person.page.clock.run_for(9_000)
    assert person.page.get_by_role("button", name="Connecting…").is_disabled()
    person.page.clock.run_for(2_000)
    person.sees("The console did not answer within 10 seconds.")
    assert person.page.get_by_role("button", name="Open console", exact=True).is_enabled()
    person.page.clock.resume()
    person.open(f"{place}/console").press("Open console")
    person.sees("Connected: you see what the server prints.")

    # The account is suspended meanwhile: the page says why, in the words of every other page.
    body = {"event": "admin_suspended", "reason": "looked at"}
    assert shop.admin.post(f"/api/admin/accounts/{account_id}/commands", json=body).status_code < 300
    shop.drain()
    person.page.get_by_role("button", name="Reconnect", exact=True).wait_for()
    person.sees("The connection ended.")

    # And nobody is there at all.
    person.context.set_offline(True)
    person.press("Reconnect")
    person.sees("We cannot be reached at the moment.")
    person.page.get_by_role("button", name="Reconnect", exact=True).wait_for()
    person.context.set_offline(False)
    person.complaints.clear()  # a browser says of itself that a connection was refused
