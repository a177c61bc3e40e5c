"""Files on their way in, of any size and never held in memory: as a raw body, or as a form with a file in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import multipart  # type: ignore[import-untyped]
from litestar import post

from jobs.hosts.base import FileEntry, Upload
from web.gates import Permitted, StillPermitted, permitted
from web.inputs import PATH_CHARACTERS, new_file_path
from web.problems import Problem, bad_input
from web.services import HttpRequest, PathId, Services, TheServices
from web.wire import file_entry

GATHER_BYTES = 256 * 1024  # a thread is woken for so much at once, not for each network packet
FIELD_BYTES = 4 * PATH_CHARACTERS
PARTS = 16


@post("/upload", opt={"gate": "files.upload", "streams": True}, request_max_body_size=None, status_code=201)
async def upload_file(request: HttpRequest, services: TheServices, server_id: PathId) -> dict[str, Any]:
    """Put one file into place once all of it has arrived.

    Either the body is the file and `?path=` names it, or the body is `multipart/form-data` with a file, whose place is
    `?path=`, else a field `path` before the file, else the file's own name.
    """
    allowed = await services.in_thread(permitted, request, server_id)
    incoming = Incoming(request, services, allowed, StillPermitted(request, server_id))
    try:
        kind, options = multipart.parse_options_header(request.headers.get("content-type", ""))
        if kind == "multipart/form-data":
            await incoming.take_form(options.get("boundary", ""))
        else:
            await incoming.take_body()
        entry = await incoming.commit()
    finally:
        await incoming.close()
    return {"path": incoming.path, **file_entry(entry)}


class Incoming:
    """One upload from its first byte to its place."""

    def __init__(self, request: HttpRequest, services: Services, allowed: Permitted, still: StillPermitted) -> None:
        self.request = request
        self.services = services
        self.allowed = allowed
        self.still = still
        paths = request.query_params.getall("path", [])
        if len(paths) > 1:
            raise bad_input("`path` is given more than once.", field="path")
        self.path = new_file_path(paths[0]) if paths else ""
        self._upload: Upload | None = None
        self._gathered = bytearray()

    async def take_body(self) -> None:
        """Take the whole body as the file."""
        if not self.path:
            raise bad_input("The address needs `?path=`, the file's place.", field="path")
        await self._open()
        async for chunk in self._chunks():
            await self._take(chunk)

    async def take_form(self, boundary: str) -> None:
        """Take the file out of a form."""
        if not boundary:
            raise bad_input("The form has no boundary.")
        part: multipart.MultipartSegment | None = None
        field = bytearray()
        try:
            with multipart.PushMultipartParser(boundary, max_segment_count=PARTS) as parser:
                async for chunk in self._chunks():
                    for event in parser.parse(chunk):
                        if isinstance(event, multipart.MultipartSegment):
                            part, field = event, bytearray()
                            if part.filename is not None:
                                await self._begin(part.filename)
                        elif event is None:
                            self._end_field(part, field)
                        elif part is not None and part.filename is not None:
                            await self._take(bytes(event))
                        elif len(field) + len(event) > FIELD_BYTES:
                            raise bad_input("A field of the form is too long.")
                        else:
                            field += event
        except multipart.MultipartError:
            raise bad_input("The form is not valid `multipart/form-data`.") from None
        if self._upload is None:
            raise bad_input("The form holds no file.")

    def _end_field(self, part: multipart.MultipartSegment | None, field: bytearray) -> None:
        if part is None or part.filename is not None or part.name != "path":
            return
        try:
            named = new_file_path(field.decode())
        except UnicodeDecodeError:
            raise bad_input("`path` is not text.", field="path") from None
        if self._upload is not None and named != self.path:
            raise bad_input("The field `path` must stand before the file.", field="path")
        self.path = self.path or named

    async def _begin(self, filename: str) -> None:
        if self._upload is not None:
            raise bad_input("The form holds more than one file; send one at a time.")
        self.path = self.path or new_file_path(filename)
        await self._open()

    async def _open(self) -> None:
        host = self.services.host(self.allowed.host)
        self._upload = await self.services.in_thread(host.open_upload, self.allowed.spec, self.path)

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.request.stream():
            if chunk:
                yield chunk

    async def _take(self, chunk: bytes) -> None:
        self._gathered += chunk
        if len(self._gathered) >= GATHER_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        upload, gathered = self._upload, bytes(self._gathered)
        self._gathered.clear()

        def write() -> None:
            self.still.check()
            if upload is not None and gathered:
                upload.write(gathered)

        await self.services.in_thread(write)

    async def commit(self) -> FileEntry:
        """Put the file into place, if that is still allowed."""
        await self._flush()
        upload = self._upload
        if upload is None:
            raise bad_input("No file was sent.")

        def finish() -> FileEntry:
            self.still.now()
            return upload.commit()

        return await self.services.in_thread(finish)

    async def close(self) -> None:
        """Forget what was not committed."""
        if self._upload is not None:
            with suppress(Problem):
                await self.services.in_thread(self._upload.abandon)
