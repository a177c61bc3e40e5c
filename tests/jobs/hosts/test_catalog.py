"""The hosts file: what it may say, how its faults are told, and where new servers go by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.hosts.base import Host, HostMisconfigured, HostUnavailable, ServerSpec
from jobs.hosts.catalog import DEFAULT, Catalog, catalog_of, read_catalog
from jobs.hosts.docker.host import DockerHost
from jobs.hosts.kubernetes import KubernetesHost
from jobs.operator_file import OperatorFileWrong
from storage.servers import HostUse
from storage.settings import Settings
from tests.jobs.hosts.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
SPEC = ServerSpec("server-1", "Ada's world", "game", 0)


def hosts_of(given: Settings) -> Mapping[str, Host]:
    """Make every host that there is, by name."""
    return catalog_of(given).open(given)


def settings(tmp_path: Path, text: str | None) -> Settings:
    file = None
    if text is not None:
        file = tmp_path / "hosts.yaml"
        file.write_text(text, encoding="utf-8")
    return Settings(database_url="postgresql://nowhere", data_dir=tmp_path / "data", hosts_file=file)


def test_without_a_file_there_is_this_machine(tmp_path: Path) -> None:
    given = settings(tmp_path, None)
    assert list(hosts_of(given)) == ["local"]
    assert catalog_of(given).choose("dev", {}) == "local"
    assert catalog_of(given).local_names == {"local"}


def test_a_local_host_has_the_name_and_runs_the_program_that_the_file_says(tmp_path: Path) -> None:
    text = "hosts: {attic: {driver: local, options: {programs: {game: [sh, -c, echo from the file; cat]}}}}"
    host = hosts_of(settings(tmp_path, text))["attic"]
    assert host.name == "attic"
    host.create(SPEC)
    host.start(SPEC)
    eventually(lambda: "from the file" in host.read_console(SPEC, 0)[1])
    assert host.kill(SPEC).observed == "stopped"


@pytest.mark.parametrize("name", ["hosts.yaml", "hosts-proxmox.yaml", "hosts-kubernetes.yaml"])
def test_the_example_is_a_file_that_can_be_used(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PVE_TOKEN_SECRET", "KUBERNETES_TOKEN"):
        monkeypatch.setenv(variable, "a-secret")
    file = ROOT / "examples" / "deploy" / name
    given = Settings(database_url="postgresql://nowhere", data_dir=tmp_path, hosts_file=file)
    catalog = catalog_of(given)
    assert set(hosts_of(given)) == set(catalog.entries)
    assert {host for hosts in catalog.placement.values() for host in hosts} <= set(catalog.entries)


FAULTS = [
    ("hosts: {}", "1:8: expected at least one host"),
    ("placement: {game: a}", "1:1: the key `hosts` is missing"),
    ("", "1:1: the file is empty"),
    ("hosts: {a: {driver: locl}}", "1:21: there is no driver `locl`; did you mean `local`?"),
    ("hosts: {a: {}}", "1:12: the key `driver` is missing"),
    ("hosts: {a: {driver: local, optons: {}}}", "1:28: the key `optons` is not known here; did you mean `options`?"),
    ("hosts:\n  a:\n    driver: local\n    options: {program: {}}", "4:15: the key `program` is not known here"),
    ("hosts: {a: {driver: local, options: {programs: {game: java}}}}", "1:55: expected a command as a list"),
    ("hosts: {a: {driver: local, capacity: -1}}", "1:38: expected at least 0"),
    ("hosts: {A b: {driver: local}}", "1:9: `A b` cannot be a key here; expected a host's name"),
    ("hosts: {a: {driver: local}, b: {driver: local}}", "1:29: `b` is a second host on this machine"),
    ("hosts: {a1: {driver: local}}\nplacement: {game: [a1, b1]}", "2:24: there is no host `b1`"),
    ("hosts: {a1: {driver: local}}\nplacement: {game: []}", "2:19: expected at least 1 entry"),
    ("hosts: {a1: {driver: local}}\nplacement: {web: a1}", "2:13: the key `web` is not known here"),
    ("hosts: {a1: {driver: local}}\nplacement: {game: 7}", "2:19: expected a host's name, or a list of them"),
    ("hosts: {a: &x {driver: local}, b: *x}", "1:12: the anchor `&x` is not allowed"),
    ("hosts: !!python/object/apply:os.system [ls]", "1:8: the tag"),
]


@pytest.mark.parametrize(("text", "told"), FAULTS)
def test_a_fault_is_told_with_its_place_and_a_likely_fix(tmp_path: Path, text: str, told: str) -> None:
    given = settings(tmp_path, text)
    with pytest.raises(OperatorFileWrong) as wrong:
        hosts_of(given)
    assert f"{given.hosts_file}:{told}" in str(wrong.value)


DOCKER = (
    "hosts:\n  d1:\n    driver: docker\n    options:\n      folder: /srv\n      kinds: {game: {image: i}}\n      url: "
)
DOCKER_FAULTS = [
    ("http://d", "7:12: expected an address such as"),
    ("tcp://user:pw@d:2376", "7:12: expected an address such as"),
    ("tcp://192.0.2.1:2375", "2:3: host `d1` is not set up: `url` is `tcp://192.0.2.1:2375`, over which anybody"),
    ("tcp://127.0.0.1", "2:3: host `d1` is not set up: `url` is `tcp://127.0.0.1`, and names no port"),
    ("unix:///s\n      cert_file: /c", "8:7: `cert_file` needs `key_file` beside it"),
    ("unix:///s\n      ca_file: /nothing", "2:3: host `d1` is not set up: `ca_file` names `/nothing`"),
    ("unix:///s\n      password: x", "8:7: the key `password` is not known here"),
]


@pytest.mark.parametrize(("rest", "told"), DOCKER_FAULTS)
def test_a_docker_hosts_options_are_checked_too(tmp_path: Path, rest: str, told: str) -> None:
    given = settings(tmp_path, DOCKER + rest)
    with pytest.raises(OperatorFileWrong) as wrong:
        hosts_of(given)
    assert f"{given.hosts_file}:{told}" in str(wrong.value)


KUBERNETES = (
    "hosts:\n  k8s:\n    driver: kubernetes\n    options:\n      url: https://k8s.example\n      namespace: customers\n"
    "      group: hosting.example.com\n      version: v1\n      kinds: {game: {spec: {size: small}}}\n"
)
KUBERNETES_FAULTS = [
    ("      token_variable: TOKEN", "5:7: the key `kind` is missing"),
    ("      kind: tenants\n      token_variable: TOKEN", "10:13: expected a kind such as `Tenant`"),
    ("      kind: Tenant\n      url2: x", "11:7: the key `url2` is not known here"),
    ("      kind: Tenant", "2:3: host `k8s` is not set up: the token is named by one of `token_file` and"),
    ("      kind: Tenant\n      token_file: /nothing", "the file `/nothing` cannot be read; put a service account's"),
    ("      kind: Tenant\n      token_variable: NOTHING", "the variable of `token_variable` holds no token"),
    ("      kind: Tenant\n      token_variable: TOKEN\n      ca_file: /nothing", "`ca_file` names `/nothing`"),
]


@pytest.mark.parametrize(("rest", "told"), KUBERNETES_FAULTS)
def test_a_kubernetes_hosts_options_are_checked_too(
    tmp_path: Path, rest: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "a-token")
    with pytest.raises(OperatorFileWrong) as wrong:
        hosts_of(settings(tmp_path, KUBERNETES + rest))
    assert told in str(wrong.value)


def test_what_is_ours_to_write_cannot_be_given_to_a_kubernetes_host() -> None:
    options = {"url": "https://k8s.example", "namespace": "a", "group": "b.example", "version": "v1", "kind": "Tenant"}
    kinds = {"game": {"spec": {"suspend": False}}}
    with pytest.raises(HostMisconfigured, match=r"`kinds\.game\.spec\.suspend` is ours to write"):
        KubernetesHost.from_options("k8s", {**options, "kinds": kinds, "token_variable": "TOKEN"})


def test_the_library_of_kubernetes_is_loaded_only_when_such_a_host_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(KUBERNETES + "      kind: Tenant\n      token_variable: TOKEN")
    program = (
        "import sys; from pathlib import Path; from jobs.hosts.catalog import read_catalog; "
        f"read_catalog(Path({str(file)!r})).open(None); "
        "assert 'jobs.hosts.kubernetes.host' in sys.modules; assert 'kubernetes' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env={**os.environ, "TOKEN": "a-token"})


def test_a_docker_host_is_made_without_asking_its_engine(tmp_path: Path) -> None:
    given = settings(tmp_path, DOCKER + "unix:///nothing/there.sock")
    host = hosts_of(given)["d1"]
    with pytest.raises(HostUnavailable, match="no connection to the Engine"):
        host.observe_all()
    with pytest.raises(HostMisconfigured, match=r"`kinds\.game`: 'image' is a required property"):
        DockerHost.from_options("d1", {"url": "unix:///s", "folder": "/srv", "kinds": {"game": {}}})


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "hosts:\n  a: {driver: nothing}\n  b: {driver: local, options: {x: 1}}\nplacement: {game: c}\n"
    with pytest.raises(OperatorFileWrong) as wrong:
        hosts_of(settings(tmp_path, text))
    assert [fault.split(":")[1] for fault in wrong.value.faults] == ["2", "3", "4"]


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(OperatorFileWrong, match="there is no such file; set FORBEAR_HOSTS_FILE"):
        read_catalog(tmp_path / "nothing.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(OperatorFileWrong, match="there is no such file"):
        read_catalog(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 300_000)
    with pytest.raises(OperatorFileWrong, match="larger than"):
        read_catalog(tmp_path / "large.yaml")


PLACED: list[tuple[str, Mapping[str, HostUse], str | None]] = [
    ("game", {}, "small"),
    ("game", {"small": HostUse(1, silent=False)}, "small"),
    ("game", {"small": HostUse(2, silent=False)}, "large"),
    ("game", {"small": HostUse(3, silent=False)}, "large"),
    ("game", {"small": HostUse(1, silent=True)}, "large"),
    ("game", {"small": HostUse(1, silent=True), "large": HostUse(9, silent=True)}, "small"),
    ("game", {"small": HostUse(2, silent=False), "large": HostUse(9, silent=True)}, "large"),
    ("dev", {"small": HostUse(2, silent=False)}, None),
    ("other", {"small": HostUse(2, silent=False)}, "large"),
]


@pytest.mark.parametrize(("kind", "uses", "chosen"), PLACED)
def test_a_new_server_goes_to_the_first_host_that_has_room_and_answers(
    kind: str, uses: Mapping[str, HostUse], chosen: str | None
) -> None:
    local = DEFAULT.entries["local"]
    small = type(local)("small", "local", {}, capacity=2)
    large = type(local)("large", "local", {})
    catalog = Catalog({"small": small, "large": large}, {"game": ("small", "large"), "dev": ("small",)})
    assert catalog.choose(kind, uses) == chosen
