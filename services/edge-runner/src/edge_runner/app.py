"""Composition root: a node with its model, its two ports, its heartbeat, from start to drain."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from .admission import Gate
from .announce import Announcer
from .api import public_api
from .domain.models import Model
from .engines import ServeSpec, engine_named
from .engines.supervisor import Supervisor
from .memory import memory_of
from .model_list import load_models
from .node import Holding, Node
from .observed import Meter
from .operator_api import operator_api
from .settings import EdgeSettings
from .weights import find_weights

_DEFAULT_CONTEXT = 2048
log = structlog.get_logger()


def plan(settings: EdgeSettings, model_id: str, engine_name: str, node: Node) -> Holding:
    """A model as this node would serve it.

    Raises ``UnknownModel``, ``WeightsMissing``, ``WrongHash``; ``ValueError`` for a setting that cannot be.
    """
    model = load_models().find(model_id)
    engine = engine_named(engine_name)
    weights = find_weights(model, settings.models_dir)
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


async def serve(settings: EdgeSettings, model_id: str, engine_name: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the draining at once."""
    node = Node(settings.node_id, memory_of(settings.memory))
    node.hold(plan(settings, model_id, engine_name, node))
    meter = Meter(node)
    with (
        _listen(settings.public_host, settings.public_port) as public,
        _listen(settings.operator_host, settings.operator_port) as operators,
    ):
        port = public.getsockname()[1]
        base_url = settings.base_url or f"http://{settings.public_host}:{port}/v1"
        servers = [
            _Server(public_api(node, settings.token, meter), public),
            _Server(operator_api(node, meter), operators),
        ]
        log.info(
            "listening", base_url=base_url, operators=f"http://{settings.operator_host}:{operators.getsockname()[1]}"
        )
        await _live(node, settings, servers, base_url)


async def _live(node: Node, settings: EdgeSettings, servers: "list[_Server]", base_url: str) -> None:
    leave, hurry, stop_engines, stop_beats = (asyncio.Event() for _ in range(4))
    _on_signals(leave, hurry)
    async with asyncio.TaskGroup() as tasks:
        engines = [tasks.create_task(holding.supervisor.run(stop_engines)) for holding in node.holdings.values()]
        beats = []
        if settings.kafka_bootstrap_servers:
            announcer = Announcer(
                node,
                bootstrap_servers=settings.kafka_bootstrap_servers,
                base_url=base_url,
                heartbeat_seconds=settings.heartbeat_seconds,
                labels=settings.labels,
            )
            beats.append(tasks.create_task(announcer.run(stop_beats)))
        serving = [tasks.create_task(server.run()) for server in servers]
        await leave.wait()
        log.info("draining", in_flight=node.in_flight, at_most_seconds=settings.drain_seconds)
        draining = asyncio.create_task(node.drain(settings.drain_seconds))
        hurrying = asyncio.create_task(hurry.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        draining.cancel()
        if node.in_flight:
            log.warning("cut_off", requests=node.in_flight)
        stop_engines.set()
        await asyncio.wait(engines)
        node.stop()
        stop_beats.set()
        for server in servers:
            server.should_exit = True
        await asyncio.wait([*serving, *beats])
    log.info("stopped")


class _Server(uvicorn.Server):
    """Uvicorn in our own loop: we handle the signals, it handles HTTP."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5)
        )
        self._listening = listening

    async def run(self) -> None:  # type: ignore[override]
        await self.serve(sockets=[self._listening])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise SystemExit(f"edge-runner: cannot listen on {host}:{port}: {error.strerror}") from error
        listening.listen(128)
        yield listening


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
