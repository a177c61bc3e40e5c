"""A server's files in the browser: looked through, read, written, uploaded, taken away and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import multipart  # type: ignore[import-untyped]
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from jobs.hosts.base import FileMissing, FileVersion
from web.files import sent
from web.gates import Permitted, StillPermitted, permitted
from web.inputs import file_path, new_file_path, query
from web.pages.forms import MOST_BYTES, form_of
from web.pages.render import go_to, page
from web.pages.server import shell, theirs, why_not
from web.pages.visitor import people_only, prove
from web.problems import Problem, bad_input
from web.services import HttpRequest, PathId, Services, TheServices
from web.sessions import PROOF_FIELD
from web.uploads import Incoming

MOST_WRITTEN_BYTES = 4_000_000  # a text of 1 MiB as forms write it
BLOCKED = ("files.write", "files.upload", "files.delete", "files.revert")


def joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder; hosts take paths below the root, without a slash before them."""
    return f"{folder.strip('/')}/{name.strip('/')}".strip("/")


def folder_of(path: str) -> str:
    """Return the folder that a path is in."""
    return path.rstrip("/").rpartition("/")[0] or "/"


def trail_of(folder: str) -> list[tuple[str, str]]:
    """Return each folder on the way from the root, with its name."""
    names = [name for name in folder.split("/") if name]
    return [("/".join(names[: place + 1]), name) for place, name in enumerate(names)]


def _frame(request: HttpRequest, services: Services, server_id: str) -> dict[str, Any]:
    with services.database.begin() as conn:
        there = theirs(conn, request, server_id)
        shown = shell(conn, request, there)
        shown["why"] = next((why for action in BLOCKED if (why := why_not(conn, request, there, action))), "")
    return shown


@get("/servers/{server_id:str}/files", opt={"gate": "files.list"}, guards=[people_only], sync_to_thread=True)
def show_files(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """List a folder."""
    allowed = permitted(request, server_id)
    folder = file_path(query(request, "path", "/"))
    listing = services.host(allowed.host).list_files(allowed.spec, folder)
    entries = sorted(listing.entries, key=lambda entry: (entry.kind != "directory", entry.name.lower()))
    shown = _frame(request, services, server_id)
    return page(
        request,
        "files.html",
        **shown,
        folder=folder,
        trail=trail_of(folder),
        entries=[(entry, quote(joined(folder, entry.name), safe="")) for entry in entries],
        joined=joined,
        is_cut=listing.truncated,
    )


@get("/servers/{server_id:str}/files/edit", opt={"gate": "files.read"}, guards=[people_only], sync_to_thread=True)
def show_file_text(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Show a text, to be read and changed; with a folder and a name, also one that is not there yet."""
    allowed = permitted(request, server_id)
    name = query(request, "name", "")
    path = new_file_path(joined(query(request, "path"), name)) if name else file_path(query(request, "path"))
    content, is_new = "", False
    try:
        content = services.host(allowed.host).read_file(allowed.spec, path)
    except FileMissing:
        is_new = True
    return page(
        request,
        "file.html",
        **_frame(request, services, server_id),
        file_path=path,
        folder=folder_of(path),
        content=content,
        ends="crlf" if "\r\n" in content else "lf",
        is_new=is_new,
        versions=_versions(services, allowed, path),
    )


def _versions(services: Services, allowed: Permitted, path: str) -> list[FileVersion]:
    try:
        return list(services.host(allowed.host).file_versions(allowed.spec, path))
    except FileMissing:
        return []


@get(
    "/servers/{server_id:str}/files/download", opt={"gate": "files.download"}, guards=[people_only], sync_to_thread=True
)
def download_file(request: HttpRequest, services: TheServices, server_id: PathId) -> Stream:
    """Download a file."""
    return sent(request, services, server_id)


@post("/servers/{server_id:str}/files/write", opt={"gate": "files.write"}, guards=[people_only])
async def write_file(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Keep a text; what it replaces stays as a version."""
    form = await form_of(request, most_bytes=MOST_WRITTEN_BYTES)

    def write() -> str:
        allowed = permitted(request, server_id)
        path = new_file_path(form.get("path", ""))
        services.host(allowed.host).write_file(allowed.spec, path, as_it_was(form))
        return path

    return _back_to(server_id, folder_of(await services.in_thread(write)))


def as_it_was(form: Mapping[str, str]) -> str:
    """Return the text with the line ends that the file had: browsers send their own."""
    plain = form.get("content", "").replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if form.get("ends") == "crlf" else plain


def _changes(verb: str, gate: str, method: str) -> HTTPRouteHandler:
    """Make a route that does one thing with one path."""

    @post(
        f"/servers/{{server_id:str}}/files/{verb}", name=f"page_files_{verb}", opt={"gate": gate}, guards=[people_only]
    )
    async def change(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
        form = await form_of(request)

        def work() -> str:
            allowed = permitted(request, server_id)
            path = joined(form["folder"], form.get("name", "")) if "folder" in form else form.get("path", "")
            getattr(services.host(allowed.host), method)(allowed.spec, file_path(path))
            return path

        return _back_to(server_id, folder_of(await services.in_thread(work)))

    return change


@post(
    "/servers/{server_id:str}/files/upload",
    opt={"gate": "files.upload", "streams": True},
    guards=[people_only],
    request_max_body_size=None,
)
async def upload_file(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Put a file from the browser into a folder, never holding it in memory."""
    kind, options = multipart.parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data":
        if int(request.headers.get("content-length", MOST_BYTES + 1)) > MOST_BYTES:
            raise Problem(413, "TOO_LARGE", "This is more than the form takes.")
        await form_of(request)
        await services.in_thread(permitted, request, server_id)
        raise bad_input("Choose a file first.")
    allowed = await services.in_thread(permitted, request, server_id)
    incoming = FromForm(request, services, allowed, StillPermitted(request, server_id))
    try:
        await incoming.take_form(options.get("boundary", ""))
        await incoming.commit()
    finally:
        await incoming.close()
    return _back_to(server_id, incoming.folder)


class FromForm(Incoming):
    """An upload by a form of ours: the proof and the folder stand before the file."""

    is_ours = False
    folder = "/"

    def _end_field(self, part: multipart.MultipartSegment | None, field: bytearray) -> None:
        if part is None or part.filename is not None:
            return
        words = field.decode(errors="replace")
        if part.name == PROOF_FIELD:
            prove(self.request, words)
            self.is_ours = True
        elif part.name == "folder":
            self.folder = file_path(words)

    async def _begin(self, filename: str) -> None:
        if not self.is_ours:
            prove(self.request, "")
        if not filename:
            raise bad_input("Choose a file first.")
        self.path = new_file_path(joined(self.folder, filename.replace("\\", "/").rpartition("/")[2]))
        await super()._begin(filename)


def _back_to(server_id: str, folder: str) -> Response[None]:
    return go_to(f"/servers/{server_id}/files?path={quote(folder, safe='')}")


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    show_files,
    show_file_text,
    download_file,
    write_file,
    upload_file,
    _changes("delete", "files.delete", "delete_file"),
    _changes("revert", "files.revert", "revert_file"),
)
