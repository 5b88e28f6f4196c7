"""Runs an engine that brings processes of its own, so that none of them outlives the runner.

``python -m edge_runner.leash --parent PID -- COMMAND ...``. An engine such as vLLM is a tree of processes that does not
follow its parent. This one stays above it: when the runner asks, or is gone, the tree is asked to end and then killed.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_SECONDS = 4.0


class _Asked(Exception):
    """A signal to end has come."""


def main() -> int:
    """Run the command and end as it ended. Its standard output goes to standard error: that is where logs are read."""
    options = _options()
    signal.signal(signal.SIGTERM, _ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner drains first
    _follow(options.parent)
    engine: subprocess.Popen[bytes] | None = None
    with places(options.folder) as env:
        try:
            engine = subprocess.Popen(
                options.command,
                stdout=sys.stderr.fileno(),
                preexec_fn=_limit(options.memory_limit),
                env=os.environ | env,
            )
            code = engine.wait()
        except FileNotFoundError as error:
            sys.stderr.write(f"engine did not start: {error}\n")
            return 127
        except _Asked:
            code = 0
            _end(engine)
        _kill(_descendants(os.getpid()))
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def places(folder: Path | None) -> Iterator[dict[str, str]]:
    """Where an engine writes, as variables of its environment.

    A temporary folder of its own, which goes with it: a killed vLLM leaves its sockets there. A home below ``folder``,
    where there is none to write to: compiled kernels are kept there. Where nothing can be written, it is left alone.
    """
    env: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for parent in (None, folder):
            with contextlib.suppress(OSError):
                env["TMPDIR"] = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="edge-", dir=parent, ignore_cleanup_errors=True)
                )
                break
        if folder is not None and not _home_is_writable():
            with contextlib.suppress(OSError):
                (folder / "home").mkdir(parents=True, exist_ok=True)
                env["HOME"] = str(folder / "home")
        yield env


def _home_is_writable() -> bool:
    try:
        return os.access(Path.home(), os.W_OK | os.X_OK)
    except RuntimeError:  # a user that the host has no name for
        return False


def _follow(parent: int) -> None:
    """Hear of the parent's death as of any other wish to end; see what the engine's own processes leave behind."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent:  # it died before we asked
        raise SystemExit(1)


def _limit(most: int):  # type: ignore[no-untyped-def]  # the type that Popen wants has no name
    """Sets the limit in the engine itself: ``most`` bytes of data in each of its processes; 0 for any."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    return limit if most else None


def _ask(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Asked


def _end(engine: "subprocess.Popen[bytes] | None") -> None:
    """Ask the engine, wait a little."""
    if engine is None:
        return
    engine.terminate()
    try:
        engine.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        engine.kill()


def _kill(processes: Iterable[int]) -> None:
    """Kill what is left of the tree, until nothing is."""
    until = time.monotonic() + GRACE_SECONDS
    while (left := list(processes)) and time.monotonic() < until:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _reap()
        processes = _descendants(os.getpid())


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _descendants(process: int) -> list[int]:
    """Children, and theirs. Orphans of the tree are ours: we asked to inherit them."""
    import psutil

    return [child.pid for child in psutil.Process(process).children(recursive=True)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="process that this one dies with")
    parser.add_argument("--port", type=int, required=True, help="where the engine listens; to tell engines apart")
    parser.add_argument("--memory-limit", type=int, default=0, help="bytes of data a process may have; 0 for any")
    parser.add_argument("--folder", type=Path, help="a folder to write to, where home and /tmp cannot be")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
