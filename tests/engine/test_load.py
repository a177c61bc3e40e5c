"""A policy loads or says everything that is wrong with it, each fault at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.faults import JUDGEMENTS, Fault, FaultKind, PolicyFaults, PolicyUnreadable
from engine.load import bundle, load_policy, load_texts
from engine.render import render_text
from tests.engine.mistakes import SHIPPED, TEXT_MISTAKES, Mistake
from tests.engine.mistakes_in_meaning import MEANING_MISTAKES
from tests.engine.mistakes_in_rules import RULE_MISTAKES

MISTAKES = [*TEXT_MISTAKES, *MEANING_MISTAKES, *RULE_MISTAKES]
POLICIES = Path(__file__).resolve().parents[1] / "policies"
ENGINE = Path(__file__).resolve().parents[2] / "engine"
OF_FOLDERS = {"P102", "P103", "P115", "P116", "S211", "S212"}  # mistakes in whole files; each has a test below
TEXTS = bundle(SHIPPED)


def faults_of(texts: dict[str, str], env: dict[str, str] | None = None) -> PolicyFaults:
    """Return the faults of these texts; they must have some."""
    with pytest.raises(PolicyFaults) as found:
        load_texts(texts, env or {})
    return found.value


def underlined(found: PolicyFaults, fault: Fault) -> str:
    """Return what a fault underlines."""
    lines = found.sources.get(fault.place.file, ())
    line = lines[fault.place.line - 1] if fault.place.line <= len(lines) else ""
    return line[fault.place.column - 1 : fault.end_column - 1]


def check_words(fault: Fault) -> None:
    """Check that a fault speaks to an operator: lower case, no full stop, input in backticks, no jargon of the code."""
    assert not fault.message.endswith(".")
    assert fault.message[0].islower() or fault.message[0] == "`", fault.message
    assert fault.message.count("`") % 2 == 0
    assert fault.hint.count("`") % 2 == 0
    ours = re.sub(r"`[^`]*`", "", f"{fault.message} {fault.hint}")
    jargon = r"None|NoneType|dict|str|object at|schema|valid under|instance|traceback|[A-Za-z]+Error"
    assert not re.search(rf"\b({jargon})\b", ours), fault


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_found_at_its_place_in_plain_words_and_nothing_else_is_said(mistake: Mistake) -> None:
    found = faults_of(mistake.texts(), mistake.env)
    for fault in found.faults:
        check_words(fault)
    assert {fault.code for fault in found.faults} == {mistake.code, *mistake.also}
    places = [(fault.code, fault.place.file, underlined(found, fault)) for fault in found.faults]
    assert (mistake.code, mistake.elsewhere or mistake.file, mistake.at) in places
    assert str(found).endswith("`forbear policy check` shows all")


def test_every_code_of_a_fault_has_an_example() -> None:
    """Codes from M400 on are of guarantees and scenarios, and are tested with those."""
    source = "".join(path.read_text() for path in ENGINE.rglob("*.py"))
    codes = set(re.findall(r'"([PSM][0-3][0-9]{2})"', source))
    assert codes == {mistake.code for mistake in MISTAKES} | OF_FOLDERS


def test_a_folder_of_mistakes_shows_all_of_them_at_once() -> None:
    with pytest.raises(PolicyFaults) as found:
        load_policy(POLICIES / "many_mistakes")
    shown = render_text(found.value.faults, found.value.sources, folder="many_mistakes")
    assert shown.splitlines() == (POLICIES / "many_mistakes" / "expected.txt").read_text().splitlines()
    assert {fault.kind for fault in found.value.faults} == set(FaultKind)


def test_what_was_loaded_before_is_told_apart_by_texts_overrides_and_judging() -> None:
    """A policy is kept in memory, and so is each file of it; a file with a fault never is."""
    plain = load_texts(TEXTS)
    assert load_texts(dict(reversed(TEXTS.items())), {"HOME": "/"}) is plain
    assert load_policy(SHIPPED) is plain
    assert load_texts(TEXTS, {"BILLING_RETENTION_DAYS": "30"}).digest != plain.digest
    other = TEXTS | {"abuse.yaml": TEXTS["abuse.yaml"] + "# a remark\n"}
    assert load_texts(other) is not plain
    assert load_texts(other).digest == plain.digest
    mistake = next(each for each in MISTAKES if each.code == "S204")
    assert faults_of(mistake.texts()).faults == faults_of(mistake.texts()).faults
    careless = next(each for each in MISTAKES if each.code in JUDGEMENTS and not each.also).texts()
    assert load_texts(careless, judging=False) is load_texts(careless, judging=False)
    assert faults_of(careless).faults


def test_faults_come_in_the_order_of_their_places() -> None:
    with pytest.raises(PolicyFaults) as found:
        load_policy(POLICIES / "many_mistakes")
    places = [(fault.place.file, fault.place.line, fault.place.column) for fault in found.value.faults]
    assert places == sorted(places)


def test_the_smallest_policy_loads() -> None:
    policy = load_policy(POLICIES / "small")
    assert [machine.name for machine in policy.account_machines] == ["billing"]
    assert policy.intents["send_billing_warning"].promises == "billing.stop"


@pytest.mark.parametrize(
    "noun", ["standing", "gates", "intents", "permits", "repairs", "notices", "alerts", "maintenance"]
)
def test_a_missing_file_is_one_fault_and_not_many(noun: str) -> None:
    texts = {file: text for file, text in TEXTS.items() if file != f"{noun}.yaml"}
    found = faults_of(texts)
    assert [(fault.code, fault.place.file) for fault in found.faults] == [("S211", f"{noun}.yaml")]


@pytest.mark.parametrize("file", sorted(TEXTS))
def test_a_file_that_cannot_be_read_makes_no_faults_elsewhere(file: str) -> None:
    found = faults_of(TEXTS | {file: "key: [never closed\nother: 1"})
    assert {fault.place.file for fault in found.faults} == {file}
    assert {fault.code for fault in found.faults} == {"P101"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n"])
def test_an_empty_file_is_named(text: str) -> None:
    codes = {fault.code for fault in faults_of(TEXTS | {"maintenance.yaml": text}).faults}
    assert codes <= {"P115", "S203"}
    assert codes


@pytest.mark.parametrize("text", ["just words", "[a, list]", "null"])
@pytest.mark.parametrize("file", ["billing.yaml", "gates.yaml", "extra.yaml"])
def test_a_file_of_another_kind_is_a_fault(file: str, text: str) -> None:
    found = faults_of(TEXTS | {file: text})
    assert any(fault.place.file == file for fault in found.faults)


def test_a_file_that_the_policy_does_not_know_is_named() -> None:
    found = faults_of(TEXTS | {"gate.yaml": "x: 1"})
    assert [(fault.code, fault.hint) for fault in found.faults] == [("S212", "did you mean `gates.yaml`?")]


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped policy to break."""
    for file, text in TEXTS.items():
        (tmp_path / file).write_text(text)
    return tmp_path


def only_fault(folder: Path) -> Fault:
    with pytest.raises(PolicyFaults) as found:
        load_policy(folder)
    (fault,) = found.value.faults
    return fault


def test_a_folder_loads_as_its_texts_do(folder: Path) -> None:
    assert load_policy(folder).digest == load_texts(TEXTS).digest


def test_a_binary_file_is_a_fault(folder: Path) -> None:
    (folder / "alerts.yaml").write_bytes(b"a: b\n\x7fELF\xff\xfe\x00")
    fault = only_fault(folder)
    assert (fault.code, fault.place.line) == ("P102", 2)


def test_a_file_of_ten_megabytes_is_not_read(folder: Path) -> None:
    (folder / "alerts.yaml").write_bytes(b"# " + b"x" * 10_000_000)
    assert only_fault(folder).code == "P103"


def test_a_text_that_is_too_large_is_a_fault_too() -> None:
    assert {fault.code for fault in faults_of(TEXTS | {"alerts.yaml": "#" * 300_000}).faults} == {"P103"}


def test_a_loop_of_links_is_a_fault(folder: Path) -> None:
    (folder / "alerts.yaml").unlink()
    (folder / "alerts.yaml").symlink_to("alerts.yaml")
    assert only_fault(folder).code == "P116"


def test_a_folder_or_a_pipe_in_place_of_a_file_is_a_fault_and_is_not_waited_for(folder: Path) -> None:
    import os

    (folder / "alerts.yaml").unlink()
    os.mkfifo(folder / "alerts.yaml")
    assert only_fault(folder).code == "P116"
    (folder / "alerts.yaml").unlink()
    (folder / "alerts.yaml").mkdir()
    assert only_fault(folder).code == "P116"


def test_a_file_with_another_ending_is_named_rather_than_ignored(folder: Path) -> None:
    (folder / "disputes.yml").write_text("machine: disputes")
    fault = only_fault(folder)
    assert (fault.code, fault.hint) == ("S212", "rename it to `disputes.yaml`")


def test_hidden_files_schemas_and_readmes_are_no_part_of_the_policy(folder: Path) -> None:
    (folder / ".hidden.yaml").write_text("x: [")
    (folder / "README.md").write_text("words")
    (folder / "schema").mkdir()
    assert bundle(folder) == TEXTS


@pytest.mark.parametrize("name", ["missing", "file", "empty"])
def test_where_there_is_no_policy_that_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PolicyUnreadable, match=name):
        load_policy(tmp_path / name)


def test_windows_line_ends_and_a_document_marker_mean_the_same() -> None:
    windows = {file: ("---\n" + text).replace("\n", "\r\n") for file, text in TEXTS.items()}
    assert load_texts(windows).digest == load_texts(TEXTS).digest


# ---- hostile texts ---------------------------------------------------------------------------------------------------


def test_predicates_that_double_each_other_are_refused_before_they_grow() -> None:
    bomb = "predicates:\n  p0: {fact: exempt, eq: true}\n" + "".join(
        f"  p{n}: {{all: [p{n - 1}, p{n - 1}]}}\n" for n in range(1, 60)
    )
    text = TEXTS["ended.yaml"].replace("predicates:\n", bomb)
    assert "M337" in {fault.code for fault in faults_of(TEXTS | {"ended.yaml": text}).faults}


def test_a_chain_of_thousands_of_predicates_is_refused() -> None:
    chain = "predicates:\n  p0: {fact: exempt, eq: true}\n" + "".join(f"  p{n}: p{n - 1}\n" for n in range(1, 5_000))
    shuffled = chain.replace("predicates:\n", "predicates:\n  first: p4999\n")
    text = TEXTS["ended.yaml"].replace("predicates:\n", shuffled)
    assert "M337" in {fault.code for fault in faults_of(TEXTS | {"ended.yaml": text}).faults}


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_mutated_policy_loads_or_has_faults_and_never_fails_otherwise(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(TEXTS)))
    text = TEXTS[file]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.sampled_from([0, 1, 1, 2, 5, 40])))
        piece = data.draw(
            st.sampled_from(
                ["", ":", "{", "}", "[", "]", "-", "\n", "  ", "null", "5", "yes", "*a", "&a", "!t", "'", "|", "%"]
            )
            | st.text(max_size=6)
        )
        text = text[:start] + piece + text[end:]
    try:
        load_texts(TEXTS | {file: text})
    except PolicyFaults as found:
        render_text(found.faults, found.sources, color=True)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    file=st.sampled_from(sorted(TEXTS)),
    value=st.recursive(
        st.sampled_from(["null", "5", "-1", "true", "words", "''", "72h", "billing.suspend", "'{x'"]),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
            | st.dictionaries(
                st.sampled_from(["fact", "all", "id", "kind", "machine", "of", "x"]), inner, max_size=3
            ).map(lambda entries: "{" + ", ".join(f"{key}: {item}" for key, item in entries.items()) + "}")
        ),
        max_leaves=6,
    ),
    data=st.data(),
)
def test_any_value_in_the_place_of_another_loads_or_has_faults(file: str, value: str, data: st.DataObject) -> None:
    lines = TEXTS[file].splitlines()
    spots = [number for number, line in enumerate(lines) if re.match(r"\s*[a-z_.]+:", line)]
    number = data.draw(st.sampled_from(spots))
    lines[number] = lines[number].partition(":")[0] + ": " + value
    try:
        load_texts(TEXTS | {file: "\n".join(lines)})
    except PolicyFaults as found:
        render_text(found.faults, found.sources)
