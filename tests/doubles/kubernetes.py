"""A cluster of Kubernetes as its API shows one kind of custom resource, with an operator that does what they ask for.

Written from the API's reference, with nothing of Forbear in it: versions grow with every write, a write that names an
old version conflicts, lists come in pages, watches begin at a version that may be too old, and what a schema does not
know is left out without a word.
"""

from __future__ import annotations

import copy
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.doubles.cluster import Cluster, No
from tests.doubles.kubernetes_http import KubernetesHandler

GROUP, VERSION, KIND, PLURAL, NAMESPACE = "hosting.example.com", "v1alpha1", "Tenant", "tenants", "customers"
COLLECTION = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
Found = dict[str, Any]


@dataclass
class KubernetesDouble(Cluster):
    """A cluster whose operator answers at once unless it is told otherwise."""

    handler = KubernetesHandler

    resources: dict[str, Found] = field(default_factory=dict)
    runs: dict[str, bool] = field(default_factory=dict)
    """What is so in truth, by the name of the resource."""
    pruned: set[str] = field(default_factory=set)
    """What the schema does not know under `spec`."""
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens just before a request of this verb takes effect."""
    deaf: bool = False
    """The operator does nothing."""
    speechless: bool = False
    """The operator does as it is asked and says nothing of it."""
    terse: bool = False
    """The operator does not say of which generation it speaks."""
    lag_seconds: float = 0.0
    """How long the operator takes."""
    page: int = 100
    hidden: set[str] = field(default_factory=set)
    """Names that lists leave out."""
    lock: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))
    version: int = 1_000
    oldest: int = 0
    """Watches from before this version are refused."""
    expired_pages: int = 0
    """How many further pages are refused because their list is too old."""
    _events: list[tuple[int, str, Found]] = field(default_factory=list)

    # ---- for tests ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Let everything go well again, and the operator make up for what it has left undone."""
        with self.lock:
            self.faults.clear()
            self.pruned.clear()
            self.before.clear()
            self.hidden.clear()
            self.deaf = self.speechless = False
            self.lag_seconds, self.oldest, self.expired_pages = 0.0, 0, 0
            for name in list(self.resources):
                self.reconcile(name)

    def add(self, name: str, labels: dict[str, str], *, suspend: bool = False, **more: Any) -> Found:
        """Put a resource there that somebody else has made."""
        with self.lock:
            metadata = {"name": name, "labels": labels, **more}
            self._put({"metadata": metadata, "spec": {"suspend": suspend, "packages": []}}, "ADDED")
            self.reconcile(name)
            return self.resources[name]

    def edit(self, name: str, spec: Found) -> None:
        """Change a resource by somebody else's hand."""
        with self.lock:
            self.answer("PATCH", f"{COLLECTION}/{name}", {}, {"spec": spec})

    def made(self, verb: str) -> list[str]:
        """Return the paths that were asked for with this method."""
        return [path for method, path, _ in self.calls if method == verb]

    def reconcile(self, name: str) -> None:
        """Let the operator look at a resource."""
        with self.lock:
            found = self.resources.get(name)
            if found is None or self.deaf:
                return
            if found["metadata"].get("deletionTimestamp"):
                self._let_go(name, found)
                return
            suspend = found["spec"].get("suspend") is True
            self.runs[name] = not suspend
            if self.speechless:
                return
            status = dict(found.get("status") or {})
            status["observedGeneration"] = found["metadata"]["generation"]
            if self.terse:
                del status["observedGeneration"]
            if not suspend:
                status.pop("suspendedAt", None)
            elif "suspendedAt" not in status:
                status["suspendedAt"] = now()
            status["phase"] = "Suspended" if suspend else "Ready"
            if status != found.get("status"):
                self._put({**found, "status": status}, "MODIFIED")

    # ---- the API -----------------------------------------------------------------------------------------------------

    def answer(self, verb: str, path: str, params: dict[str, str], body: Any) -> Any:
        """Return an answer. Raises No."""
        if verb in self.before:
            self.before.pop(verb)()
        if path != COLLECTION and not path.startswith(f"{COLLECTION}/"):
            raise No(404, "NotFound", "the server could not find the requested resource")
        name = path.removeprefix(COLLECTION).strip("/")
        with self.lock:
            match verb, bool(name):
                case "GET", False:
                    return self._list(params)
                case "WATCH", False:
                    return self._watch(params)
                case "POST", False:
                    return self._create(body)
                case "GET", True:
                    return copy.deepcopy(self._there(name))
                case "PATCH", True:
                    return self._patch(name, body)
                case "DELETE", True:
                    return self._delete(name, body or {})
        raise No(405, "MethodNotAllowed")

    def _list(self, params: dict[str, str]) -> Any:
        start = int(params.get("continue") or 0)
        if start and self.expired_pages:
            self.expired_pages -= 1
            raise No(410, "Expired", "The provided continue parameter is too old")
        matching = sorted(name for name, each in self.resources.items() if self._matches(each, params))
        end = start + min(int(params.get("limit") or self.page), self.page)
        told = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(matching) else {})
        items = [copy.deepcopy(self.resources[name]) for name in matching[start:end]]
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": f"{KIND}List", "metadata": told, "items": items}

    def _matches(self, found: Found, params: dict[str, str]) -> bool:
        metadata = found["metadata"]
        label, _, value = params.get("labelSelector", "").partition("=")
        labels = metadata.get("labels") or {}
        if label and (label not in labels or (value and labels[label] != value)):
            return False
        return metadata["name"] not in self.hidden

    def _watch(self, params: dict[str, str]) -> Iterator[Any]:
        since = int(params["resourceVersion"])
        name = params["fieldSelector"].removeprefix("metadata.name=")
        ends_at = time.monotonic() + float(params["timeoutSeconds"])
        if since < self.oldest:
            told = {"kind": "Status", "code": 410, "reason": "Expired", "message": f"too old resource version: {since}"}
            return iter([{"type": "ERROR", "object": told}])
        return self._events_of(name, since, ends_at)

    def _events_of(self, name: str, since: int, ends_at: float) -> Iterator[Any]:
        while True:
            with self.lock:
                new = [each for each in self._events if each[0] > since and each[2]["metadata"]["name"] == name]
                if not new:
                    left = ends_at - time.monotonic()
                    if left <= 0:
                        return
                    self.lock.wait(left)
                    continue
            for version, kind, found in new:
                since = version
                yield {"type": kind, "object": found}

    def _create(self, body: Found) -> Found:
        metadata = dict(body["metadata"])
        if body.get("apiVersion") != f"{GROUP}/{VERSION}" or body.get("kind") != KIND:
            raise No(400, "BadRequest", "the object provided is unrecognized")
        if len(metadata["name"]) > 253 or NAME.fullmatch(metadata["name"]) is None:
            raise No(422, "Invalid", f"metadata.name: Invalid value: {metadata['name']!r}")
        if metadata["name"] in self.resources:
            raise No(409, "AlreadyExists", f"{PLURAL}.{GROUP} {metadata['name']!r} already exists")
        spec = {key: value for key, value in body["spec"].items() if key not in self.pruned}
        made = self._put({"metadata": metadata, "spec": spec}, "ADDED")
        self._operate(metadata["name"])
        return made

    def _patch(self, name: str, body: Found) -> Found:
        found = self._there(name)
        if body.get("metadata", {}).get("resourceVersion", found["metadata"]["resourceVersion"]) != str(
            found["metadata"]["resourceVersion"]
        ):
            raise No(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
        spec = {key: value for key, value in body.get("spec", {}).items() if key not in self.pruned}
        patched = self._put({**found, "spec": {**found["spec"], **spec}}, "MODIFIED")
        self._operate(name)
        return patched

    def _delete(self, name: str, body: Found) -> Found:
        found = self._there(name)
        if body.get("preconditions", {}).get("uid", found["metadata"]["uid"]) != found["metadata"]["uid"]:
            raise No(409, "Conflict", "Precondition failed: UID in precondition does not match")
        metadata = {**found["metadata"], "deletionTimestamp": found["metadata"].get("deletionTimestamp") or now()}
        gone = self._put({**found, "metadata": metadata}, "MODIFIED")
        self._operate(name)
        return gone

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _there(self, name: str) -> Found:
        if name not in self.resources:
            raise No(404, "NotFound", f"{PLURAL}.{GROUP} {name!r} not found")
        return self.resources[name]

    def _put(self, found: Found, kind: str) -> Found:
        """Write a resource, and return it as it then is."""
        name = found["metadata"]["name"]
        was = self.resources.get(name)
        self.version += 1
        metadata = {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
            "namespace": NAMESPACE,
            **found["metadata"],
            "resourceVersion": str(self.version),
        }
        is_same = was is not None and was["spec"] == found["spec"]
        metadata["generation"] = metadata.get("generation", 0) + (not is_same)
        made = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, **copy.deepcopy(found), "metadata": metadata}
        self.resources[name] = made
        self._tell(kind, made)
        return copy.deepcopy(made)

    def _tell(self, kind: str, found: Found) -> None:
        self._events.append((self.version, kind, copy.deepcopy(found)))
        self.lock.notify_all()

    def _operate(self, name: str) -> None:
        """Let the operator hear of a change."""
        if self.lag_seconds:
            timer = threading.Timer(self.lag_seconds, self.reconcile, [name])
            timer.daemon = True
            timer.start()
        else:
            self.reconcile(name)

    def _let_go(self, name: str, found: Found) -> None:
        if not found["metadata"].get("finalizers"):
            del self.resources[name]
            self.runs.pop(name, None)
            self.version += 1
            self._tell("DELETED", found)


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
