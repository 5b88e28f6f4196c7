"""Composition: settings become engines, pools and loops here, and nowhere else."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from uuid_utils import uuid7

from shipjury_delivery import Api, Worker
from shipjury_delivery.bodies import BodyLimits

from . import ledger_worker, on_edge_benchmarked, on_edge_node
from .api.dispatch import Dispatch
from .api.public import public_api
from .api.requests import Requests
from .api.settling import Settling
from .api.upstream import Upstreams
from .configuration import Configuration
from .operator_api import operator_api
from .settings import Settings
from .store import accounts, edge, manifests
from .store.admission import Admission, Reaper, RedisAway, Streams
from .store.handing_over import HandingOver
from .store.journal import Journal
from .store.remembering import Remembering
from .store.resp import RedisPipe
from .store.secrets import Secrets
from .store.snapshot import Snapshots
from .store.vault import Vault
from .watching import Watch

SERVICE = "gateway"
_LOOK_S = 10.0


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The API: ready once keys, providers and nodes are read, and the instance has shown that it lives."""
    engine = _engine(settings)
    pipe = RedisPipe(settings.redis_url.get_secret_value(), deadline_s=settings.admission_seconds)
    admission = Admission(pipe, str(uuid7()))
    remembering = Remembering(admission, engine)
    journal = Journal(settings.journal_dir, admission.instance)
    settling = Settling(admission, remembering, journal)
    upstreams = Upstreams(
        edge_networks=settings.edge_networks, edge_token=settings.edge_token, connect_s=settings.connect_seconds
    )
    vault = Vault(settings.credentials_keys)
    snapshots = Snapshots(
        engine,
        providers(settings),
        edge.edge_price(settings.edge_input_price, settings.edge_output_price),
        secrets=Secrets(os.environ, settings.credentials_dir),
        vault=vault,
    )
    try:
        await _bootstrap(engine, settings)
        await snapshots.refresh()
        configuration = Configuration(partial(providers, settings), provider_folders(settings), snapshots)
        requests = Requests(settings, snapshots, admission, settling, upstreams)
        rest = public_api(engine, snapshots, requests.authenticate, requests.health)
        yield Api(
            public=Dispatch(requests, rest),
            public_bodies=BodyLimits(settings.max_body_bytes, settings.bodies_bytes),
            operator=operator_api(engine, snapshots, vault, pipe, configuration),
            background=(
                snapshots.keep_fresh,
                configuration.keep_loaded,
                partial(_beat, admission, remembering, settings.heartbeat_seconds),
                settling.keep_trying,
                partial(_hand_over, HandingOver(journal, admission, pipe, engine)),
                partial(ledger_worker.keep_open, pipe, engine, 3 * settings.heartbeat_seconds),
            ),
        )
        await requests.close()
        await settling.flush()
    finally:
        journal.close()
        await upstreams.close()
        await pipe.close()
        await engine.dispose()


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """The worker: the ledger, dead instances, edge nodes, and the relay of `inference.usage.v1`."""
    engine = _engine(settings)
    pipe = RedisPipe(settings.redis_url.get_secret_value(), deadline_s=10.0)
    try:
        yield Worker(
            service=SERVICE,
            engine=engine,
            settings=settings,
            subscriptions=(on_edge_node.SUBSCRIPTION, on_edge_benchmarked.SUBSCRIPTION),
            background=(
                partial(ledger_worker.keep_ledger, Streams(pipe), engine),
                partial(
                    ledger_worker.keep_reaping,
                    Reaper(pipe, settings.instance_dead_seconds),
                    settings.instance_dead_seconds / 3,
                ),
                partial(_watch(engine, settings).keep_watching, settings.watch_seconds),
            ),
        )
    finally:
        await pipe.close()
        await engine.dispose()


def _watch(engine: AsyncEngine, settings: Settings) -> Watch:
    floors = {"cost": float(settings.anomaly_floor_usd * 10**9), "requests": settings.anomaly_floor_requests}
    return Watch(engine, floors)


async def _beat(admission: Admission, remembering: Remembering, every_s: float, stop: asyncio.Event) -> None:
    async def once() -> float:
        await admission.beat()
        await remembering.look()
        return every_s

    await ledger_worker.repeat(once, stop)
    try:
        await admission.leave()
    except RedisAway:
        pass  # Its open attempts, if there are any, become uncertain; there is nothing else to do.


async def _hand_over(handing_over: HandingOver, stop: asyncio.Event) -> None:
    """Hand over what earlier processes left in the journal's folder, at once and then from time to time."""

    async def once() -> float:
        await handing_over.look()
        return _LOOK_S

    await ledger_worker.repeat(once, stop)


async def _bootstrap(engine: AsyncEngine, settings: Settings) -> None:
    """Make sure that the first project and key exist; doing it again changes nothing."""
    async with engine.begin() as connection:
        await accounts.make_project(connection, settings.bootstrap_project)
        if settings.bootstrap_key is not None:
            await accounts.make_key(
                connection, settings.bootstrap_project, "bootstrap", key=settings.bootstrap_key.get_secret_value()
            )


def providers(settings: Settings) -> dict[str, manifests.Provider]:
    """All providers, with the operator's own credentials. Raises :class:`manifests.BadManifest`."""
    return manifests.load(
        provider_folders(settings), os.environ, urls=settings.provider_urls, credentials=settings.credentials_dir
    )


def provider_folders(settings: Settings) -> list[Path]:
    """Where provider files lie: those that the gateway ships, then the operator's own."""
    folders = [manifests.shipped()] if settings.shipped_providers else []
    return folders + ([settings.providers_dir] if settings.providers_dir else [])


def _engine(settings: Settings) -> AsyncEngine:
    return create_async_engine(settings.database_url.get_secret_value(), pool_pre_ping=True, pool_size=5)
