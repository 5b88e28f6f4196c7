"""Composition root: a node with its model, its two ports, its heartbeat, from start to drain."""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from shipjury_delivery.operators import guard
from shipjury_delivery.serving import bind, instrumented
from shipjury_delivery.serving import serve as serve_http

from .admission import Gate
from .announce import Announcer
from .api import public_api
from .domain import fit
from .domain.models import Model
from .engines import ServeSpec, engine_named
from .engines.supervisor import Supervisor
from .memory import memory_of
from .model_list import load_models
from .node import Holding, Node
from .observed import Meter
from .operator_api import closed_api, operator_api
from .settings import EdgeSettings
from .weights import LocalWeights, find_weights

_DEFAULT_CONTEXT = 2048
log = structlog.get_logger("edge_runner")

Background = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def plan(settings: EdgeSettings, model_id: str, engine_name: str, node: Node) -> Holding:
    """A model as this node would serve it.

    Raises ``UnknownModel``, ``WeightsMissing``, ``WrongHash``; ``ValueError`` for a setting that cannot be.
    """
    model = load_models(settings.model_list).find(model_id)
    engine = engine_named(engine_name)
    weights = find_weights(model, settings.models_dir)
    check_room(settings, model, weights)
    spec = ServeSpec(
        model=model.id,
        path=weights.path,
        context=_context(settings, model),
        slots=settings.slots,
        threads=settings.threads,
        cache_ram_mib=settings.cache_ram_mib,
        kv_type=settings.kv_type,
        memory_limit=memory_of(settings.memory) if settings.memory else None,
    )
    supervisor = Supervisor(engine, spec, ready_seconds=settings.ready_seconds, on_change=node.changed.set)
    gate = Gate(settings.slots, settings.queue, settings.queue_seconds)
    return Holding(model, weights, engine, spec, supervisor, gate)


def check_room(settings: EdgeSettings, model: Model, weights: LocalWeights) -> None:
    """Raises ``ValueError`` with the numbers where the model does not fit into this node's memory."""
    shape, memory = weights.header.architecture(), memory_of(settings.memory)
    slots, kv_type, host_cache = settings.slots, settings.kv_type, settings.cache_ram_mib * fit.MIB
    held = weights.header.weights_bytes
    wanted = fit.need(
        shape, weights=held, context=_context(settings, model), slots=slots, kv_type=kv_type, host_cache=host_cache
    )
    if fit.fits_into(wanted, memory):
        return
    longest = fit.largest_context(shape, memory, weights=held, slots=slots, kv_type=kv_type, host_cache=host_cache)
    raise ValueError(
        f"{model.id} needs {(wanted.at_most + fit.MARGIN_BYTES) // fit.MIB} MiB and this node has {memory // fit.MIB}: "
        + (f"EDGE_CONTEXT_TOKENS={longest} fits" if longest else "not even with a context of 256 tokens")
        + (f", and so may fewer than {slots} slots" if slots > 1 else "")
    )


async def serve(settings: EdgeSettings, model_id: str, engine_name: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the draining at once.

    Raises ``PortInUse`` and what :func:`plan` raises.
    """
    node = Node(settings.node_id, memory_of(settings.memory))
    node.hold(plan(settings, model_id, engine_name, node))
    meter = Meter(node)
    public = bind(settings.public_host, settings.public_port)
    operators = bind(settings.operator_host, settings.operator_port)
    base_url = settings.base_url or f"http://{settings.public_host}:{public.getsockname()[1]}/v1"
    log.info("listening", base_url=base_url, operators=operators.getsockname())
    beats = []
    if settings.kafka_bootstrap_servers:
        announcer = Announcer(
            node,
            bootstrap_servers=settings.kafka_bootstrap_servers,
            base_url=base_url,
            heartbeat_seconds=settings.heartbeat_seconds,
            labels=settings.labels,
        )
        beats.append(announcer.run)
    await _live(node, settings, _doors(node, settings, meter, public, operators), beats)


def _doors(
    node: Node, settings: EdgeSettings, meter: Meter, public: socket.socket, operators: socket.socket
) -> list[Background]:
    """The two ports. Without an operators' key, operators' routes are health and metrics only."""
    app = instrumented(public_api(node, settings.token, meter), "edge", "public")
    if settings.operator_key is None:
        operating = closed_api(operator_api(node, meter))
    else:
        operating = guard(operator_api(node, meter), settings.operator_key.get_secret_value(), "edge")
    return [lambda stop: serve_http(app, public, stop), lambda stop: serve_http(operating, operators, stop)]


async def _live(node: Node, settings: EdgeSettings, doors: Sequence[Background], beats: Sequence[Background]) -> None:
    """Run everything; on the first signal stop in the order in which nobody loses anything."""
    leave, hurry, stop_engines, stop_doors = (asyncio.Event() for _ in range(4))
    _on_signals(leave, hurry)
    async with asyncio.TaskGroup() as tasks:
        engines = [tasks.create_task(holding.supervisor.run(stop_engines)) for holding in node.holdings.values()]
        for run in [*doors, *beats]:
            tasks.create_task(run(stop_doors))
        await leave.wait()
        log.info("draining", in_flight=node.in_flight, at_most_seconds=settings.drain_seconds)
        await _first(node.drain(settings.drain_seconds), hurry.wait())
        if node.in_flight:
            log.warning("cut_off", requests=node.in_flight)
        stop_engines.set()
        await asyncio.wait(engines)
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


def _context(settings: EdgeSettings, model: Model) -> int:
    longest = model.architecture.max_context
    wanted = settings.context_tokens or min(_DEFAULT_CONTEXT, longest or _DEFAULT_CONTEXT)
    if longest is not None and wanted > longest:
        raise ValueError(f"EDGE_CONTEXT_TOKENS is {wanted}, and {model.id} has at most {longest}")
    return wanted
