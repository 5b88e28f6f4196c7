"""``shipjury up``: the embedded parts as children, every service in this process, until it is told to stop."""

import asyncio
import contextlib
import gc
import http.client
import importlib
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .databases import make_databases, migrate
from .display import Display
from .environment import EMBEDDED_MODEL, EMBEDDED_NODE, Addresses, edge_environment, services_environment
from .folder import DataFolder, State
from .log_files import keep_short, services_log_to
from .parts import Parts
from .ports import answers, free_port, listen
from .services import CATALOG, SERVICES, Service

STOP_SECONDS = 1.5
USUAL_KAFKA_PORT = 9092


@dataclass(frozen=True)
class Options:
    """What ``up`` was told."""

    data: Path
    port: int
    operator_port: int
    kafka_port: int | None
    model: str | None
    edge: bool
    starter: bool


def up(options: Options, display: Display) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP. Raises the named errors of :mod:`folder`, :mod:`ports`, :mod:`children`."""
    folder = DataFolder(options.data)
    folder.make()
    folder.lock()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(folder.unlock)
        readers = cleanup.enter_context(listen("127.0.0.1", options.port, "--port"))
        operators = cleanup.enter_context(listen("127.0.0.1", options.operator_port, "--operator-port"))
        if options.kafka_port:
            listen("127.0.0.1", options.kafka_port, "--kafka-port").close()
        asyncio.run(_Run(options, display, folder, readers, operators).run())


def kafka_port(folder: DataFolder, wanted: int | None) -> int:
    """The port that was asked for (0: any free one); else the one of last time, or Kafka's own, where it is free."""
    if wanted is not None:
        return wanted or free_port()
    last = int(folder.note("kafka port") or USUAL_KAFKA_PORT)
    chosen = free_port() if answers(last) else last
    folder.remember("kafka port", str(chosen))
    return chosen


class _Run:
    """One run: from nothing to serving, and back."""

    def __init__(
        self, options: Options, display: Display, folder: DataFolder, readers: socket.socket, operators: socket.socket
    ) -> None:
        self.options, self.display, self.folder = options, display, folder
        self.readers, self.operators = readers, operators
        self.model = options.model or EMBEDDED_MODEL
        self.parts = Parts(folder, kafka_port(folder, options.kafka_port))
        self.stop = asyncio.Event()
        self.edge_operators = free_port()

    async def run(self) -> None:
        self._listen_to_signals()
        try:
            with self.display.step("Starting Postgres, Redis, the broker and the engine", "2 s"):
                addresses = self._spawn()
                os.environ.update(services_environment(self.folder, addresses, self.model))
                await asyncio.to_thread(_import_services)  # while the parts start
                await asyncio.to_thread(self._wait_for_parts)
            self.watching = asyncio.create_task(self.parts.watch(self.parts.all, self.stop, self.display.warn))
            with self.display.step("Making databases and topics", "5 s the first time"):
                await make_databases(self.parts.postgres, self.folder)
                await migrate(self.parts.postgres, self.folder, [service.package for service in SERVICES])
            if not self.stop.is_set():
                await self._serve(addresses)
        finally:
            self.stop.set()
            self.display.close()
            self.folder.tell_stopped()
            await asyncio.to_thread(self.parts.stop)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def asked() -> None:
            if self.stop.is_set():
                os._exit(130)  # asked twice: the children end with us
            self.display.close()
            self.display.say("Stopping.")
            self.stop.set()
            self.parts.stop_edge()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, asked)

    def _spawn(self) -> Addresses:
        """Start every part; called in the main thread, whose death ends them."""
        parts = self.parts
        parts.broker.spawn()
        parts.postgres.spawn()
        parts.redis.spawn()
        addresses = Addresses(
            postgres=f"127.0.0.1:{parts.postgres.port}",
            redis_url=parts.redis.url,
            kafka=f"127.0.0.1:{parts.broker.port}",
            readers=f"http://127.0.0.1:{self.readers.getsockname()[1]}",
            operators=f"http://127.0.0.1:{self.operators.getsockname()[1]}",
            edge=f"http://127.0.0.1:{free_port()}",
        )
        if self.options.edge:
            model = self.options.model if self.options.model and ":" not in self.options.model else EMBEDDED_MODEL
            parts.add_edge(edge_environment(self.folder, addresses, self.edge_operators, model))
        return addresses

    def _wait_for_parts(self) -> None:
        for part in self.parts.all:
            part.wait()

    async def _serve(self, addresses: Addresses) -> None:
        from shipjury_delivery import process, telemetry
        from shipjury_delivery.serving import serve

        telemetry.set_up("standalone")
        services_log_to(self.folder.logs / "services.jsonl")
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        async with contextlib.AsyncExitStack() as stack:
            running = [await _enter(stack, service) for service in SERVICES]
            public, operators = self._origins(running)
            parts = [process.run_background(one.service.name, one.api.background, self.stop) for one in running]
            parts += [serve(public, self.readers, self.stop), serve(operators, self.operators, self.stop)]
            parts.append(self._work(running, addresses))
            try:
                await _within(STOP_SECONDS, process.together(self.stop, *parts), self.stop)
            finally:
                telemetry.tear_down()

    async def _work(self, running: "list[_Running]", addresses: Addresses) -> None:
        """What the first page need not wait for: the workers, the edge runner, the starter catalog."""
        from shipjury_delivery import process

        from .space import watch_space

        await asyncio.to_thread(_ask_for_a_page, self.readers.getsockname()[1])
        if self.stop.is_set():
            return
        self._tell_where(addresses)
        await asyncio.to_thread(importlib.import_module, "shipjury_delivery.working")
        await _make_topics(running)
        loops = [process.run_worker(one.worker, self.stop) for one in running]
        loops.append(keep_short(self.folder.traces, self.stop))
        loops.append(watch_space(lambda: self.folder.free, self.stop, self.display.warn))
        if self.parts.edge:
            self.parts.edge.spawn()  # not sooner: its model takes the cores that the site needs to start
            loops.append(self.parts.watch([self.parts.edge], self.stop, self.display.warn))
            self._tell_state(addresses)
        after = asyncio.create_task(self._after_start(addresses))
        try:
            await process.together(self.stop, *loops)
        finally:
            after.cancel()
            await asyncio.gather(after, return_exceptions=True)

    def _origins(self, running: "list[_Running]") -> tuple[Any, Any]:
        from shipjury_delivery import operators, process

        from .origins import by_prefix, forward, index

        public = {
            prefix: process.public_app(one.api, one.settings) for one in running for prefix in one.service.prefixes
        }
        key = self.folder.secret("operators' key")
        behind: dict[str, Any] = {one.service.name: process.operators_app(one.api, one.settings) for one in running}
        if self.options.edge:
            behind["edge"] = operators.guard(forward(f"http://127.0.0.1:{self.edge_operators}"), key, "edge")
        front = operators.guard(index(sorted(behind)), key, "operators")
        site = next(process.public_app(one.api, one.settings) for one in running if one.service is CATALOG)
        return by_prefix(public, site), by_prefix(behind, front)

    def _tell_state(self, addresses: Addresses) -> None:
        """Write down where everything is, for the other commands."""
        self.folder.tell(
            State(
                pid=os.getpid(),
                readers=addresses.readers,
                operators=addresses.operators,
                kafka=addresses.kafka,
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
                environment={
                    name: value
                    for name, value in os.environ.items()
                    if name.startswith(("SHIPJURY_", "EDGE_", *(service.settings_prefix for service in SERVICES)))
                }
                | self._of_the_node(),
                children=self.parts.pids(),
            )
        )

    def _of_the_node(self) -> dict[str, str]:
        """What the commands about the embedded node need to find it."""
        if not self.options.edge:
            return {}
        return {"EDGE_NODE_ID": EMBEDDED_NODE, "EDGE_OPERATOR_PORT": str(self.edge_operators)}

    def _tell_where(self, addresses: Addresses) -> None:
        self._tell_state(addresses)
        say = self.display.say
        say(f"\n  The site       {addresses.readers}")
        say(f"  For operators  {addresses.operators}  (key: ./shipjury status --key)")
        say(f"  Events         {addresses.kafka}  (any Kafka client)")
        say(f"  Judged by      {self.model}{'' if self.options.edge else ', no edge runner'}")
        say(f"\nUp after {self.display.seconds:.1f} s. Ctrl-C stops everything; nothing is lost.")

    async def _after_start(self, addresses: Addresses) -> None:
        """What may happen while the site answers already: the starter catalog, and a look at the panel's progress."""
        from aiokafka.errors import KafkaError

        from .progress import watch_panel
        from .starter import load_starter_catalog

        told = False
        while not self.stop.is_set():
            try:
                tools = await load_starter_catalog(self.folder) if self.options.starter else 0
                await watch_panel(addresses.kafka, tools, self.display.judged, self.stop)
                return
            except KafkaError:  # the broker is being started again
                await asyncio.sleep(1)
            except Exception:
                logging.getLogger("shipjury.standalone").exception("the starter catalog or its progress")
                if not told:
                    self.display.warn(
                        "The starter catalog is not complete; it is tried again. ./shipjury logs says why."
                    )
                told = True
                await asyncio.sleep(5)


async def _within(seconds: float, work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run ``work``; once ``stop`` is set it has so many seconds to end. What is cut off is done again after a start."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    done, _ = await asyncio.wait({working}, timeout=seconds)
    if not done:
        logging.getLogger("shipjury.standalone").info("cut off what did not end in time")
        working.cancel()
    await asyncio.gather(working, return_exceptions=not done)


@dataclass(frozen=True)
class _Running:
    service: Service
    settings: Any
    api: Any
    worker: Any


async def _enter(stack: contextlib.AsyncExitStack, service: Service) -> _Running:
    app = importlib.import_module(f"{service.package}.app")
    settings = importlib.import_module(f"{service.package}.settings").Settings()
    api = await stack.enter_async_context(app.api(settings))
    worker = await stack.enter_async_context(app.worker(settings))
    return _Running(service, settings, api, worker)


def _ask_for_a_page(port: int) -> None:
    """Wait until it answers, whatever it answers."""
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(asking), contextlib.suppress(OSError, http.client.HTTPException):
        asking.request("GET", "/")
        asking.getresponse().read()


async def _make_topics(running: list[_Running]) -> None:
    from shipjury_delivery.topics import ensure_topics

    subscriptions = [subscription for one in running for subscription in one.worker.subscriptions]
    await ensure_topics(running[0].settings, subscriptions)


def _import_services() -> None:
    gc.disable()  # nothing of what is imported becomes garbage; looking for some takes a tenth of the time
    for service in SERVICES:
        importlib.import_module(f"{service.package}.app")
    importlib.import_module("shipjury_delivery.process")
    gc.freeze()
    gc.enable()
