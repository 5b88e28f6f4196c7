"""The node: the models that it holds, whether it takes requests, and how it drains."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import psutil

from .admission import Gate
from .domain.models import Model
from .engines import Engine, ServeSpec
from .engines.supervisor import Supervisor
from .weights import LocalWeights

NodeState = Literal["starting", "ready", "draining", "stopped"]


@dataclass(frozen=True)
class Holding:
    """A model on this node: what it is, the file, its engine and its queue."""

    model: Model
    weights: LocalWeights
    engine: Engine
    spec: ServeSpec
    supervisor: Supervisor
    gate: Gate

    @cached_property
    def fingerprint(self) -> str:
        """What log-probabilities depend on: engine build, weights, and the type of the KV cache."""
        return f"{self.engine.build()}; {self.weights.sha256[:16]}; kv {self.spec.kv_type}"

    def resident_bytes(self) -> int:
        """Resident memory of the engine's process; 0 where it does not run."""
        try:
            return psutil.Process(self.supervisor.status.pid).memory_info().rss if self.supervisor.status.pid else 0
        except psutil.Error:
            return 0
    needs: int = 0
    life: Life = field(default_factory=Life)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can be asked for: embeddings alone, or whatever the engine can do with a model that generates."""
        return ("embeddings",) if self.model.embeddings else self.engine.capabilities


class Node:
    """What this node holds and does. ``changed`` is set whenever there is something to announce."""

    def __init__(self, node_id: str, memory_bytes: int) -> None:
        self.node_id, self.memory_bytes = node_id, memory_bytes
        self.holdings: dict[str, Holding] = {}
        self.changed = asyncio.Event()
        self.in_flight = 0
        self._leaving = False
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def state(self) -> NodeState:
        """``ready`` as soon as one model is."""
        if self._stopped:
            return "stopped"
        if self._leaving:
            return "draining"
        ready = any(holding.supervisor.status.state == "ready" for holding in self.holdings.values())
        return "ready" if ready else "starting"

    @property
    def models(self) -> Mapping[str, Holding]:
        """What it holds, by id."""
        return self.holdings

    def hold(self, holding: Holding) -> None:
        """Take a model on."""
        self.holdings[holding.model.id] = holding
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
