"""What every host must do, as tests that any host can be put under: subclass, and say how to make one.

A host that offers everything takes `HostContract`; one without files or consoles the parts that it has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import (
    BackupDamaged,
    BackupMissing,
    ConsoleLineRefused,
    Host,
    HostError,
    NotRunning,
    ServerMissing,
    StillRunning,
)
from tests.jobs.hosts.contract_files import ArchivesContract, FilesContract
from tests.jobs.hosts.contract_floor import ContractFloor
from tests.jobs.hosts.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


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
