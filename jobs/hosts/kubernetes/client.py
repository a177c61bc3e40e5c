"""Speaks to an API server through the official client, and says in a host's words why it could not.

Each call is bounded. What changes something is repeated only after 429: anything else may have been taken.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobs.hosts.errors import HostError, HostMisconfigured, HostUnavailable

if TYPE_CHECKING:
    from jobs.hosts.kubernetes.options import KubernetesOptions

PAGE = 500
LONGEST_REASON = 160
BUSY_TRIES = 3
LONGEST_WAIT_SECONDS = 2.0
MERGE = "application/merge-patch+json"
GONE, CONFLICT, NOT_FOUND, BUSY = 410, 409, 404, 429

Found = dict[str, Any]


class Refused(HostError):
    """The API said no to one request. Caught in this folder and told in the words of whoever asked."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status} {reason}")


class Client:
    """One kind of resource in one namespace of one cluster, for any number of threads."""

    def __init__(self, host: str, options: KubernetesOptions) -> None:
        self.host = host
        self.options = options
        self._made: Any = None
        self._lock = threading.Lock()

    def listed(self, selector: str) -> list[Found]:
        """List every resource that a selector names, as one state of the cluster. Raises HostUnavailable."""
        try:
            return self._pages(selector)
        except Refused as error:
            if error.status != GONE:
                raise self._unlisted(error) from None
        try:
            return self._pages(selector)  # the list grew too old between two pages: what was read is worth nothing
        except Refused as error:
            raise self._unlisted(error) from None

    def get(self, name: str) -> Found | None:
        """Read one resource; `None` when there is none of that name. Raises HostUnavailable."""
        try:
            return self._one(lambda api: api.get_namespaced_custom_object(*self._place, name, **self._bounded))
        except Refused as error:
            if error.status == NOT_FOUND:
                return None
            raise HostUnavailable(self.host, f"it does not show its resources: {error.reason}") from None

    def create(self, body: Found) -> Found:
        """Make a resource. Raises HostUnavailable, Refused."""
        return self._one(lambda api: api.create_namespaced_custom_object(*self._place, body, **self._bounded))

    def patch(self, name: str, body: Found) -> Found:
        """Change what `body` names, and return what the cluster then holds. Raises as `create`."""

        def call(api: Any) -> Any:
            return api.patch_namespaced_custom_object(*self._place, name, body, _content_type=MERGE, **self._bounded)

        return self._one(call)

    def delete(self, name: str, uid: str) -> None:
        """Begin to remove a resource, after whatever it owns. Raises as `create`; Refused when it is another."""
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        self._ask(lambda api: api.delete_namespaced_custom_object(*self._place, name, body=body, **self._bounded))

    def watch(self, name: str, version: str, seconds: float) -> Iterator[tuple[str, Found]]:
        """Follow one resource from a version on, for so long at most. Raises as `create`, also when that is too old."""
        from kubernetes import watch

        api, stream = self._api(), watch.Watch()
        selected = {"field_selector": f"metadata.name={name}", "resource_version": version}
        bounds = {"timeout_seconds": max(1, math.ceil(seconds)), "_request_timeout": (seconds, seconds)}
        with self._in_own_words():
            for event in stream.stream(api.list_namespaced_custom_object, *self._place, **selected, **bounds):
                if event is None or not isinstance(event.get("raw_object"), dict):
                    return  # cut off in the middle of a line
                yield str(event.get("type")), event["raw_object"]

    @property
    def _place(self) -> tuple[str, str, str, str]:
        options = self.options
        return options.group, options.version, options.namespace, options.plural

    @property
    def _bounded(self) -> dict[str, Any]:
        seconds = self.options.timeouts.request
        return {"_request_timeout": (seconds, seconds)}

    def _pages(self, selector: str) -> list[Found]:
        found: list[Found] = []
        more = ""
        while True:
            page = self._page(selector, more)
            items, told = page.get("items"), page.get("metadata")
            if not isinstance(items, list) or not isinstance(told, dict):
                raise HostUnavailable(self.host, "it answered with something that is not the list that was asked for")
            if not all(isinstance(each, dict) and isinstance(each.get("metadata"), dict) for each in items):
                raise HostUnavailable(self.host, "its list holds something that is no resource")
            found += items
            more = str(told.get("continue") or "")
            if not more:
                return found

    def _page(self, selector: str, more: str) -> Found:
        words: dict[str, Any] = {"label_selector": selector, "limit": PAGE, **self._bounded}
        if more:
            words["_continue"] = more
        return self._one(lambda api: api.list_namespaced_custom_object(*self._place, **words))

    def _unlisted(self, error: Refused) -> HostError:
        if error.status == NOT_FOUND:
            words = f"it knows no `{self.options.plural}.{self.options.group}/{self.options.version}`; is it installed"
            return HostMisconfigured(self.host, words)
        return HostUnavailable(self.host, f"it does not list its resources: {error.reason}")

    def _one(self, call: Callable[[Any], Any]) -> Found:
        answer = self._ask(call)
        if not isinstance(answer, dict) or not isinstance(answer.get("metadata"), dict):
            raise HostUnavailable(self.host, "it answered with something that is not what was asked for")
        return answer

    def _ask(self, call: Callable[[Any], Any]) -> Any:
        """Ask, and again when it says that it has too much to do: then it has done nothing."""
        for tries in range(BUSY_TRIES):
            try:
                with self._in_own_words():
                    return call(self._api())
            except _TooBusy as busy:
                if tries + 1 < BUSY_TRIES:
                    time.sleep(min(busy.seconds, LONGEST_WAIT_SECONDS))
        raise HostUnavailable(self.host, f"it has had too much to do, {BUSY_TRIES} times (status {BUSY})")

    @contextmanager
    def _in_own_words(self) -> Iterator[None]:
        """Turn what the library raises into a host's own words."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError
        from urllib3.exceptions import TimeoutError as TransportTimeout

        try:
            yield
        except ApiException as error:
            raise self._said_no(int(error.status or 0), _reason(error), error.headers or {}) from None
        except TransportTimeout:
            reason = f"it did not answer within {self.options.timeouts.request:g} s"
            raise HostUnavailable(self.host, reason) from None
        except HTTPError:
            raise HostUnavailable(self.host, "the connection failed or was cut") from None
        except (ValueError, KeyError, TypeError):
            raise HostUnavailable(self.host, "it answered with something that its API never does") from None

    def _said_no(self, status: int, reason: str, headers: Mapping[str, str]) -> Exception:
        if status == 0 and "SSL" in reason:
            return HostUnavailable(self.host, "its certificate cannot be checked; `ca_file` names who signed it")
        if status == 401:
            return HostMisconfigured(self.host, "it does not take the token; make a new one")
        if status == 403:
            return HostMisconfigured(self.host, f"its service account may not do this: {reason or 'no reason given'}")
        if status == BUSY:
            return _TooBusy(_seconds(headers.get("Retry-After")))
        if status == 0 or status >= 500:
            return HostUnavailable(self.host, f"it cannot answer now (status {status or 'none'})")
        return Refused(status, reason or f"status {status}")

    def _api(self) -> Any:
        with self._lock:  # the library takes two seconds to load, and is loaded once something is asked
            if self._made is None:
                self._made = self._connected()
            return self._made

    def _connected(self) -> Any:
        from kubernetes.client import ApiClient, Configuration, CustomObjectsApi

        options = self.options
        settings = Configuration(host=options.url)
        settings.no_proxy = "*"  # the token goes where the hosts file says, by no proxy's way
        settings.retries = False  # nothing is asked twice without our knowing
        settings.ssl_ca_cert = str(options.ca_file) if options.ca_file is not None else None
        settings.api_key_prefix["authorization"] = "Bearer"

        def refresh(configuration: Any) -> None:
            configuration.api_key["authorization"] = options.read_token(self.host)

        refresh(settings)
        settings.refresh_api_key_hook = refresh
        return CustomObjectsApi(ApiClient(settings))


class _TooBusy(Exception):
    """It said 429, and when to ask again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(seconds)


def _reason(error: Any) -> str:
    """Return the sentence of a refusal, which the API writes into its body."""
    try:
        told = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        told = str(error.reason or "")
    return "".join(each if each.isprintable() else " " for each in told)[:LONGEST_REASON].strip()


def _seconds(told: Any) -> float:
    try:
        return max(0.0, float(told))
    except (TypeError, ValueError):
        return 1.0
