"""What every host must do, as tests that any host can be put under: subclass, and say how to make one.

A host that offers everything takes `HostContract`; one without files or consoles the parts that it has.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import (
    BackupDamaged,
    BackupMissing,
    ConsoleLineRefused,
    FileMissing,
    Host,
    HostError,
    NothingToRevert,
    NotRunning,
    NotText,
    PathRefused,
    ServerMissing,
    ServerSpec,
    StillRunning,
    TooLarge,
    WrongFileKind,
)
from tests.jobs.hosts.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024


class ContractFloor:
    """A subclass provides the fixture `empty_host`: a host without servers that can run servers of kind `game`."""

    SPEC = ServerSpec("5b2a4d0e-contract", "Ada's world", "game", 0)
    STOP_SECONDS = 10.0
    # False where a host starts by itself just what was last started, so that a stop says both
    AUTOSTART_OUTLIVES_A_STOP = True

    @pytest.fixture
    def created(self, empty_host: Host) -> Host:
        empty_host.create(self.SPEC)
        return empty_host

    @pytest.fixture
    def started(self, created: Host) -> Host:
        created.start(self.SPEC)
        eventually(lambda: self.is_up(created))
        return created

    def is_up(self, host: Host) -> bool:
        """Whether the server has done what it does at its start."""
        return host.observe(self.SPEC).observed == "running"

    def put(self, host: Host, text: str) -> None:
        """Let the server keep this text."""
        raise NotImplementedError

    def held(self, host: Host) -> str:
        """Return the text that the server keeps."""
        raise NotImplementedError

    def refusals(self, host: Host) -> list[Callable[[], object]]:
        """Commands that the host refuses."""
        return [lambda: host.start(replace(self.SPEC, server_id="nobody"))]


class LifecycleContract(ContractFloor):
    """Servers: seen, made, started, stopped and destroyed."""

    def test_it_is_a_host(self, empty_host: Host) -> None:
        assert isinstance(empty_host, Host)
        assert empty_host.name

    def test_a_server_that_was_never_made_is_missing(self, empty_host: Host) -> None:
        assert empty_host.observe(self.SPEC).observed == "missing"
        assert self.SPEC.server_id not in empty_host.observe_all()

    def test_a_new_server_is_stopped_and_does_not_start_at_boot(self, empty_host: Host) -> None:
        seen = empty_host.create(self.SPEC)
        assert (seen.observed, seen.autostart) == ("stopped", False)

    def test_seeing_all_agrees_with_seeing_each(self, started: Host) -> None:
        other = replace(self.SPEC, server_id="another-server")
        started.create(other)
        seen = started.observe_all()
        assert seen[self.SPEC.server_id].observed == started.observe(self.SPEC).observed == "running"
        assert seen[other.server_id].observed == started.observe(other).observed == "stopped"
        assert len(seen) == 2

    def test_making_a_server_again_keeps_its_files_and_its_process(self, started: Host) -> None:
        self.put(started, "kept")
        before = started.observe(self.SPEC)
        assert started.create(self.SPEC) == before
        assert self.held(started) == "kept"

    def test_starting_what_runs_changes_nothing(self, started: Host) -> None:
        before = started.observe(self.SPEC)
        assert started.start(self.SPEC) == before

    def test_a_stop_returns_only_what_was_observed(self, started: Host) -> None:
        assert started.stop(self.SPEC, self.STOP_SECONDS).observed == "stopped"
        assert started.observe(self.SPEC).observed == "stopped"

    def test_stopping_what_is_stopped_or_missing_says_so(self, created: Host) -> None:
        assert created.stop(self.SPEC, self.STOP_SECONDS).observed == "stopped"
        assert created.stop(replace(self.SPEC, server_id="nobody"), self.STOP_SECONDS).observed == "missing"
        assert created.kill(replace(self.SPEC, server_id="nobody")).observed == "missing"

    def test_a_kill_ends_it_at_once(self, started: Host) -> None:
        assert started.kill(self.SPEC).observed == "stopped"

    def test_a_stopped_server_can_be_started_again(self, started: Host) -> None:
        started.stop(self.SPEC, self.STOP_SECONDS)
        assert started.start(self.SPEC).observed == "running"

    def test_a_missing_server_cannot_be_started(self, empty_host: Host) -> None:
        with pytest.raises(ServerMissing) as refused:
            empty_host.start(self.SPEC)
        assert refused.value.server_id == self.SPEC.server_id

    def test_autostart_stays_as_it_was_set(self, created: Host) -> None:
        created.set_autostart(self.SPEC, on=True)
        created.set_autostart(self.SPEC, on=True)
        created.start(self.SPEC)
        assert created.stop(self.SPEC, self.STOP_SECONDS).autostart is self.AUTOSTART_OUTLIVES_A_STOP
        created.set_autostart(self.SPEC, on=False)
        created.set_autostart(self.SPEC, on=False)
        assert created.observe_all()[self.SPEC.server_id].autostart is False

    def test_a_destroyed_server_is_missing(self, started: Host) -> None:
        started.destroy(self.SPEC)
        started.destroy(self.SPEC)
        assert started.observe(self.SPEC).observed == "missing"
        with pytest.raises(ServerMissing):
            started.start(self.SPEC)

    def test_errors_speak_to_customers_and_name_no_path_of_the_machine(self, created: Host) -> None:
        for refused in self.refusals(created):
            with pytest.raises(HostError) as error:
                refused()
            sentence = str(error.value)
            assert 10 < len(sentence) < 300
            assert sentence.isprintable()
            assert "servers/" not in sentence
            assert not isinstance(error.value, BackupDamaged)


class BackupsContract(ContractFloor):
    """Backups of whatever a server keeps."""

    def test_the_backups_of_a_destroyed_server_stay(self, created: Host) -> None:
        created.create_backup(self.SPEC, "last")
        created.destroy(self.SPEC)
        assert [info.backup_id for info in created.list_backups(self.SPEC)] == ["last"]

    def test_a_restore_first_saves_what_it_replaces(self, created: Host) -> None:
        self.put(created, "old")
        created.create_backup(self.SPEC, "b-1")
        self.put(created, "new")
        safety = created.restore_backup(self.SPEC, "b-1")
        assert self.held(created) == "old"
        assert safety.backup_id.startswith("safety-")
        assert safety in created.list_backups(self.SPEC)
        created.restore_backup(self.SPEC, safety.backup_id)
        assert self.held(created) == "new"

    def test_a_restore_that_is_done_again_keeps_what_the_first_try_saved(self, created: Host) -> None:
        self.put(created, "old")
        created.create_backup(self.SPEC, "b-1")
        self.put(created, "new")
        safety = created.restore_backup(self.SPEC, "b-1", "kept")
        assert created.restore_backup(self.SPEC, "b-1", "kept") == safety
        created.restore_backup(self.SPEC, "kept")
        assert self.held(created) == "new"

    def test_a_restored_server_is_stopped_and_does_not_start_at_boot_unless_it_did(self, created: Host) -> None:
        created.set_autostart(self.SPEC, on=True)
        created.create_backup(self.SPEC, "b-1")
        created.set_autostart(self.SPEC, on=False)
        created.restore_backup(self.SPEC, "b-1")
        seen = created.observe(self.SPEC)
        assert (seen.observed, seen.autostart) == ("stopped", False)

    def test_a_backup_of_one_id_is_made_once(self, created: Host) -> None:
        self.put(created, "first")
        first = created.create_backup(self.SPEC, "b-1")
        self.put(created, "second")
        assert created.create_backup(self.SPEC, "b-1") == first
        assert created.list_backups(self.SPEC) == [first]

    def test_a_running_server_is_backed_up_and_not_restored_over(self, started: Host) -> None:
        started.create_backup(self.SPEC, "b-1")
        with pytest.raises(StillRunning):
            started.restore_backup(self.SPEC, "b-1")
        assert started.observe(self.SPEC).observed == "running"

    def test_a_deleted_backup_is_gone(self, created: Host) -> None:
        created.create_backup(self.SPEC, "b-1")
        created.delete_backup(self.SPEC, "b-1")
        created.delete_backup(self.SPEC, "b-1")
        assert created.list_backups(self.SPEC) == []
        with pytest.raises(BackupMissing):
            created.restore_backup(self.SPEC, "b-1")


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


class ConsoleContract(ContractFloor):
    """Consoles, on hosts that offer them."""

    # a line to type on the program's console, and a part of what it answers
    QUESTION, ANSWER = "list", "online"

    def is_up(self, host: Host) -> bool:
        host.send(self.SPEC, self.QUESTION)  # it keeps files of its own by then, which tests of files look past
        return any(self.ANSWER in line for line in host.read_console(self.SPEC, None)[1])

    def test_a_typed_line_is_answered_and_offsets_show_each_line_once(self, started: Host) -> None:
        offset, _ = started.read_console(self.SPEC, None)
        started.send(self.SPEC, self.QUESTION)
        lines: list[str] = []

        def answered() -> bool:
            nonlocal offset
            offset, more = started.read_console(self.SPEC, offset)
            lines.extend(more)
            return any(self.ANSWER in line for line in lines)

        eventually(answered)
        assert started.read_console(self.SPEC, offset) == (offset, [])

    @pytest.mark.parametrize(
        "line", ["", "  ", "say hi\nstop", "say hi\rstop", "\x1b[2J", "x" * 5_000, "a\0b", "\ud800"]
    )
    def test_a_line_that_is_none_is_refused(self, started: Host, line: str) -> None:
        with pytest.raises(ConsoleLineRefused):
            started.send(self.SPEC, line)

    def test_a_stopped_server_takes_no_line_and_its_log_stays(self, started: Host) -> None:
        started.stop(self.SPEC, self.STOP_SECONDS)
        with pytest.raises(NotRunning):
            started.send(self.SPEC, self.QUESTION)
        assert started.read_console(self.SPEC, 0)[1]


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


class HostContract(ConsoleContract, FilesContract, ArchivesContract, BackupsContract, LifecycleContract):
    """Everything, for a host that offers everything."""

    def refusals(self, host: Host) -> list[Callable[[], object]]:
        return [
            *super().refusals(host),
            lambda: host.read_file(self.SPEC, "../../etc/passwd"),
            lambda: host.read_file(self.SPEC, "nothing"),
            lambda: host.open_backup(self.SPEC, "nothing"),
            lambda: host.send(self.SPEC, "hello"),
            lambda: host.write_file(self.SPEC, "`\x1b[31m`\n" * 99, ""),
        ]
