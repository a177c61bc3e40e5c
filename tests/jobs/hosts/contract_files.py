"""What hosts with files must do with them, and with backups of them: further parts of the contract."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import (
    BackupMissing,
    FileMissing,
    Host,
    NothingToRevert,
    NotText,
    PathRefused,
    ServerMissing,
    TooLarge,
    WrongFileKind,
)
from tests.jobs.hosts.contract_floor import ContractFloor

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024


class FilesContract(ContractFloor):
    """Files, on hosts that offer them."""

    def put(self, host: Host, text: str) -> None:
        host.write_file(self.SPEC, "world", text)

    def held(self, host: Host) -> str:
        return host.read_file(self.SPEC, "world")

    @pytest.mark.parametrize("path", ["notes.txt", "/notes.txt", "./notes.txt", "a/b/c/notes.txt", "Grüße 世界 .txt"])
    def test_what_was_written_is_read_listed_and_downloaded(self, created: Host, path: str) -> None:
        entry = created.write_file(self.SPEC, path, "first\n")
        folder, _, name = path.rpartition("/")
        assert (entry.name, entry.kind, entry.size_bytes) == (name, "file", 6)
        assert created.read_file(self.SPEC, path) == "first\n"
        assert entry in created.list_files(self.SPEC, folder).entries
        with created.open_download(self.SPEC, path) as download:
            assert (download.name, download.size_bytes, download.stream.read()) == (name, 6, b"first\n")

    def test_the_root_has_several_names(self, created: Host) -> None:
        created.write_file(self.SPEC, "one.txt", "")
        assert created.list_files(self.SPEC, "") == created.list_files(self.SPEC, "/")
        assert created.list_files(self.SPEC, ".") == created.list_files(self.SPEC, "/")

    def test_a_missing_file_is_missing_and_a_directory_is_no_file(self, created: Host) -> None:
        created.write_file(self.SPEC, "folder/file", "")
        with pytest.raises(FileMissing):
            created.read_file(self.SPEC, "nothing.txt")
        with pytest.raises(FileMissing):
            created.list_files(self.SPEC, "nothing")
        with pytest.raises(FileMissing):
            created.delete_file(self.SPEC, "nothing.txt")
        with pytest.raises(WrongFileKind):
            created.read_file(self.SPEC, "folder")
        with pytest.raises(WrongFileKind):
            created.write_file(self.SPEC, "folder", "")
        with pytest.raises(WrongFileKind):
            created.list_files(self.SPEC, "folder/file")

    def test_a_text_that_is_too_large_or_no_text_is_refused_and_can_be_downloaded(self, created: Host) -> None:
        created.write_file(self.SPEC, "large", b"x" * (MIB + 1))
        created.write_file(self.SPEC, "binary", b"\xff\xfe")
        with pytest.raises(TooLarge):
            created.read_file(self.SPEC, "large")
        with pytest.raises(NotText):
            created.read_file(self.SPEC, "binary")
        with created.open_download(self.SPEC, "large") as download:
            assert len(download.stream.read()) == MIB + 1
        with pytest.raises(TooLarge):
            created.write_file(self.SPEC, "larger", b"x" * (10 * MIB + 1))
        with pytest.raises(FileMissing):
            created.read_file(self.SPEC, "larger")

    def test_an_upload_shows_nothing_before_it_is_committed(self, created: Host) -> None:
        created.write_file(self.SPEC, "map.bin", "old")
        before = created.list_files(self.SPEC, "/")
        with created.open_upload(self.SPEC, "map.bin") as upload:
            upload.write(b"new ")
            upload.write(b"map")
            assert created.list_files(self.SPEC, "/") == before
            assert upload.commit().size_bytes == 7
        assert created.read_file(self.SPEC, "map.bin") == "new map"

    def test_an_upload_that_is_cut_off_leaves_no_trace(self, created: Host) -> None:
        with created.open_upload(self.SPEC, "map.bin") as upload:
            upload.write(b"half of a m")
        assert created.list_files(self.SPEC, "/").entries == ()
        assert created.file_versions(self.SPEC, "map.bin") == []

    def test_a_revert_brings_the_version_before_back_and_can_be_reverted(self, created: Host) -> None:
        for text in ("one", "two", "three"):
            created.write_file(self.SPEC, "config.yml", text)
        created.revert_file(self.SPEC, "config.yml")
        assert created.read_file(self.SPEC, "config.yml") == "two"
        created.revert_file(self.SPEC, "config.yml")
        assert created.read_file(self.SPEC, "config.yml") == "three"

    def test_any_version_that_is_kept_comes_back_by_its_number(self, created: Host) -> None:
        for text in ("one", "two", "three", "four"):
            created.write_file(self.SPEC, "config.yml", text)
        _, two, one = created.file_versions(self.SPEC, "config.yml")
        created.revert_file(self.SPEC, "config.yml", one.version)
        assert created.read_file(self.SPEC, "config.yml") == "one"
        created.revert_file(self.SPEC, "config.yml", two.version)
        assert created.read_file(self.SPEC, "config.yml") == "two"
        created.delete_file(self.SPEC, "config.yml")
        newest = created.file_versions(self.SPEC, "config.yml")[0].version
        created.revert_file(self.SPEC, "config.yml", newest)
        assert created.read_file(self.SPEC, "config.yml") == "two"
        for gone in (two.version, 0, -1, 10**30):
            with pytest.raises(NothingToRevert):
                created.revert_file(self.SPEC, "config.yml", gone)
        assert created.read_file(self.SPEC, "config.yml") == "two"

    def test_a_deleted_file_and_a_deleted_directory_come_back(self, created: Host) -> None:
        created.write_file(self.SPEC, "mods/a.jar", "a")
        created.write_file(self.SPEC, "top.txt", "top")
        for path in ("mods", "top.txt"):
            created.delete_file(self.SPEC, path)
        assert created.list_files(self.SPEC, "/").entries == ()
        for path in ("mods", "top.txt"):
            created.revert_file(self.SPEC, path)
        assert created.read_file(self.SPEC, "mods/a.jar") == "a"
        assert created.read_file(self.SPEC, "top.txt") == "top"

    def test_versions_are_listed_newest_first_and_only_the_last_ten_are_kept(self, created: Host) -> None:
        for number in range(13):
            created.write_file(self.SPEC, "config.yml", "x" * number)
        kept = created.file_versions(self.SPEC, "config.yml")
        assert [version.size_bytes for version in kept] == list(range(11, 1, -1))
        assert [version.saved_at for version in kept] == sorted((version.saved_at for version in kept), reverse=True)

    def test_without_an_earlier_version_there_is_nothing_to_revert(self, created: Host) -> None:
        created.write_file(self.SPEC, "new.txt", "new")
        with pytest.raises(NothingToRevert):
            created.revert_file(self.SPEC, "new.txt")
        with pytest.raises(NothingToRevert):
            created.revert_file(self.SPEC, "never.txt")

    @pytest.mark.parametrize(
        "path", ["../x", "a/../../x", "/../x", "/etc/passwd", "/proc/self/environ", "a\0b", "x" * 256]
    )
    def test_no_path_leaves_the_servers_files(self, created: Host, path: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: created.list_files(self.SPEC, path),
            lambda: created.read_file(self.SPEC, path),
            lambda: created.open_download(self.SPEC, path),
            lambda: created.write_file(self.SPEC, path, "x"),
            lambda: created.open_upload(self.SPEC, path),
            lambda: created.delete_file(self.SPEC, path),
        ]
        for call in calls:
            with pytest.raises(PathRefused):
                call()
        assert created.list_files(self.SPEC, "/").entries == ()

    def test_a_destroyed_server_has_no_files(self, started: Host) -> None:
        started.destroy(self.SPEC)
        with pytest.raises(ServerMissing):
            started.list_files(self.SPEC, "/")


class ArchivesContract(ContractFloor):
    """Backups that can be downloaded, of files that can be read."""

    def test_a_restored_backup_is_the_same_byte_for_byte(self, created: Host) -> None:
        contents = {
            "empty": b"",
            "deep/er/file.bin": bytes(range(256)) * 1000,
            "Grüße 世界.txt": b"x",
            "b" * 200: b"long",
        }
        for path, content in contents.items():
            created.write_file(self.SPEC, path, content)
        info = created.create_backup(self.SPEC, "b-1")
        created.write_file(self.SPEC, "empty", "no longer")
        created.write_file(self.SPEC, "later", "was not there")
        created.delete_file(self.SPEC, "deep")
        created.restore_backup(self.SPEC, "b-1")
        for path, content in contents.items():
            with created.open_download(self.SPEC, path) as download:
                assert download.stream.read() == content
        assert len(created.list_files(self.SPEC, "/").entries) == len(contents)
        assert info.skipped_entries == info.unsettled_files == 0

    def test_a_backup_says_its_size_and_digest_truly(self, created: Host) -> None:
        created.write_file(self.SPEC, "world", "a world")
        info = created.create_backup(self.SPEC, "b-1")
        with created.open_backup(self.SPEC, "b-1") as download:
            content = download.stream.read()
        assert len(content) == info.size_bytes == download.size_bytes
        assert hashlib.sha256(content).hexdigest() == info.sha256

    def test_a_backup_that_is_gone_cannot_be_opened(self, created: Host) -> None:
        created.create_backup(self.SPEC, "b-1")
        created.delete_backup(self.SPEC, "b-1")
        with pytest.raises(BackupMissing):
            created.open_backup(self.SPEC, "b-1")
