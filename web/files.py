"""A server's own files: list, read, download, write, delete, revert. The host decides what a path names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from litestar import Response, Router, delete, get, post, put
from litestar.params import RawBody
from litestar.response import Stream

from jobs.hosts.base import Download
from web.auth import signed_in
from web.gates import StillPermitted, permitted
from web.inputs import Input, decode, file_path, new_file_path, query
from web.problems import Problem
from web.services import HttpRequest, PathId, Services, TheServices
from web.uploads import upload_file
from web.wire import attachment, file_entry, instant

CHUNK_BYTES = 256 * 1024
CONTENT_CHARACTERS = 10_000_000


class Written(Input):
    """A text to be put into a file."""

    path: str
    content: str


class Earlier(Input):
    """A file, and the number of the version that is wanted; without one, the newest."""

    path: str
    version: int | None = None


def _path(request: HttpRequest, default: str | None = None) -> str:
    return file_path(query(request, "path", default))


@get("/list", opt={"gate": "files.list"}, sync_to_thread=True)
def list_files(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[list[dict[str, Any]]]:
    """List a directory; `/` is the server's own root. A header says when it holds more than is shown."""
    allowed = permitted(request, server_id)
    listing = services.host(allowed.host).list_files(allowed.spec, _path(request, "/"))
    headers = {"X-Forbear-Truncated": "true"} if listing.truncated else {}
    return Response([file_entry(entry) for entry in listing.entries], headers=headers)


@get("/versions", opt={"gate": "files.list"}, sync_to_thread=True)
def list_versions(request: HttpRequest, services: TheServices, server_id: PathId) -> list[dict[str, Any]]:
    """List what a path held earlier, newest first: what `revert` goes back to."""
    allowed = permitted(request, server_id)
    found = services.host(allowed.host).file_versions(allowed.spec, _path(request))
    return [
        {"version": each.version, "kind": each.kind, "sizeBytes": each.size_bytes, "savedAt": instant(each.saved_at)}
        for each in found
    ]


@get("/read", opt={"gate": "files.read"}, sync_to_thread=True)
def read_file(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, str]:
    """Read a small text file."""
    allowed = permitted(request, server_id)
    path = _path(request)
    return {"path": path, "content": services.host(allowed.host).read_file(allowed.spec, path)}


@get("/download", opt={"gate": "files.download"}, sync_to_thread=True)
def download_file(request: HttpRequest, services: TheServices, server_id: PathId) -> Stream:
    """Download a file of any size, as it was when the download began."""
    return sent(request, services, server_id)


def sent(request: HttpRequest, services: Services, server_id: str) -> Stream:
    """Send the file that the address names."""
    allowed = permitted(request, server_id)
    download = services.host(allowed.host).open_download(allowed.spec, _path(request))
    return streamed(download, StillPermitted(request, server_id))


@put("/", opt={"gate": "files.write", "takes": Written}, status_code=200, sync_to_thread=True)
def write_file(request: HttpRequest, services: TheServices, server_id: PathId, body: RawBody) -> dict[str, Any]:
    """Replace or make a text file at once; what it replaces is kept as a version."""
    allowed = permitted(request, server_id)
    wish = decode(Written, body)
    entry = services.host(allowed.host).write_file(allowed.spec, new_file_path(wish.path), wish.content)
    return {"path": wish.path, **file_entry(entry)}


@delete("/", opt={"gate": "files.delete"}, status_code=204, sync_to_thread=True)
def delete_file(request: HttpRequest, services: TheServices, server_id: PathId) -> None:
    """Take a file or directory away; it is kept as a version, so `revert` brings it back."""
    allowed = permitted(request, server_id)
    services.host(allowed.host).delete_file(allowed.spec, _path(request))


@post("/revert", opt={"gate": "files.revert", "takes": Earlier}, status_code=200, sync_to_thread=True)
def revert_file(request: HttpRequest, services: TheServices, server_id: PathId, body: RawBody) -> dict[str, Any]:
    """Bring an earlier version back, the newest or a numbered one; what stood there becomes the newest version."""
    allowed = permitted(request, server_id)
    wish = decode(Earlier, body) if body.strip() else Earlier(path=query(request, "path"))
    path = file_path(wish.path)
    entry = services.host(allowed.host).revert_file(allowed.spec, path, wish.version)
    return {"path": path, **file_entry(entry)}


def streamed(download: Download, still: StillPermitted) -> Stream:
    """Send a file without holding it in memory. It is cut when the gate closes on the way, or the file shrinks."""

    def chunks() -> Iterator[bytes]:
        left = download.size_bytes
        with download:
            while left:
                still.check()
                chunk = download.stream.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise Problem(409, "FILE_CHANGED", "The file became shorter while it was sent.")
                left -= len(chunk)
                yield chunk

    return Stream(
        chunks(),
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(download.size_bytes),
            "Content-Disposition": attachment(download.name),
        },
    )


router = Router(
    "/api/servers/{server_id:str}/files",
    route_handlers=[
        list_files,
        list_versions,
        read_file,
        download_file,
        write_file,
        delete_file,
        revert_file,
        upload_file,
    ],
    guards=[signed_in],
    tags=["files"],
)
