"""Discord: harmless text, no mentions, and each answer told apart."""

from __future__ import annotations

import socket

import pytest

from jobs.discord import Discord, DiscordDelayed, DiscordRefused, DiscordUncertain, harmless
from tests.doubles.discord import DiscordSink


def test_alert_is_posted_with_mentions_off() -> None:
    with DiscordSink() as sink:
        discord = Discord(sink.webhooks("audit-log"))
        discord.post("audit-log", "account of @everyone **suspended**")
        discord.close()
    ((channel, body),) = sink.posts
    assert channel == "audit-log"
    assert body["allowed_mentions"] == {"parse": []}
    assert body["content"] == r"account of \@everyone \*\*suspended\*\*"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, DiscordDelayed),
        (503, DiscordDelayed),
        (404, DiscordRefused),
        (400, DiscordRefused),
        (0, DiscordUncertain),
    ],
)
def test_each_answer_is_told_apart(status: int, error: type[Exception]) -> None:
    with DiscordSink(status=status) as sink:
        discord = Discord(sink.webhooks("audit-log"))
        with pytest.raises(error) as raised:
            discord.post("audit-log", "x")
        assert "127.0.0.1" not in str(raised.value), "a webhook's address is a secret"
        discord.close()


def test_retry_after_is_followed_and_bounded() -> None:
    for told, waited in (("7", 7), ("0", 1), ("99999", 300), ("soon", 5)):
        with DiscordSink(status=429, retry_after=told) as sink:
            discord = Discord(sink.webhooks("audit-log"))
            with pytest.raises(DiscordDelayed) as raised:
                discord.post("audit-log", "x")
            assert raised.value.after_seconds == waited
            discord.close()


def test_nobody_listening_is_a_delay() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        discord = Discord({"audit-log": f"http://127.0.0.1:{taken.getsockname()[1]}/x"})
        with pytest.raises(DiscordDelayed):
            discord.post("audit-log", "x")
        discord.close()


def test_only_configured_channels_are_there() -> None:
    discord = Discord({"audit-log": "http://127.0.0.1:1/x", "alerts-billing": ""})
    assert discord.has("audit-log")
    assert not discord.has("alerts-billing")
    discord.close()


def test_names_are_shown_harmlessly_and_bounded() -> None:
    assert harmless("a\r\nb\u202ec") == "a b c"
    assert harmless("[x](http://evil)") == r"\[x\]\(http\://evil\)"
    assert harmless("<@123>") == r"\<\@123\>"
    assert len(harmless("x*" * 3000)) <= 1900
