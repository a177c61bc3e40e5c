"""The difference between two policies by meaning: nothing for another way to write, each change with its direction."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.commands import SHIPPED
from engine.commands.diff import diff
from engine.compare.policies import Change, Effect, compare
from engine.compare.tell import as_github, as_json, as_markdown, as_text
from engine.faults import Faults
from engine.load import bundle, load_texts
from engine.model import Policy
from engine.source import parse

SMALL = Path(__file__).parents[1] / "policies" / "small"


@lru_cache
def texts() -> Mapping[str, str]:
    """Return the shipped files."""
    return bundle(SHIPPED)


@lru_cache
def shipped() -> Policy:
    """Return the shipped policy."""
    return load_texts(texts())


def changed(file: str, *edits: tuple[str, str]) -> Policy:
    """Return the shipped policy with a file edited."""
    edited = texts()[file]
    for old, new in edits:
        assert old in edited, old
        edited = edited.replace(old, new, 1)
    return load_texts({**texts(), file: edited})


def diff_of(file: str, *edits: tuple[str, str], prove: bool = False) -> list[Change]:
    """Return what an edit of the shipped policy changes."""
    return compare(shipped(), changed(file, *edits), prove=prove)


def only(changes: list[Change]) -> Change:
    """Return the one change."""
    (change,) = changes
    return change


def rewritten(name: str, seed: int) -> str:
    """Write a file as another person would: as flow maps, keys in any order, columns and names of a set as well."""
    rng = random.Random(seed)
    root = parse(name, texts()[name], Faults())
    assert root is not None

    def shuffle(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("columns"), list):
                order = list(range(len(value["columns"])))
                rng.shuffle(order)
                value = {row: [cells[at] for at in order] for row, cells in value.items()}
                pairs = list(value.items())
            else:
                pairs = [(each, shuffle(part, each)) for each, part in value.items()]
            rng.shuffle(pairs)
            return dict(pairs)
        if isinstance(value, list):
            if key in {"from", "in", "do", "every_pressure", "suspending", "all", "any", "wanted_in", "lifecycle"}:
                rng.shuffle(value)
            return [shuffle(each) for each in value]
        return value

    return f"# written anew\n{json.dumps(shuffle(root.plain()), indent=rng.choice([None, 1, 4]), ensure_ascii=False)}\n"


@settings(max_examples=3, deadline=None, phases=[Phase.generate])  # a shrunk seed says no more than another
@given(st.integers(0, 10**9))
def test_writing_the_same_policy_otherwise_changes_nothing(seed: int) -> None:
    other = load_texts({name: rewritten(name, seed) for name in texts()})
    assert compare(shipped(), other) == []


def test_naming_a_guard_changes_nothing() -> None:
    late = "{any: [{fact: subscription, in: [unpaid, past_due]}, {fact: overdue_invoices, gt: 0}]}"
    written = f"{{all: [{{fact: exempt, eq: false}}, {late}]}}"
    assert (
        diff_of(
            "billing.yaml",
            (
                "from: past_due\n    to: overdue_warning\n    when: owing",
                f"from: past_due\n    to: overdue_warning\n    when: {written}",
            ),
        )
        == []
    )


def test_longer_way_to_say_the_same_condition_changes_nothing() -> None:
    assert diff_of("standing.yaml", ("{fact: overdue_invoices, gt: 0}", "{fact: overdue_invoices, gte: 1}")) == []


def test_cell_that_denies_now_is_more_strict_with_its_code() -> None:
    change = only(
        diff_of("gates.yaml", ("host.restart:        [yes,     yes, ", "host.restart:        [yes,     no, "))
    )
    assert (change.subject, change.effect) == ("host.restart in backup_blocked", Effect.STRICTER)
    assert change.example == "a server that is backup_blocked, asked for host.restart: allowed before, denied now"
    assert str(change.place).startswith("gates.yaml:")


def test_cell_that_allows_now_is_more_lenient() -> None:
    edit = ("backups.create:      [yes,     no, ", "backups.create:      [yes,     yes, ")
    assert only(diff_of("gates.yaml", edit)).effect is Effect.LENIENT


def test_later_suspension_is_more_lenient_and_shows_an_account() -> None:
    change = only(
        diff_of(
            "billing.yaml", ("suspend_after:            {default: 120h", "suspend_after:            {default: 144h")
        )
    )
    assert (change.area, change.effect, change.before, change.after) == ("timers", Effect.LENIENT, "120h", "144h")
    assert "after 5d before, after 6d now" in change.example


def test_timer_that_decides_nothing_is_said_to() -> None:
    change = only(
        diff_of("billing.yaml", ("suspend_after:            {default: 120h", "suspend_after:            {default: 96h"))
    )
    assert change.effect is Effect.STRICTER
    assert "something else decides when" in change.example


def test_guard_that_holds_for_fewer_relieves_nobody_new_and_shows_whom() -> None:
    changes = diff_of(
        "standing.yaml", ("{fact: subscription, in: [past_due, unpaid]}", "{fact: subscription, in: [past_due]}")
    )
    assert {change.effect for change in changes if change.subject == "billing.suspend when"} == {Effect.LENIENT}
    assert {change.effect for change in changes if change.subject == "billing.paid when"} == {Effect.LENIENT}
    assert all("subscription unpaid" in change.example for change in changes)


def test_permit_no_longer_asked_is_more_strict() -> None:
    changes = diff_of(
        "billing.yaml",
        ("    needs: suspending\n", ""),
        ("  suspending:     [fresh_standing, no_maintenance, suspension_brake, safe_point]\n", ""),
    )
    assert {change.after for change in changes} == {""}
    assert {change.before for change in changes} == {
        "fresh_standing",
        "no_maintenance",
        "suspension_brake",
        "safe_point",
    }
    assert {change.effect for change in changes} == {Effect.STRICTER}


def test_words_of_a_notice_are_shown_line_by_line() -> None:
    changes = diff_of("notices.yaml", ("you have been\n      given more time", "you have\n      more time"))
    assert only(changes).area == "notices"
    assert "-given more time." in as_text(changes, color=False)
    assert "Hello" not in as_text(changes, color=False)
    assert "```diff" in as_markdown(changes)


def test_rule_that_is_gone_or_new_is_told_once() -> None:
    gone = [line for line in texts()["abuse.yaml"].splitlines(keepends=True) if "id: restrict," in line]
    changes = diff_of("abuse.yaml", (gone[0], gone[0].replace("id: restrict,", "id: limit,")))
    assert only(changes).after == "limit (renamed)"


def test_guarantee_that_breaks_is_lost_and_says_why() -> None:
    edit = ("- {id: wait,  ", "- {id: wait,  ")
    assert diff_of("repairs.yaml", edit, prove=True) == []
    lost = [
        change
        for change in diff_of(
            "gates.yaml",
            (
                "host.start:          [yes,     yes,            no,   ",
                "host.start:          [yes,     yes,            yes,   ",
            ),
            prove=True,
        )
        if change.area == "guarantees"
    ]
    assert lost
    assert {change.effect for change in lost} == {Effect.REMOVED}
    assert {(change.before, change.after) for change in lost} == {("holds", "broken")}


@pytest.mark.parametrize(
    ("section", "rule", "leans"),
    [
        ("pressure", "{id: more, from: restricted, to: stopped, event: abuse_again, by: admin}", Effect.STRICTER),
        ("relief", "{id: less, from: stopped, to: restricted, event: abuse_less, by: admin}", Effect.LENIENT),
    ],
)
def test_rule_that_is_new_or_gone_says_which_way_it_goes(section: str, rule: str, leans: Effect) -> None:
    edited = texts()["abuse.yaml"].replace(f"{section}:\n", f"{section}:\n  - {rule}\n")
    more = load_texts({**texts(), "abuse.yaml": edited})
    (new,) = compare(shipped(), more, prove=False)
    (gone,) = compare(more, shipped(), prove=False)
    assert (new.effect, new.leans, gone.effect) == (Effect.ADDED, leans, Effect.REMOVED)
    assert {new.leans, gone.leans} == {Effect.STRICTER, Effect.LENIENT}
    assert f"added, {leans}" in as_text([new], color=False)
    assert json.loads(as_json([new], "a", "b"))["changes"][0]["leans"] == str(leans)


def test_every_single_change_of_a_number_is_seen() -> None:
    for name, machine in shipped().machines.items():
        for setting in machine.settings:
            line = next(each for each in texts()[f"{name}.yaml"].splitlines() if each.strip().startswith(f"{setting}:"))
            number = line.partition("default: ")[2].partition(",")[0].rstrip("}").split("}")[0].strip()
            longer = f"{int(number[:-1]) + 1}{number[-1]}"
            edited = line.replace(f"default: {number}", f"default: {longer}")
            assert diff_of(f"{name}.yaml", (line, edited)), setting


def test_other_policy_altogether_is_compared_without_a_fault() -> None:
    small = load_texts(bundle(SMALL))
    for changes in (compare(small, shipped()), compare(shipped(), small)):
        assert {Effect.ADDED, Effect.REMOVED} <= {change.effect for change in changes}
        for told in (as_text(changes, color=True), as_markdown(changes), as_github(changes, "policy")):
            assert told
        assert json.loads(as_json(changes, "a", "b"))["changes"]


def test_comment_cannot_be_broken_out_of() -> None:
    change = Change("alerts", "a|b", Effect.CHANGED, "<script>", "@everybody\n````\nx", None)
    told = as_markdown([change])
    assert "<script>" not in told.partition("``````diff")[0]
    assert "a\\|b" in told
    assert "\n``````diff" in told


def test_comment_is_never_longer_than_github_takes() -> None:
    changes = [Change("alerts", f"a{number}", Effect.CHANGED, "x" * 500, "y", None) for number in range(400)]
    assert len(as_markdown(changes)) < 65_536


# ---- the command -----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(diff, arguments)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree with the small policy committed in `rules`."""
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, written in bundle(SMALL).items():
        (folder / name).write_text(written, encoding="utf-8")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return folder


def test_working_tree_is_compared_with_a_revision(repository: Path) -> None:
    assert run("HEAD", "rules").exit_code == 0
    alerts = repository / "alerts.yaml"
    alerts.write_text(alerts.read_text("utf-8").replace(": alerts-critical", ": alerts-billing"), encoding="utf-8")
    for arguments in (("HEAD", "rules"), ("HEAD:rules", "rules"), ("rules", "HEAD")):
        found = run(*arguments)
        assert (found.exit_code, "alerts-billing" in found.output) == (1, True)
    assert run("HEAD:rules", "HEAD").exit_code == 0


@pytest.mark.parametrize("where", ["no-such-thing", "HEAD:nowhere", "-x", "HEAD~9"])
def test_what_is_no_policy_is_refused_in_one_sentence(repository: Path, where: str) -> None:
    found = run("rules", where)
    assert found.exit_code == 2
    assert "Traceback" not in found.output


def test_policy_with_faults_is_shown_with_its_faults(repository: Path) -> None:
    (repository / "alerts.yaml").write_text("oops: [", encoding="utf-8")
    found = run("HEAD", "rules")
    assert found.exit_code == 2
    assert "alerts.yaml:1" in found.output
