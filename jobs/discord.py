"""Alerts to Discord channels by webhook: never a mention, never a retry of what may have arrived.

Which alert goes to which channel is policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from jobs.certificates import certificates

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 5.0
CONTENT_CHARACTERS = 1900  # Discord takes 2000
MOST_WAIT_SECONDS = 300.0
MARKUP = re.compile(r"([\\`*_~|>#\[\]()<@:-])")


class DiscordError(Exception):
    """An alert was not posted, or it is not known whether it was."""


class DiscordDelayed(DiscordError):
    """The alert surely was not posted; try again, not before `after_seconds`."""

    def __init__(self, reason: str, after_seconds: float) -> None:
        self.reason = reason
        self.after_seconds = after_seconds
        super().__init__(f"discord did not take the alert: {reason}")


class DiscordRefused(DiscordError):
    """The alert surely was not posted, and never will be: a person has to look at the webhook."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"discord refused the alert: {reason}")


class DiscordUncertain(DiscordError):
    """The alert may have been posted; once is enough."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the alert may have been posted: {reason}")


class Channels(Protocol):
    """Somewhere to post alerts."""

    def has(self, channel: str) -> bool:
        """Tell whether anybody listens on this channel."""

    def post(self, channel: str, text: str) -> None:
        """Post once. Raises DiscordDelayed, DiscordRefused, DiscordUncertain."""


def harmless(text: str) -> str:
    """Escape markup, drop controls and direction marks: a customer's name is shown as it is and calls nobody."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    shown = MARKUP.sub(r"\\\1", " ".join(shown.split()))
    return shown if len(shown) <= CONTENT_CHARACTERS else shown[: CONTENT_CHARACTERS - 1].rstrip("\\") + "…"


class Discord:
    """Posts to the configured webhooks. Their addresses are secrets and appear in no error."""

    def __init__(self, webhooks: Mapping[str, str], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._webhooks = {channel: url for channel, url in webhooks.items() if url}
        self._timeout_seconds = timeout_seconds

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        verify = certificates(trust_env=True)
        return httpx.Client(timeout=self._timeout_seconds, follow_redirects=False, verify=verify)

    def has(self, channel: str) -> bool:
        """Tell whether a webhook is configured for the channel."""
        return channel in self._webhooks

    def post(self, channel: str, text: str) -> None:
        """Post `text`, escaped, with mentions off."""
        import httpx

        body = {"content": harmless(text), "allowed_mentions": {"parse": []}}
        try:
            answer = self._client.post(self._webhooks[channel], json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise DiscordDelayed("it cannot be reached", 30) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise DiscordRefused("the webhook's address is not usable") from error
        except httpx.HTTPError as error:
            raise DiscordUncertain(f"no answer ({type(error).__name__})") from error
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise DiscordDelayed("too many alerts at once", _retry_after_seconds(answer))
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise DiscordDelayed(f"it answered {answer.status_code}", 30)
        if not answer.is_success:
            raise DiscordRefused(f"it answered {answer.status_code}")

    def close(self) -> None:
        """Let go of its connections."""
        if "_client" in self.__dict__:
            self._client.close()


def _retry_after_seconds(answer: httpx.Response) -> float:
    try:
        return min(max(float(answer.headers.get("Retry-After", "5")), 1.0), MOST_WAIT_SECONDS)
    except ValueError:
        return 5.0
