"""The keys that another portal publishes: fetched when needed, kept for a while, bounded in size and in how often."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from jwt import PyJWK

KEPT_SECONDS: Final = 600.0
EVERY_SECONDS: Final = 60.0  # at most: a token with a key that nobody knows costs nothing more
TIMEOUT_SECONDS: Final = 3.0
WHOLE_SECONDS: Final = 6.0  # of an answer that comes in drops
MOST_BYTES: Final = 256_000
MOST_KEYS: Final = 64
KINDS: Final = frozenset({"RSA", "EC", "OKP"})  # none that both sides know: what is published is no secret
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

log = logging.getLogger("forbear.web")


class KeysAway(Exception):
    """No key was ever fetched; says why."""


class PortalKeys:
    """Used from any thread. While a fetch fails, the keys that are known stay good."""

    def __init__(self, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fault = ""

    def find(self, key_id: str) -> PyJWK | None:
        """Return the key of that id; None: the portal publishes no such key. Raises KeysAway."""
        is_old = self._clock() - self._fetched_at > KEPT_SECONDS
        # Whose key is known waits for nobody: one refreshes, and a stranger's unknown key holds up strangers alone.
        if (key_id not in self._keys or is_old) and self._lock.acquire(blocking=key_id not in self._keys):
            try:
                self._fetch()
            finally:
                self._lock.release()
        if not self._keys:
            raise KeysAway(self._fault or "no usable key is published")
        return self._keys.get(key_id)

    def _fetch(self) -> None:
        now = self._clock()
        if now - self._tried_at < EVERY_SECONDS:
            return
        self._tried_at = now
        try:
            self._keys, self._fault = usable(json.loads(read(self._source))), ""
            self._fetched_at = now
        except Exception as error:  # whatever the other side sends, what is known stays good
            self._fault = f"{type(error).__name__} at {self._source}"
            log.warning("the keys of the other portal could not be fetched: %s", self._fault)


def read(source: str) -> bytes:
    """Return what a file or an address holds. Raises ValueError where it is too much, OSError or httpx's errors."""
    if urlsplit(source).scheme not in ("http", "https"):
        with Path(source).open("rb") as file:
            return _bounded(file.read(MOST_BYTES + 1))
    import httpx

    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client, client.stream("GET", source) as answer:
        answer.raise_for_status()
        found, until = b"", time.monotonic() + WHOLE_SECONDS
        for part in answer.iter_bytes(16_384):
            found = _bounded(found + part)
            if time.monotonic() > until:
                raise ValueError("it takes too long")
        return found


def _bounded(found: bytes) -> bytes:
    if len(found) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    return found


def usable(document: Any) -> dict[str, PyJWK]:
    """Return the keys by their ids, without those that cannot verify a signature here. Raises ValueError."""
    from jwt import PyJWK, PyJWTError

    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError(f"not a list of at most {MOST_KEYS} keys")
    found = {}
    for each in listed:
        if not isinstance(each, dict) or each.get("kty") not in KINDS or each.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(each)
        except (PyJWTError, ValueError, TypeError):
            continue
        if isinstance(key.key_id, str) and key.algorithm_name in ALGORITHMS:
            found[key.key_id] = key
    return found
