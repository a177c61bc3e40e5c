"""What counts as one network address where passwords are guessed; the rest is in `tests.web.pages.test_guesses`."""

from __future__ import annotations

from web.guesses import network_of


def test_whoever_has_one_address_of_a_subnet_has_them_all() -> None:
    for client, network in (
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
    ):
        assert network_of(client) == network
