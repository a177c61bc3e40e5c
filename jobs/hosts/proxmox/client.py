"""Speaks to a cluster's API through proxmoxer, and says in a host's words why it could not.

Each call is bounded and made once: what changes something is never repeated here, because it may have been taken.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from jobs.hosts.errors import HostError, HostMisconfigured, HostUnavailable

if TYPE_CHECKING:
    from jobs.hosts.proxmox.options import ProxmoxOptions

# 502 to 504: a proxy before the API. 595 to 599: one node could not ask another.
AWAY = frozenset({502, 503, 504, 595, 596, 597, 598, 599})
LONGEST_REASON = 160
SESSIONS_KEPT = 8

Method = Literal["get", "post", "put", "delete"]


class Refused(HostError):
    """The API said no to one request. Caught in this folder and told in the words of whoever asked."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status} {reason}")

    @property
    def is_gone(self) -> bool:
        """Whether the node knows no such guest: it was moved to another, or destroyed."""
        return "does not exist" in self.reason or "unable to find configuration file" in self.reason

    @property
    def is_locked(self) -> bool:
        """Whether something else works on the guest."""
        return "locked" in self.reason or "can't lock file" in self.reason or "got lock timeout" in self.reason

    @property
    def is_taken(self) -> bool:
        """Whether the number is another guest's."""
        return "already exists" in self.reason


class Client:
    """One cluster's API, for any number of threads."""

    def __init__(self, host: str, options: ProxmoxOptions) -> None:
        self.host = host
        self.options = options
        # a session of `requests` serves one thread at a time; those at rest keep their connections
        self._at_rest: deque[Any] = deque(maxlen=SESSIONS_KEPT)

    def get(self, path: str, **params: Any) -> Any:
        """Read. Raises HostUnavailable, HostMisconfigured, Refused."""
        return self._ask("get", path, params)

    def post(self, path: str, **params: Any) -> Any:
        """Begin something. Raises as `get`; after HostUnavailable it may have been taken all the same."""
        return self._ask("post", path, params)

    def put(self, path: str, **params: Any) -> Any:
        """Change settings. Raises as `post`."""
        return self._ask("put", path, params)

    def delete(self, path: str, **params: Any) -> Any:
        """Begin a removal. Raises as `post`."""
        return self._ask("delete", path, params)

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Read a list. Raises as `get`; HostUnavailable when the answer is no list."""
        answer = self.get(path, **params)
        if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
            raise HostUnavailable(self.host, "it answered with something that is not the list that was asked for")
        return answer

    def fields(self, path: str) -> dict[str, Any]:
        """Read one thing. Raises as `get`; HostUnavailable when the answer is none."""
        answer = self.get(path)
        if not isinstance(answer, dict):
            raise HostUnavailable(self.host, "it answered with something that is not what was asked for")
        return answer

    def task(self, method: Method, path: str, **params: Any) -> str:
        """Begin something and return its task. Raises as `post`; HostUnavailable when the answer names none."""
        answer = self._ask(method, path, params)
        if not isinstance(answer, str) or not answer.startswith("UPID:") or answer.count(":") < 8:
            raise HostUnavailable(self.host, "it answered without a task; it may have been taken all the same")
        return answer

    def _ask(self, method: Method, path: str, params: dict[str, Any]) -> Any:
        import requests
        from proxmoxer.core import ResourceException  # type: ignore[import-untyped]

        session = self._session()
        try:
            answer = getattr(session(path), method)(**params)
        except ResourceException as error:
            raise self._said_no(error.status_code, str(error.content or "")) from None
        except requests.Timeout:
            reason = f"it did not answer within {self.options.timeouts.request:g} s"
            raise HostUnavailable(self.host, reason) from None
        except requests.exceptions.SSLError:
            raise HostUnavailable(
                self.host, "its certificate cannot be checked; `ca_file` names who signed it"
            ) from None
        except requests.RequestException:
            raise HostUnavailable(self.host, "the connection failed or was cut") from None
        except (KeyError, TypeError):  # JSON, and not as the API answers
            raise HostUnavailable(self.host, "it answered with something that its API never does") from None
        finally:
            self._at_rest.append(session)
        if isinstance(answer, dict) and isinstance(answer.get("errors"), bytes):
            raise HostUnavailable(self.host, "it answered with something that is not JSON; does `url` name its API")
        return answer

    def _said_no(self, status: int, reason: str) -> HostError:
        shown = "".join(each if each.isprintable() else " " for each in reason)[:LONGEST_REASON].strip()
        if status == 401:
            return HostMisconfigured(self.host, "it does not take the token; make a new one and name its secret")
        if status == 403:
            return HostMisconfigured(self.host, f"the token may not do this: {shown or 'permission denied'}")
        if status in AWAY:
            return HostUnavailable(self.host, f"one of its nodes cannot be reached (status {status})")
        return Refused(status, shown or f"status {status}")

    def _session(self) -> Any:
        with suppress(IndexError):
            return self._at_rest.pop()
        from proxmoxer import ProxmoxAPI  # type: ignore[import-untyped]

        options = self.options
        made = ProxmoxAPI(
            options.address,
            port=options.port,
            user=options.user,
            token_name=options.token_name,
            token_value=options.secret,
            verify_ssl=options.verify,
            timeout=options.timeouts.request,
        )
        made._store["session"].trust_env = False  # the token goes where the hosts file says, by no proxy's way
        return made
