"""What a host says that reaches servers' power but not what is in them: no files and no consoles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from jobs.hosts.base import NotOffered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.hosts.base import Download, FileEntry, FileVersion, Listing, ServerSpec, Upload


class NoFilesNorConsoles:
    """The part of the contract that such hosts refuse, each method with NotOffered."""

    _name: str

    def list_files(self, spec: ServerSpec, path: str) -> Listing:
        self._refuse("files")

    def read_file(self, spec: ServerSpec, path: str) -> str:
        self._refuse("files")

    def open_download(self, spec: ServerSpec, path: str) -> Download:
        self._refuse("files")

    def write_file(self, spec: ServerSpec, path: str, content: str | bytes) -> FileEntry:
        self._refuse("files")

    def open_upload(self, spec: ServerSpec, path: str) -> Upload:
        self._refuse("files")

    def delete_file(self, spec: ServerSpec, path: str) -> None:
        self._refuse("files")

    def revert_file(self, spec: ServerSpec, path: str, version: int | None = None) -> FileEntry:
        self._refuse("files")

    def file_versions(self, spec: ServerSpec, path: str) -> Sequence[FileVersion]:
        self._refuse("files")

    def send(self, spec: ServerSpec, line: str) -> None:
        self._refuse("consoles")

    def read_console(self, spec: ServerSpec, after_offset: int | None) -> tuple[int, list[str]]:
        self._refuse("consoles")

    def _refuse(self, what: str) -> NoReturn:
        raise NotOffered(self._name, what)
