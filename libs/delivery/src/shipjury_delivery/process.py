"""How a service runs: its API on two ports, its worker, its migrations; alone or many in one process."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import structlog
import typer

from . import parked, telemetry
from .bad_settings import commands_of
from .bodies import bounded
from .database import create_engine
from .health import broker_check, database_check, nothing_here, with_health
from .migrations import upgrade
from .operators import guard
from .roles import Api, AsgiApp, Worker
from .serving import PortInUse, bind, instrumented, serve
from .settings import ServiceSettings
from .tasks import Background, run_background, together

__all__ = [
    "Api",
    "Background",
    "Worker",
    "operators_app",
    "public_app",
    "run_api",
    "run_background",
    "run_until_stopped",
    "run_worker",
    "service_cli",
    "together",
]

_log = structlog.get_logger("shipjury.process")


def public_app(api: Api, settings: ServiceSettings) -> AsgiApp:
    """The readers' app of a service, measured and bounded; for a process that serves many services on one port."""
    return instrumented(bounded(api.public, api.public_bodies), settings.service, "public")


def operators_app(api: Api, settings: ServiceSettings) -> AsgiApp:
    """The operators' app of a service: measured and bounded, with healthz, readyz and metrics, behind their key."""
    checks = {"database": database_check(settings.database_url.get_secret_value()), **api.ready}
    operator = instrumented(bounded(api.operator, api.operator_bodies), settings.service, "operators")
    app = with_health(operator, settings.service, checks)
    return guard(app, settings.operator_key.get_secret_value(), settings.service)


async def run_api(api: Api, settings: ServiceSettings, stop: asyncio.Event) -> None:
    """Serve an API on its two ports, and run its loops, until ``stop``. Raises ``PortInUse``."""
    public = bind(settings.public_host, settings.public_port)
    try:
        operators = bind(settings.operator_host, settings.operator_port)
    except PortInUse:
        public.close()
        raise
    _log.info("api serves", service=settings.service, public=public.getsockname(), operators=operators.getsockname())
    await together(
        stop,
        serve(public_app(api, settings), public, stop),
        serve(operators_app(api, settings), operators, stop),
        run_background(settings.service, api.background, stop),
    )


async def run_worker(worker: Worker, stop: asyncio.Event) -> None:
    """Run a worker's relay, subscribers, jobs and loops until ``stop``, and its health on its own port."""
    from .working import Working  # FastStream and aiokafka: half a second that an API or a command need not wait

    working = Working(worker)
    parts: list[Coroutine[Any, Any, None]] = [
        working.run(stop),
        run_background(worker.service, worker.background, stop),
    ]
    if worker.settings.worker_port:
        checks = {
            "database": database_check(worker.engine),
            "broker": broker_check(worker.settings.kafka_bootstrap_servers),
            **working.checks(),
            **worker.ready,
        }
        listening = bind(worker.settings.operator_host, worker.settings.worker_port)
        app = guard(
            with_health(nothing_here, worker.service, checks),
            worker.settings.operator_key.get_secret_value(),
            worker.service,
        )
        parts.append(serve(app, listening, stop))
    _log.info("worker runs", service=worker.service, groups=[one.group for one in worker.subscriptions])
    await together(stop, *parts)


def service_cli(
    service: str,
    settings: type[ServiceSettings],
    api: Callable[[Any], AbstractAsyncContextManager[Api]],
    worker: Callable[[Any], AbstractAsyncContextManager[Worker]],
) -> typer.Typer:
    """The service's command line: ``api``, ``worker``, ``migrate``, ``topics``, ``parked``; the service adds its own.

    ``service`` is the name in paths (``votes``, ``gateway``); the package with the migrations is the one that
    ``settings`` is defined in.
    """
    cli = typer.Typer(cls=commands_of(settings), no_args_is_help=True, help=f"The {service} service.")
    package = settings.__module__.partition(".")[0]

    @cli.command("api")
    def run_the_api() -> None:
        """Serve readers and operators until SIGTERM."""

        async def main(stop: asyncio.Event) -> None:
            loaded = settings()
            async with api(loaded) as running:
                _spare_the_collector()
                await run_api(running, loaded, stop)

        run_until_stopped(f"{service}-api", main)

    @cli.command("worker")
    def run_the_worker() -> None:
        """Relay the outbox, apply events and do jobs until SIGTERM."""

        async def main(stop: asyncio.Event) -> None:
            async with worker(settings()) as running:
                await run_worker(running, stop)

        run_until_stopped(f"{service}-worker", main)

    @cli.command("migrate")
    def migrate() -> None:
        """Bring the database to the newest revision; safe to run many times at once."""

        async def main(_: asyncio.Event) -> None:
            changed = await upgrade(package, settings().database_url.get_secret_value())
            typer.echo("migrated" if changed else "already at the newest revision")

        run_until_stopped(f"{service}-migrate", main)

    @cli.command("topics")
    def topics() -> None:
        """Create the topics that are missing: every event's, and the dead letters' of this service's subscribers."""

        async def main(_: asyncio.Event) -> None:
            from .topics import ensure_topics

            loaded = settings()
            async with worker(loaded) as running:
                for name in await ensure_topics(loaded, running.subscriptions):
                    typer.echo(f"created {name}")

        run_until_stopped(f"{service}-topics", main)

    @cli.command("parked")
    def show_parked(
        release: Annotated[int | None, typer.Option(help="Try this row again.")] = None,
        discard: Annotated[int | None, typer.Option(help="Give this row up: its event is never sent.")] = None,
    ) -> None:
        """List outbox rows that the broker refuses; each holds up the rows of its own key."""

        async def main(_: asyncio.Event) -> None:
            await _parked(settings(), release, discard)

        run_until_stopped(f"{service}-parked", main)

    return cli


async def _parked(settings: ServiceSettings, release: int | None, discard: int | None) -> None:
    engine = create_engine(settings, size=1, overflow=0)
    try:
        async with engine.begin() as connection:
            for row_id, act in ((release, parked.release), (discard, parked.discard)):
                if row_id is not None and not await act(connection, row_id):
                    typer.echo(f"row {row_id} is not parked", err=True)
                    raise typer.Exit(1)
            for row in await parked.parked(connection):
                typer.echo(
                    f"{row.id} {row.topic} key={row.key} {row.bytes} bytes, {row.waiting} behind it: {row.error}"
                )
    finally:
        await engine.dispose()


def _spare_the_collector() -> None:
    """For a process that only serves: what is loaded by now stays, and a request leaves next to no cycles. The
    collector need not walk the one again in the middle of the other, nor look after every few hundred objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


def run_until_stopped(name: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``main(stop)`` in a loop of our own; SIGTERM and SIGINT set ``stop``, a second one ends at once."""
    telemetry.set_up(name)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def asked() -> None:
            if stop.is_set() and task:
                task.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked)
        await main(stop)

    try:
        asyncio.run(run())
    except PortInUse as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except asyncio.CancelledError as error:
        raise typer.Exit(130) from error
    finally:
        telemetry.tear_down()
