"""Speaks to one Docker Engine: connects when first asked, bounds every wait, and tells failures in a host's words."""

from __future__ import annotations

import base64
import json
import socket
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.tls import TLSConfig
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import TimeoutError as TransportTimeout

from jobs.hosts.errors import HostBusy, HostError, HostFull, HostMisconfigured, HostUnavailable, ServerMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobs.hosts.docker.options import DockerOptions

__all__ = ["CONFLICT", "APIError", "Client", "Engine", "ImageNotFound", "NotFound", "PathStat", "engine_trouble_of"]

_REASON_CHARACTERS = 200
CONFLICT = 409
_ANY_VERSION = "1.24"  # until the Engine has told its own

# os.FileMode of Go, in which the Engine tells what stands at a path
_GO_DIRECTORY, _GO_LINK, _GO_SPECIAL = 1 << 31, 1 << 27, (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19)


@dataclass(frozen=True, slots=True)
class PathStat:
    """What stands at a path of a container."""

    name: str
    size_bytes: int
    mode: int

    @property
    def is_directory(self) -> bool:
        return bool(self.mode & _GO_DIRECTORY)

    @property
    def is_link(self) -> bool:
        return bool(self.mode & _GO_LINK)

    @property
    def is_special(self) -> bool:
        return bool(self.mode & _GO_SPECIAL)


class Client(docker.APIClient):
    """The SDK's client, with the calls that it lacks or makes without a bound on waiting."""

    if TYPE_CHECKING:  # parts of the SDK that its types do not tell
        _version: str

        def _url(self, path: str, *parts: str) -> str: ...

        def _raise_for_status(self, answer: requests.Response) -> None: ...

        def _get_raw_response_socket(self, answer: requests.Response) -> Any: ...

    def make(self, name: str, config: Mapping[str, Any]) -> str:
        """Make a container and return its id."""
        url = self._url("/containers/create")
        answer = self.post(url, json=config, params={"name": name}, timeout=self.timeout)
        self._raise_for_status(answer)
        return str(answer.json()["Id"])

    def stat_path(self, container: str, path: str) -> PathStat | None:
        """Look at a path of a container without following a last link; `None` when nothing stands there."""
        url = self._url("/containers/{0}/archive", container)
        answer = self.head(url, params={"path": path}, timeout=self.timeout)
        if answer.status_code == requests.codes.not_found:
            self.inspect_container(container)  # it is the path that is missing, unless this says otherwise
            return None
        self._raise_for_status(answer)
        told = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        return PathStat(str(told["name"]), int(told["size"]), int(told["mode"]))

    @contextmanager
    def archive(self, container: str, path: str) -> Iterator[Any]:
        """Read a path of a container as a tar stream. The SDK's own call waits without a bound for the next byte."""
        url = self._url("/containers/{0}/archive", container)
        headers = {"Accept-Encoding": "identity"}
        answer = self.get(url, params={"path": path}, stream=True, headers=headers, timeout=self.timeout)
        try:
            self._raise_for_status(answer)
            yield answer.raw
        finally:
            answer.close()

    def unpack(self, container: str, path: str, content: Iterable[bytes]) -> None:
        """Unpack a tar stream into an existing directory of a container."""
        url = self._url("/containers/{0}/archive", container)
        # a directory is never put in place of a file, nor the reverse
        params = {"path": path, "noOverwriteDirNonDir": "1"}
        self._raise_for_status(self.put(url, params=params, data=content, timeout=self.timeout))

    @contextmanager
    def printed(self, container: str, **which: str) -> Iterator[Any]:
        """Read what a container printed, as the Engine's frames. which: `since` an instant, or the `tail`."""
        url = self._url("/containers/{0}/logs", container)
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", **which}
        answer = self.get(url, params=params, stream=True, timeout=self.timeout)
        try:
            self._raise_for_status(answer)
            yield answer.raw
        finally:
            answer.close()

    def type_on(self, container: str, data: bytes) -> None:
        """Write to the standard input of a container. The SDK's own call waits without a bound for the answer."""
        url = self._url("/containers/{0}/attach", container)
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        params = {"stdin": 1, "stream": 1}
        answer = self.post(url, params=params, stream=True, headers=headers, timeout=self.timeout)
        wire = self._get_raw_response_socket(answer)
        connection = getattr(wire, "_sock", wire)
        try:
            connection.settimeout(self.timeout)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except AttributeError as error:  # what the SDK gives for ssh is no socket
            raise DockerException("nothing can be typed over this kind of connection") from error
        finally:
            connection.close()
            answer.close()

    def fetch_image(self, image: str, seconds: float) -> None:
        """Let the Engine fetch an image; no part of it may take longer than `seconds`."""
        name, _, tag = image.rpartition(":")
        if not name or "/" in tag or "@" in image:
            name, tag = image, "latest"
        params = {"fromImage": name} if "@" in image else {"fromImage": name, "tag": tag}
        url = self._url("/images/create")
        answer = self.post(url, params=params, stream=True, timeout=seconds)
        try:
            self._raise_for_status(answer)
            for line in answer.iter_lines():
                if line and "error" in (told := json.loads(line)):
                    raise DockerException(str(told["error"]))
        finally:
            answer.close()


class Engine:
    """One Engine. The client is made when it is first needed, and by whoever first gets through."""

    def __init__(self, host: str, options: DockerOptions) -> None:
        self.host = host
        self.options = options
        self._client: Client | None = None
        self._lock = threading.Lock()

    @property
    def client(self) -> Client:
        """The client, connected. Raises what the SDK raises."""
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            return self._client

    def _connected(self) -> Client:
        options = self.options
        tls: TLSConfig | bool = False
        if options.cert_file is not None:
            pair = (str(options.cert_file), str(options.key_file))
            tls = TLSConfig(client_cert=pair, ca_cert=str(options.ca_file), verify=True)
        seconds = cast("int", options.timeout_seconds)  # the stubs know no fractions
        client = Client(options.url, version=_ANY_VERSION, timeout=seconds, tls=tls, use_ssh_client=True)
        client.trust_env = False  # no proxy or password of the surroundings comes between us and the Engine
        client._version = str(client.version(api_version=False)["ApiVersion"])
        return client


@contextmanager
def engine_trouble_of(host: str, server_id: str | None = None) -> Iterator[None]:
    """Turn what an Engine, or the way to it, refuses into a host's own words.

    Raises ServerMissing and HostBusy when a server is concerned, HostFull, HostUnavailable.
    """
    try:
        yield
    except HostError:
        raise
    except ImageNotFound as error:
        raise HostMisconfigured(host, f"an image is not there: {_short(str(error.explanation))}") from error
    except NotFound as error:
        if server_id is None:
            raise HostUnavailable(host, _told(error)) from error
        raise ServerMissing(server_id) from error
    except APIError as error:
        if error.status_code == CONFLICT and server_id is not None:
            raise HostBusy(server_id, "operation of the Engine") from error
        if "no space left on device" in str(error.explanation):
            raise HostFull(host) from error
        raise HostUnavailable(host, _told(error)) from error
    except (requests.Timeout, TransportTimeout) as error:
        raise HostUnavailable(host, "the Engine did not answer in time") from error
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, TransportError) as error:
        raise HostUnavailable(host, "there is no connection to the Engine, or it broke off") from error
    except (DockerException, requests.RequestException) as error:
        raise HostUnavailable(host, _short(str(error))) from error
    except (ValueError, KeyError, TypeError, tarfile.TarError) as error:
        raise HostUnavailable(host, "the Engine's answer is not whole") from error


def _told(error: APIError) -> str:
    return _short(f"the Engine answered {error.status_code}: {error.explanation or 'no reason given'}")


def _short(text: str) -> str:
    safe = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return safe[:_REASON_CHARACTERS]
