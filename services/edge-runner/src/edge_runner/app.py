"""Composition root: a node with its model, its two ports, its heartbeat, from start to drain."""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from shipjury_delivery.bodies import FORMS, BodyLimits, bounded
from shipjury_delivery.operators import guard
from shipjury_delivery.serving import bind, instrumented
from shipjury_delivery.serving import serve as serve_http

from .announce import Announcer
from .api import public_api
from .domain.holdings import Desired, Wanted
from .holding import Book, Keeper, Shelf, plan
from .memory import memory_of
from .node import Node
from .observed import Meter
from .on_edge_deployment import follow_deployments
from .operator_api import closed_api, operator_api
from .settings import EdgeSettings

log = structlog.get_logger("edge_runner")

Background = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


async def serve(settings: EdgeSettings, model_id: str, engine_name: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the draining at once.

    What was deployed here last is held again; ``model_id`` is what a node begins with before anything was.
    Raises ``PortInUse`` and what :func:`plan` raises.
    """
    node = Node(settings.node_id, memory_of(settings.memory))
    book = Book(settings.state_dir or settings.models_dir, settings.node_id)
    shelf = Shelf(node, settings.load_seconds)
    keeper = Keeper(node, shelf, settings, engine_name, book)
    if book.desired is None:
        shelf.put(plan(settings, model_id, engine_name, node))
        keeper.want(Desired(0, (Wanted(model_id),)))
    else:
        log.info("deployed", generation=book.desired.generation, instead_of=model_id)
        keeper.want(book.desired)
    meter = Meter(node)
    public = bind(settings.public_host, settings.public_port)
    operators = bind(settings.operator_host, settings.operator_port)
    base_url = settings.base_url or f"http://{settings.public_host}:{public.getsockname()[1]}/v1"
    log.info("listening", base_url=base_url, operators=operators.getsockname())
    beats: list[Background] = []
    if servers := settings.kafka_bootstrap_servers:
        announcer = Announcer(
            node,
            bootstrap_servers=servers,
            base_url=base_url,
            heartbeat_seconds=settings.heartbeat_seconds,
            labels=settings.labels,
        )
        beats.append(announcer.run)
    carrying: list[Background] = [keeper.run]
    if servers:
        carrying.append(partial(follow_deployments, settings.node_id, servers, keeper.want))
    await _live(node, settings, shelf, carrying, [*_doors(node, settings, meter, public, operators), *beats])


def _doors(
    node: Node, settings: EdgeSettings, meter: Meter, public: socket.socket, operators: socket.socket
) -> list[Background]:
    """The two ports. Without an operators' key, operators' routes are health and metrics only."""
    limits = BodyLimits(settings.max_body_bytes, settings.bodies_bytes)
    app = instrumented(bounded(public_api(node, settings.token, meter), limits), "edge", "public")
    if settings.operator_key is None:
        operating = bounded(closed_api(operator_api(node, meter)), FORMS)
    else:
        operating = guard(bounded(operator_api(node, meter), FORMS), settings.operator_key.get_secret_value(), "edge")
    return [lambda stop: serve_http(app, public, stop), lambda stop: serve_http(operating, operators, stop)]


async def _live(
    node: Node, settings: EdgeSettings, shelf: Shelf, carrying: Sequence[Background], doors: Sequence[Background]
) -> None:
    """Run everything; on the first signal stop in the order in which nobody loses anything.

    First what changes the models (``carrying``) and what takes new requests, then engines, then doors and beats.
    """
    leave, hurry, stop_engines, stop_doors = (asyncio.Event() for _ in range(4))
    _on_signals(leave, hurry)
    async with asyncio.TaskGroup() as tasks:
        engines = tasks.create_task(shelf.run(stop_engines))
        for run in carrying:
            tasks.create_task(run(leave))
        for run in doors:
            tasks.create_task(run(stop_doors))
        await leave.wait()
        log.info("draining", in_flight=node.in_flight, at_most_seconds=settings.drain_seconds)
        await _first(node.drain(settings.drain_seconds), hurry.wait())
        if node.in_flight:
            log.warning("cut_off", requests=node.in_flight)
        stop_engines.set()
        await asyncio.wait({engines})
        node.stop()
        stop_doors.set()
    log.info("stopped")


async def _first(*waiting: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(one) for one in waiting]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _on_signals(leave: asyncio.Event, hurry: asyncio.Event) -> None:
    def asked() -> None:
        (hurry if leave.is_set() else leave).set()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, asked)
