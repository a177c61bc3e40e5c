"""Records at Cloudflare, through its official library, which is installed apart: `pip install 'forbear[cloudflare]'`.

Cloudflare knows no conditions: the mark of whose records those are is made first and removed last, so that whatever
ends in between is found and finished by the next try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from jobs.edge.base import EdgeMisconfigured, EdgeUnavailable
from jobs.edge.records import Change, Record, Zone

if TYPE_CHECKING:
    from cloudflare import Cloudflare

TIMEOUT_SECONDS: Final = 10.0
RETRIES: Final = 2  # of what the library holds for passing: 429, 5xx, a connection that broke
PAGE: Final = 1000
MOST_RECORDS: Final = 100_000
READ: Final = frozenset({"A", "AAAA", "CNAME", "SRV", "TXT"})


class CloudflareZone:
    """One zone there. Ours may be a part of it: `play.example.net` in `example.net`."""

    name = "cloudflare"

    def __init__(self, zone: Zone, zone_id: str, token: str, base_url: str = "") -> None:
        self.zone = zone
        self.zone_id = zone_id
        self.base_url = base_url
        self._token = token
        self._made: Cloudflare | None = None

    def read(self) -> list[Record]:
        """Return the records of the zone. Pages that do not add up to what the first one says are no answer."""
        return list(self._read())

    def edit(self, decide: Callable[[list[Record]], Change | None]) -> None:
        """Read, decide and change, one record after the other."""
        there = self._read()
        change = decide(list(there))
        if change is None:
            return
        for record in change.add:
            if record == change.marker:
                self._add(record)
        for record in change.remove:
            if record != change.marker:
                self._remove(there[record])
        for record in change.add:
            if record != change.marker:
                self._add(record)
        for record in change.remove:
            if record == change.marker:
                self._remove(there[record])

    def _read(self) -> dict[Record, str]:
        found: dict[Record, str] = {}
        count = 0
        with self._trouble():
            page = self._client.dns.records.list(zone_id=self.zone_id, per_page=PAGE)
            total = getattr(page.result_info, "total_count", None)
            if not isinstance(total, int) or total > MOST_RECORDS:
                raise EdgeUnavailable(
                    self.name, f"it says that it has {total} records; at most {MOST_RECORDS:,} are read"
                )
            for each in page:
                count += 1
                if count > total:
                    break
                if (record := self._record(each.to_dict())) is not None:
                    found[record] = str(each.id)
        if total != count:
            raise EdgeUnavailable(self.name, f"it says that it has {total} records, and showed {count}")
        return found

    def _record(self, seen: dict[str, Any]) -> Record | None:
        name, kind = str(seen["name"]).lower().rstrip("."), seen["type"]
        if kind not in READ or not (name == self.zone.name or name.endswith(f".{self.zone.name}")):
            return None
        if kind == "SRV":
            data = seen["data"]
            numbers = " ".join(str(int(data[part])) for part in ("priority", "weight", "port"))
            value = f"{numbers} {data['target']}".rstrip(".").lower() + "."
        elif kind == "CNAME":
            value = str(seen["content"]).rstrip(".").lower() + "."
        else:
            value = str(seen["content"])
            if kind == "TXT" and value.startswith('"'):
                value = "".join(value[1:-1].split('" "'))
        relative = name.removesuffix(self.zone.name).rstrip(".") or "@"
        return Record(relative, kind, value, int(seen["ttl"]))

    def _add(self, record: Record) -> None:
        given: dict[str, Any] = {"zone_id": self.zone_id, "type": record.type, "ttl": float(record.ttl)}
        given["name"] = f"{record.name}.{self.zone.name}"
        if record.type == "SRV":
            priority, weight, port, target = record.value.split()
            numbers = {"priority": int(priority), "weight": int(weight), "port": int(port)}
            given["data"] = {**numbers, "target": target.rstrip(".")}
        else:
            given["content"] = f'"{record.value}"' if record.type == "TXT" else record.value
        with self._trouble():
            self._client.dns.records.create(**given)

    def _remove(self, record_id: str) -> None:
        from cloudflare import NotFoundError

        with self._trouble():
            try:
                self._client.dns.records.delete(record_id, zone_id=self.zone_id)
            except NotFoundError:
                return  # somebody else was quicker

    @property
    def _client(self) -> Cloudflare:
        if self._made is None:
            try:
                from cloudflare import Cloudflare
            except ImportError:
                missing = "its library; `pip install 'forbear[cloudflare]'`"
                raise EdgeMisconfigured(self.name, missing) from None
            given: dict[str, Any] = {"base_url": self.base_url} if self.base_url else {}
            self._made = Cloudflare(api_token=self._token, timeout=TIMEOUT_SECONDS, max_retries=RETRIES, **given)
        return self._made

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        client = self._client  # says what is missing before anything is caught
        assert client is not None
        from cloudflare import CloudflareError

        try:
            yield
        except CloudflareError as error:
            raise EdgeUnavailable(self.name, str(error)[:200]) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # the library does not check what it is sent
            raise EdgeUnavailable(self.name, "its answer is not what its library expects") from error
