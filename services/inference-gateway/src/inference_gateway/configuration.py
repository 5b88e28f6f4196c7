"""Provider files and prices in force: read anew when asked to, checked first; bad ones leave the old ones in force.

Asked by SIGHUP, by an operator's POST, or by a change of a file. A request holds the snapshot that it began with, so
that none is dropped.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
import structlog

from . import metrics
from .store.manifest_checks import Problem, check, repriced
from .store.manifests import BadManifest, Provider
from .store.snapshot import Snapshots

_LOOK_S = 2.0
_log = structlog.get_logger("inference_gateway.configuration")


@dataclass(frozen=True, slots=True)
class Standing:
    """Since when the configuration in force is, and what is wrong with the files that lie there now."""

    since: datetime
    providers: int
    problems: tuple[Problem, ...] = ()


class Configuration:
    """Reads provider files and gives them to the snapshots. ``load`` raises :class:`BadManifest`."""

    def __init__(
        self, load: Callable[[], Mapping[str, Provider]], folders: Sequence[Path], snapshots: Snapshots
    ) -> None:
        self._load = load
        self._folders = folders
        self._snapshots = snapshots
        self._seen = self._stamp()
        self._asked = asyncio.Event()
        self.standing = Standing(datetime.now(UTC), len(snapshots.providers))

    async def reload(self) -> Standing:
        """Read the files; in force when all of them are good. What was wrong stands in the result."""
        self._seen = self._stamp()
        problems, providers = await asyncio.to_thread(self._read)
        if problems:
            self.standing = Standing(self.standing.since, self.standing.providers, tuple(problems))
            metrics.CONFIGURATION.set(0)
            _log.error("provider files are bad; the old ones stay in force", problems=[str(one) for one in problems])
            return self.standing
        try:
            await self._snapshots.use(providers)
        except (OSError, sa.exc.SQLAlchemyError) as error:
            # The database is away: the next refresh takes the new files.
            _log.warning("provider files wait for the database", error=repr(error)[:300])
        self.standing = Standing(datetime.now(UTC), len(providers))
        metrics.CONFIGURATION.set(1)
        _log.info("provider files are in force", providers=len(providers))
        return self.standing

    async def keep_loaded(self, stop: asyncio.Event) -> None:
        """Reload on SIGHUP and on change, until ``stop``."""
        metrics.CONFIGURATION.set(1)
        self._listen()
        while not stop.is_set():
            if self._asked.is_set() or await asyncio.to_thread(self._stamp) != self._seen:
                self._asked.clear()
                await self.reload()
            waiting = [asyncio.ensure_future(event.wait()) for event in (stop, self._asked)]
            await asyncio.wait(waiting, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()

    def _listen(self) -> None:
        """Take SIGHUP, unless the process has a use for it: in standalone a terminal that closes ends everything."""
        if signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
            return
        try:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # not the main thread, or no such signal here: files are looked at all the same

    def _read(self) -> tuple[list[Problem], Mapping[str, Provider]]:
        problems = check(self._folders)
        if problems:
            return problems, {}
        try:
            found = self._load()
        except BadManifest as error:
            return [Problem("", 1, "", str(error))], {}
        return [Problem("", 1, "prices", text) for text in repriced(self._snapshots.providers, found)], found

    def _stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Names, sizes and times of all files: what changes when one of them does."""
        paths = sorted(path for folder in self._folders for path in folder.glob("*.toml"))
        found = []
        for path in paths:
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.append((str(path), stat.st_size, stat.st_mtime_ns))
        return tuple(found)
