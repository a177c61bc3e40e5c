"""How a double of Proxmox VE's API is reached: with a token of its own form, and with refusals in the status line."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.doubles.cluster import Handler, No

TOKEN, SECRET = "forbear@pve!tests", "5ecre7-of-the-tests"


class ProxmoxHandler(Handler):
    """One connection."""

    odd = b'{"data": {"what": [1, null]}}'

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/api2/json/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        params = dict(parse_qsl(parts.query) + parse_qsl(body))
        self.cluster.calls.append((self.command, path, dict(params)))
        fault = self.cluster.fault_of(f"{self.command} {path}")
        try:
            if self.headers.get("Authorization") != f"PVEAPIToken={TOKEN}={SECRET}":
                raise No(401, "permission denied - invalid PVE ticket")
            if fault is not None and fault.kind.isdigit():
                raise No(int(fault.kind), fault.reason or "Internal Server Error")
            data = self.cluster.answer(self.command, path, params)
        except No as error:
            self.send(error.status, b'{"data":null}', error.reason)
        else:
            self.tell(json.dumps({"data": data}).encode(), fault)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the library's names
