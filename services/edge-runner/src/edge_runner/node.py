"""The node: the models that it holds, whether it takes requests, and how it drains."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from .admission import Gate
from .domain.models import Model
from .domain.slots import SlotBook
from .engines import Engine, ServeSpec
from .engines.supervisor import State, Supervisor
from .memory import resident_of
from .weights import LocalWeights

NodeState = Literal["starting", "ready", "draining", "stopped"]


@dataclass
class Life:
    """What the shelf notes of a model: when it was used last, and how its engine is told to end."""

    last_used: float = 0.0
    proving: bool = False
    proven: bool = False
    """Whether it has answered a real generation on this node, served so."""
    retired: bool = False
    """Whether it is no longer wanted: never loaded again."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, eq=False)
class Holding:
    """A model on this node: what it is, the file, its engine and its queue. ``needs`` are bytes, with full slots."""

    model: Model
    weights: LocalWeights
    engine: Engine
    spec: ServeSpec
    supervisor: Supervisor
    gate: Gate
    needs: int = 0
    life: Life = field(default_factory=Life)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can be asked for: embeddings alone, or whatever the engine can do with a model that generates."""
        return ("embeddings",) if self.model.embeddings else self.engine.capabilities

    @cached_property
    def fingerprint(self) -> str:
        """What log-probabilities depend on: engine build, weights, and the type of the KV cache."""
        return f"{self.engine.build()}; {self.weights.sha256[:16]}; kv {self.spec.kv_type}"

    @property
    def state(self) -> State:
        """``unloaded`` is one that has answered here and was put aside for room: it is loaded when it is asked for."""
        status = self.supervisor.status
        if status.state != "unloaded":
            return status.state
        return "failed" if status.failure else "unloaded" if self.life.proven else "loading"

    @property
    def can_answer(self) -> bool:
        """Whether it answers, now or once it is loaded again."""
        return self.state in ("ready", "unloaded")

    @cached_property
    def slots(self) -> SlotBook:
        """Who has which of the engine's slots."""
        return SlotBook(self.spec.slots)

    def resident_bytes(self) -> int:
        """Resident memory of the engine's processes; 0 where it does not run."""
        return resident_of(self.supervisor.status.pid) if self.supervisor.status.pid else 0


@dataclass(frozen=True)
class Trouble:
    """A wanted model that is not held (yet): what it is at, or why not."""

    code: str | None = None
    text: str | None = None
    progress: str | None = None


class Bell:
    """Wakes everybody who waits, once a ring. ``next()`` is taken before looking, so that no ring is missed."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def next(self) -> "asyncio.Future[None]":
        """Done with the next ring."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)
        return waiting

    def ring(self) -> None:
        """Something was freed."""
        for waiting in [*self._waiting]:
            if not waiting.done():
                waiting.set_result(None)


class Node:
    """What this node holds and does. ``changed`` is set whenever there is something to announce."""

    def __init__(self, node_id: str, memory_bytes: int) -> None:
        self.node_id, self.memory_bytes = node_id, memory_bytes
        self.holdings: dict[str, Holding] = {}
        self.troubles: dict[str, Trouble] = {}
        self.changed = asyncio.Event()
        self.freed = Bell()
        self.in_flight = 0
        self.generation = 0
        self.cordoned = self.drained = False
        self._leaving = False
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def state(self) -> NodeState:
        """``ready`` as soon as one model is, or can be loaded; ``draining`` while new requests are kept away."""
        if self._stopped:
            return "stopped"
        if self._leaving or self.closed:
            return "draining"
        return "ready" if any(holding.can_answer for holding in self.holdings.values()) else "starting"

    @property
    def closed(self) -> bool:
        """Whether an operator keeps new requests away."""
        return self.cordoned or self.drained

    @property
    def stopping(self) -> bool:
        """Whether the node is on its way out."""
        return self._leaving or self._stopped

    @property
    def models(self) -> Mapping[str, Holding]:
        """What it holds, by id."""
        return self.holdings

    def hold(self, holding: Holding) -> None:
        """Take a model on."""
        self.holdings[holding.model.id] = holding
        self.changed.set()

    def drop(self, model: str) -> Holding | None:
        """Forget a model; new requests for it are told that it is not here."""
        self.changed.set()
        self.troubles.pop(model, None)
        return self.holdings.pop(model, None)

    def note(self, model: str, trouble: Trouble | None) -> None:
        """Note what a wanted model is at, or why it is not held; ``None`` when all is well."""
        if trouble is None:
            self.troubles.pop(model, None)
        else:
            self.troubles[model] = trouble
        self.changed.set()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Count a request, so that draining waits for it."""
        self.in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            self.freed.ring()
            if not self.in_flight:
                self._idle.set()

    async def drain(self, seconds: float) -> int:
        """Take no new requests and wait for the running ones. Returns how many were still running at the end."""
        self._leaving = True
        self.changed.set()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass
        return self.in_flight

    def stop(self) -> None:
        """Say that the node is gone."""
        self._stopped = True
        self.changed.set()
