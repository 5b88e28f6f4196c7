"""What the request path knows: keys, budgets and deployments, held in memory and refreshed when the database says so.

Nothing on the request path waits for Postgres. Replicas listen (`gateway_snapshot`), re-read, and swap the whole
snapshot; a re-read also happens every half minute, for a notification that was lost with its connection.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from ..adapters.access import NOBODY, Access
from ..domain.catalogue import Catalogue, Deployment, catalogue
from ..domain.money import Price
from . import credentials, edge
from .accounts import Account, accounts
from .connecting import Connecting
from .manifests import Provider
from .secrets import Secrets
from .vault import Vault

CHANNEL = "gateway_snapshot"
_EVERY_S = 30.0
_log = structlog.get_logger("inference_gateway.snapshot")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent view. ``accesses`` let calls in, by provider and by the project whose credentials they carry;
    ``own`` are the deployments of projects with credentials of their own."""

    accounts: Mapping[bytes, Account]
    catalogue: Catalogue
    accesses: Mapping[tuple[str, str | None], Access]
    own: Mapping[str, Mapping[tuple[str, str], Deployment]] = field(default_factory=dict)

    def deployments(self, model: str, project_id: str) -> tuple[Deployment, ...]:
        """Who has a model, as a project may call them: by its own credentials where it has some."""
        found = self.catalogue.by_model.get(model, ())
        own = self.own.get(project_id)
        return found if own is None else tuple(own.get((one.provider, one.model), one) for one in found)

    def access(self, deployment: Deployment) -> Access:
        """What lets calls to a deployment in."""
        return self.accesses.get((deployment.provider, deployment.owner), NOBODY)


EMPTY = Snapshot({}, catalogue([]), {})


class Snapshots:
    """Holds the current snapshot and keeps it fresh."""

    def __init__(
        self,
        engine: AsyncEngine,
        providers: Mapping[str, Provider],
        edge_price: Price,
        *,
        secrets: Secrets,
        vault: Vault,
    ) -> None:
        self.current = EMPTY
        self._connecting = Connecting(secrets)
        self._vault = vault
        self._engine = engine
        self._providers = providers
        self._edge_price = edge_price
        self._changed = asyncio.Event()
        self._reading = asyncio.Lock()

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The provider files, as they were read."""
        return self._providers

    async def use(self, providers: Mapping[str, Provider]) -> None:
        """Put other provider files in force; requests that have begun keep the snapshot that they began with."""
        self._providers = providers
        await self.refresh()

    async def refresh(self) -> None:
        """Read everything and swap. One at a time: an older reading never replaces a newer one."""
        async with self._reading:
            self.current = await self._read()

    async def _read(self) -> Snapshot:
        async with self._engine.connect() as connection:
            nodes = await edge.deployments(connection, self._edge_price)
            known = await accounts(connection)
            stored = await credentials.opened(connection, self._vault)
        connected = self._connecting.connect(self._providers, stored)
        return Snapshot(
            accounts=known,
            catalogue=catalogue(connected.deployments + nodes),
            accesses=connected.accesses,
            own=connected.own,
        )

    async def keep_fresh(self, stop: asyncio.Event) -> None:
        """Listen and refresh until ``stop``. A database that is away leaves the last snapshot in force."""
        while not stop.is_set():
            try:
                await self._listen(stop)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, sa.exc.SQLAlchemyError) as error:
                _log.warning("snapshot is not refreshed", error=repr(error))
                await _pause(stop, 1.0)

    async def _listen(self, stop: asyncio.Event) -> None:
        url = make_url(self._engine.url).set(drivername="postgresql")
        connection = await asyncpg.connect(url.render_as_string(hide_password=False), timeout=10)
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._changed.set())
            connection.add_termination_listener(lambda _: self._changed.set())
            while not stop.is_set() and not connection.is_closed():
                self._changed.clear()
                await self.refresh()
                await _first(stop, self._changed, _EVERY_S)
        finally:
            await connection.close(timeout=2)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


async def _first(stop: asyncio.Event, changed: asyncio.Event, seconds: float) -> None:
    waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(changed.wait())]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
