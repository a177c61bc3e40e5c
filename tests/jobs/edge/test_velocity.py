"""The proxy: its operator's file stays theirs, what is written is read back, and what is refused is undone."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.edge.base import EdgeTaken, EdgeUnavailable, Entry
from jobs.edge.velocity import Velocity
from tests.doubles.velocity import PASSWORD, VelocityDouble
from tests.jobs.edge.entries import ADA, BEN, entry

FILE = """# Config version. Do not change this
config-version = "2.7"
bind = "0.0.0.0:25577"   # where players come in
motd = "<#09add3>Hello"

[servers]
# lobbies
lobby = "127.0.0.1:30066"
try = [
    "lobby"
]

[forced-hosts]
"lobby.example.com" = ["lobby"]

[advanced]
compression-threshold = 256
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "velocity.toml"
    file.write_text(FILE)
    return file


@pytest.fixture
def double(file: Path) -> Iterator[VelocityDouble]:
    with VelocityDouble(file) as made:
        yield made


def proxy_at(double: VelocityDouble, password: str = PASSWORD, timeout_seconds: float = 30.0) -> Velocity:
    domain = "play.example.net"
    return Velocity(double.file, double.console, password, domain=domain, timeout_seconds=timeout_seconds)


@pytest.fixture
def proxy(double: VelocityDouble) -> Velocity:
    return proxy_at(double)


def test_what_is_published_is_known_and_shown_as_expected(double: VelocityDouble, proxy: Velocity) -> None:
    proxy.publish(entry())
    assert double.servers["ada-1"] == "192.0.2.10:25570"
    assert double.hosts["ada-1.play.example.net"] == ["ada-1"]
    assert proxy.observe_all().ours == {ADA: proxy.expected(entry())}


def test_the_operators_file_stays_theirs(double: VelocityDouble, proxy: Velocity, file: Path) -> None:
    file.chmod(0o640)
    proxy.publish(entry())
    proxy.publish(entry(BEN, "ben-2", address="2001:db8::1"))
    assert tomllib.loads(file.read_text())["servers"]["ben-2"] == "[2001:db8::1]:25570"
    proxy.withdraw(entry())
    proxy.withdraw(entry(BEN, "ben-2"))
    assert tomllib.loads(file.read_text()) == tomllib.loads(FILE)
    assert [line for line in FILE.splitlines() if line not in file.read_text().splitlines()] == []
    assert file.stat().st_mode & 0o777 == 0o640


def test_publishing_again_reloads_nothing(double: VelocityDouble, proxy: Velocity, file: Path) -> None:
    proxy.publish(entry())
    text = file.read_bytes()
    proxy.publish(entry())
    assert double.typed.count("velocity reload") == 1
    assert file.read_bytes() == text


def test_a_proxy_that_has_not_read_the_file_is_told_to(double: VelocityDouble, proxy: Velocity) -> None:
    proxy.publish(entry())
    double.servers.pop("ada-1")
    assert proxy.observe_all().ours[ADA] != proxy.expected(entry())
    proxy.publish(entry())
    assert "ada-1" in double.servers


def test_a_server_that_has_moved_is_reached_at_its_new_place(double: VelocityDouble, proxy: Velocity) -> None:
    proxy.publish(entry())
    proxy.publish(entry(address="192.0.2.99", port=1))
    assert double.servers["ada-1"] == "192.0.2.99:1"


def test_without_a_port_there_is_nothing_to_register(double: VelocityDouble, proxy: Velocity) -> None:
    proxy.publish(entry(port=0))
    assert (double.typed, proxy.expected(entry(port=0))) == ([], frozenset())


def test_withdrawn_no_name_leads_there_and_the_next_start_forgets_it(double: VelocityDouble, proxy: Velocity) -> None:
    proxy.publish(entry())
    proxy.withdraw(entry())
    assert "ada-1.play.example.net" not in double.hosts
    assert dict(proxy.observe_all().ours) == {}
    double.restart()
    assert list(double.servers) == ["lobby"]
    double.typed.clear()
    proxy.withdraw(entry())
    assert double.typed == [], "there is nothing left to remove"


@pytest.mark.parametrize(
    "theirs",
    ['[servers]\nada-1 = "127.0.0.1:1"\n', '[servers]\nADA-1 = "127.0.0.1:1"\n',
     '[servers]\nlobby = "127.0.0.1:1"\n[forced-hosts]\n"ada-1.play.example.net" = ["lobby"]\n',
     f'[servers]\nada-1 = "127.0.0.1:1" # forbear {BEN}\n'],
)  # fmt: skip
def test_what_somebody_else_has_there_is_told_and_left(theirs: str, file: Path) -> None:
    file.write_text(theirs)
    with VelocityDouble(file) as double:
        proxy = proxy_at(double)
        with pytest.raises(EdgeTaken, match=r"(?i)ada-1"):
            proxy.publish(entry())
        proxy.withdraw(entry())
        if BEN not in theirs:
            assert "ada-1" in proxy.observe_all().taken
    assert file.read_text() == theirs


def test_a_file_that_the_proxy_refuses_is_put_back(double: VelocityDouble, proxy: Velocity, file: Path) -> None:
    double.fault = "refuse_reload"
    with pytest.raises(EdgeUnavailable, match="refuses to reload"):
        proxy.publish(entry())
    assert file.read_text() == FILE
    assert list(double.servers) == ["lobby"]


def test_a_proxy_that_reads_back_old_is_not_believed(double: VelocityDouble, proxy: Velocity) -> None:
    proxy.known_within_seconds = 0.2
    double.fault = "reads_old"
    with pytest.raises(EdgeUnavailable, match="does not know `ada-1`"):
        proxy.publish(entry())
    assert proxy.observe_all().ours[ADA] != proxy.expected(entry())
    double.fault = ""
    proxy.publish(entry())
    assert proxy.observe_all().ours[ADA] == proxy.expected(entry())


@pytest.mark.parametrize("fault", ["hang_up", "no_rcon"])
def test_a_console_that_does_not_answer_is_unknown(double: VelocityDouble, proxy: Velocity, fault: str) -> None:
    proxy.publish(entry())
    double.fault = fault  # type: ignore[assignment]
    with pytest.raises(EdgeUnavailable, match="console"):
        proxy.observe_all()
    with pytest.raises(EdgeUnavailable):
        proxy.withdraw(entry())


def test_a_reload_without_an_answer_is_not_taken_for_one(double: VelocityDouble, proxy: Velocity) -> None:
    double.fault = "silent"
    with pytest.raises(EdgeUnavailable, match="answered a reload"):
        proxy.publish(entry())


def test_a_console_that_hangs_is_given_up_in_its_time(double: VelocityDouble) -> None:
    proxy = proxy_at(double, timeout_seconds=0.2)
    double.hangs = threading.Event()
    with pytest.raises(EdgeUnavailable, match="does not answer"):
        proxy.publish(entry())


def test_a_long_answer_does_not_stand_for_the_next_one(double: VelocityDouble, proxy: Velocity) -> None:
    double.fault = "wordy"
    proxy.publish(entry())
    proxy.publish(entry(BEN, "ben-2"))
    assert set(proxy.observe_all().ours) == {ADA, BEN}


def test_a_wrong_password_is_told_without_it(double: VelocityDouble) -> None:
    with pytest.raises(EdgeUnavailable, match="refuses the password") as raised:
        proxy_at(double, "wrong and secret").observe_all()
    assert "wrong and secret" not in str(raised.value)


@pytest.mark.parametrize("damage", ["[servers\n", "servers = 3\n", "bind = 'x'\n", "\x00"])
def test_a_file_that_cannot_be_read_is_unknown_and_not_overwritten(
    double: VelocityDouble, proxy: Velocity, file: Path, damage: str
) -> None:
    file.write_text(damage)
    for ask in (proxy.observe_all, lambda: proxy.publish(entry()), lambda: proxy.withdraw(entry())):
        with pytest.raises(EdgeUnavailable, match=r"velocity\.toml"):
            ask()
    assert file.read_text() == damage


def test_a_file_that_is_gone_is_unknown(double: VelocityDouble, proxy: Velocity, file: Path) -> None:
    file.unlink()
    with pytest.raises(EdgeUnavailable, match="no such file"):
        proxy.observe_all()


@pytest.mark.parametrize(
    "wrong",
    [{"label": 'x" = "6.6.6.6:1'}, {"label": "x\nvelocity reload"}, {"label": "-x"}, {"label": "x" * 64}, {"label": ""},
     {"address": "6.6.6.6 evil"}, {"service": "_a._tcp\n@ A 6.6.6.6"}, {"server_id": "x"}],
)  # fmt: skip
def test_no_entry_can_hold_what_breaks_out_of_a_line(wrong: dict[str, str]) -> None:
    given = {"server_id": ADA, "label": "ada-1", "address": "192.0.2.1", "service": "", **wrong}
    with pytest.raises(ValueError, match=r"name|address"):
        Entry(port=1, **given)
