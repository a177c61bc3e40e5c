"""`forbear up`: PostgreSQL, Redis, the web server, the workers and the controller as one tree of processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from jobs import up_double
from jobs.forked import can_fork, load
from jobs.interrupts import Interrupted, Interrupts
from jobs.queues import QUEUES
from jobs.supervisor import Part, Supervisor
from storage.embedded import EmbeddedError, Postgres, Redis
from storage.embedded.folder import is_free, write_private
from storage.embedded.locks import LockHeld, take_lock

ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT_SECONDS = 90.0
READY_POLL_SECONDS = 0.05
LOOK_EVERY_SECONDS = 0.25


class UpError(Exception):
    """`forbear up` cannot start or go on; says what, where and what to do."""

    def __init__(self, problem: str, remedy: str, *, log_lines: list[str] | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.log_lines = log_lines or []
        super().__init__("\n    ".join([f"{problem}; {remedy}", *self.log_lines]))


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".forbear"),
    show_default=True,
    help="Where databases, servers, mail, secrets and logs live. Made when missing.",
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="Where to serve, on 127.0.0.1."
)
@click.option("--test-clock", is_flag=True, help="Let an admin move the clock. For demos and tests only.")
@click.option(
    "--stripe-double", is_flag=True, help="Let a stand-in take Stripe's place. For trying things out, from the source."
)
@click.option(
    "--stripe-double-with",
    metavar="HOW",
    help="A stand-in that behaves so: `twice,shuffled,off,delay=5,retries=1+2+3,after=unpaid`, or some of these.",
)
def up(data: Path, port: int, test_clock: bool, stripe_double: bool, stripe_double_with: str | None) -> None:
    """Run everything on the embedded default, until Ctrl-C or SIGTERM.

    A second start on the same folder goes on where the first stopped. FORBEAR_DATABASE_URL and FORBEAR_REDIS_URL, when
    set, are used instead of the embedded servers. STRIPE_WEBHOOK_SECRET and FORBEAR_ADMIN_TOKEN are made once when they
    are not set.
    """
    double = stripe_double_with if stripe_double_with is not None else "" if stripe_double else None
    run(data.absolute(), port, test_clock=test_clock, stripe_double=double)


def run(data: Path, port: int, *, test_clock: bool, stripe_double: str | None = None) -> None:
    """Start everything, look after it until a signal, and stop it in order. Raises UpError, StorageError.

    INVARIANT: whatever ends it, also a signal in the middle of the start, every process that it started is gone then.
    """
    interrupts = Interrupts()
    interrupts.listen()
    with contextlib.suppress(Interrupted), ExitStack() as stack:
        try:
            interrupts.raise_from_now()
            servers, supervisor = start(
                data, port, stack, interrupts, test_clock=test_clock, stripe_double=stripe_double
            )
            wait_until_ready(supervisor, port)
            if stripe_double is not None:
                say(f"Stripe's stand-in, with a desk for cards, time and what it sends: {stand_in(supervisor)}")
            say(f"ready http://127.0.0.1:{port}")
        finally:
            interrupts.only_count()
        while not interrupts.wait(LOOK_EVERY_SECONDS):
            look_after(servers, supervisor, interrupts)
        say("stopping; a second Ctrl-C does not wait for work in hand")


def start(
    data: Path, port: int, stack: ExitStack, interrupts: Interrupts, *, test_clock: bool, stripe_double: str | None
) -> tuple[list[Postgres | Redis], Supervisor]:
    """Start everything; what was started is on the stack, to be stopped in the opposite order.

    stripe_double: how a stand-in behaves that takes Stripe's place; None: there is none.
    """
    if hosts_file := os.environ.get("FORBEAR_HOSTS_FILE", "").strip():
        from jobs.hosts.catalog import read_catalog

        read_catalog(Path(hosts_file))  # its faults are told here, and not in the logs of six processes
    if os.environ.get("FORBEAR_EDGE_FILE"):
        from jobs.edge.catalog import check_edge_file

        check_edge_file(os.environ)  # as above
    if invoice_file := os.environ.get("FORBEAR_INVOICE_FILE", "").strip():
        from jobs.invoices.creditor import read_creditor

        read_creditor(Path(invoice_file))
    double = up_double.environment_beside(port, stripe_double) if stripe_double is not None else {}
    stack.enter_context(only_one(data))
    if not is_free(port):
        raise UpError(f"port {port} of 127.0.0.1 is in use", "stop what listens there, or choose another --port")
    (data / "port").write_text(f"{port}\n", encoding="ascii")  # for the links that commands beside it print
    servers = start_servers(data, stack)
    environment = environment_of_children(data, port, test_clock=test_clock) | double | addresses(servers)
    up_double.tell_commands(data, double)
    prepare_database(environment)
    beside = [up_double.service_of(environment, data, stripe_double)] if stripe_double is not None else []
    if can_fork():
        load()
    supervisor = Supervisor([*beside, *parts(data)], environment, say)
    stack.callback(stop_game_servers, data)
    stack.callback(supervisor.stop, interrupts.is_hurried)
    supervisor.start()
    return servers, supervisor


def stand_in(supervisor: Supervisor) -> str:
    """Return where the stand-in for Stripe is."""
    return supervisor.environment["STRIPE_API_BASE"]


def say(line: str) -> None:
    """Print a line at once. A reader that has gone away is no reason to stop serving."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


@contextlib.contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the data folder, made when missing, for this process alone."""
    try:
        if not data.exists():
            data.mkdir(parents=True, mode=0o700)
        (data / "logs").mkdir(mode=0o700, exist_ok=True)
        lock = take_lock(data / "lock")
    except LockHeld as held:
        problem = f"another `forbear up` ({held.who}) runs on `{data}`"
        raise UpError(problem, "stop it first, or choose another folder with --data") from held
    except OSError as error:
        problem = f"the folder `{data}` cannot be used: {(error.strerror or '').lower()}: `{error.filename}`"
        raise UpError(problem, "choose another with --data") from error
    try:
        yield
    finally:
        os.close(lock)


def start_servers(data: Path, stack: ExitStack) -> list[Postgres | Redis]:
    """Start the embedded servers that the environment does not replace; the stack stops them."""
    servers: list[Postgres | Redis] = []
    if not os.environ.get("FORBEAR_DATABASE_URL"):
        if not (data / "postgres" / "cluster").exists():
            say("making the database (once)")
        servers.append(Postgres.start(data / "postgres"))
        stack.callback(servers[-1].stop)
    if not os.environ.get("FORBEAR_REDIS_URL"):
        servers.append(Redis.start(data / "redis"))
        stack.callback(servers[-1].stop)
    return servers


def addresses(servers: list[Postgres | Redis]) -> dict[str, str]:
    """Return the environment variables that tell where the embedded servers are."""
    names = {Postgres: "FORBEAR_DATABASE_URL", Redis: "FORBEAR_REDIS_URL"}
    return {names[type(server)]: server.url for server in servers}


def environment_of_children(data: Path, port: int, *, test_clock: bool) -> dict[str, str]:
    """Return what every child process is told: the caller's environment, and what is ours."""
    environment = dict(os.environ)
    environment.pop("FORBEAR_TEST_CLOCK", None)
    environment |= {
        "FORBEAR_DATA": str(data),
        "FORBEAR_PORT": str(port),
        "FORBEAR_UP_PID": str(os.getpid()),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
    }
    if test_clock:
        environment["FORBEAR_TEST_CLOCK"] = "1"
    for name, given in os.environ.items():
        if name.startswith("FORBEAR_") and name.endswith(("_FILE", "_DIR")) and given.strip():
            environment[name] = str(Path(given.strip()).absolute())  # children start in another folder
    for name, prefix in (("FORBEAR_ADMIN_TOKEN", ""), ("STRIPE_WEBHOOK_SECRET", "whsec_")):
        if not environment.get(name):
            environment[name] = own_secret(data / "secrets" / name.lower(), prefix, name)
    return environment


def own_secret(file: Path, prefix: str, name: str) -> str:
    """Return the secret in this file, made once. Its place is told, its value never."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if not file.exists():
        write_private(file, prefix + secrets.token_urlsafe(32) + "\n")
    say(f"{name} is not set: using the one in {file}")
    return file.read_text(encoding="ascii").strip()


def prepare_database(environment: dict[str, str]) -> None:
    """Bring the tables up to date and put the policy folder in force."""
    from jobs.stripe.reader import require_key
    from storage.migrate import upgrade
    from storage.policies import deploy_folder
    from storage.settings import Settings

    settings = Settings.from_env(environment)
    require_key(settings)
    upgrade(settings.database_url)
    deploy_folder(settings.database_url, settings.policy_dir, settings.policy_overrides, by="forbear up")


def parts(data: Path) -> list[Part]:
    """Return the processes that make up the system, each with its log."""
    commands = [["serve"], *(["worker", queue] for queue in QUEUES), ["controller"]]
    return [Part(words, data / "logs" / f"{'-'.join(words)}.log") for words in commands]


def wait_until_ready(supervisor: Supervisor, port: int) -> None:
    """Return once the health page says that all is well, and every worker and the controller are at work.

    Raises UpError when a process ends, or it takes too long.
    """
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    missing = ["serve"]
    while True:
        if ended := supervisor.first_ended():
            problem = f"`forbear {ended.name}` ended at its start (status {ended.exit_status()})"
            raise UpError(problem, f"its log is {ended.log} and ends", log_lines=ended.last_words())
        if is_healthy(port):
            missing = not_at_work(supervisor)
            if not missing:
                return
        if time.monotonic() > deadline:
            raise UpError(
                f"not ready within {READY_TIMEOUT_SECONDS:.0f} s: `forbear {missing[0]}`",
                f"the logs are in {supervisor.services[0].log.parent}",
                log_lines=next(service for service in supervisor.services if service.name == missing[0]).last_words(),
            )
        time.sleep(READY_POLL_SECONDS)


def is_healthy(port: int) -> bool:
    """Ask the health page once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def not_at_work(supervisor: Supervisor) -> list[str]:
    """Name the processes, but the web server, which answers for itself, that have not registered in the database."""
    from storage import processes
    from storage.database import engine_of

    engine = engine_of(supervisor.environment["FORBEAR_DATABASE_URL"], pool_size=1)
    try:
        with engine.begin() as conn:
            alive = {process.pid for process in processes.listed(conn) if process.alive}
    finally:
        engine.dispose()
    away = [
        service.name
        for service in supervisor.services
        if service.name not in ("serve", up_double.NAME) and (service.child is None or service.child.pid not in alive)
    ]
    if any(service.name == up_double.NAME for service in supervisor.services):
        away += [] if up_double.is_listening(supervisor.environment) else [up_double.NAME]
    return away


def look_after(servers: list[Postgres | Redis], supervisor: Supervisor, interrupts: Interrupts) -> None:
    """Start again what has crashed. A server that comes back at another address takes all processes along."""
    before = addresses(servers)
    for server in servers:
        if not server.is_running():
            say(f"{server.name} has ended, starting it again; its log: {server.log}")
            try:
                interrupts.raise_from_now()
                server.run()
            except EmbeddedError as error:
                say(f"{error}; trying again")
            finally:
                interrupts.only_count()
    if addresses(servers) != before:
        supervisor.restart(supervisor.environment | addresses(servers))
    supervisor.look_after()


def stop_game_servers(data: Path) -> None:
    """Stop every server of the local host: after the controller, which would start them again."""
    from jobs.hosts.local.host import stop_everything

    stop_everything(data)
