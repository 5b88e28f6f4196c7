"""Which models are in memory: loaded when they are asked for, the least recently used unloaded to make room.

A model that serves requests is never unloaded. The budget is the node's memory, a model's share is what ``fit``
estimates for it with full slots. Whoever asks for a model that is not loaded waits, with its slot, for a bounded time.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from ..admission import Busy
from ..domain.holdings import Resident, make_room
from ..engines.adapter import EngineFailure
from ..node import Holding, Node

log = structlog.get_logger("edge_runner")


class NotLoaded(Busy):
    """A model is not in memory, and did not get there in time."""

    status, code = 503, "model_loading"


class Shelf:
    """Loads and unloads the node's engines."""

    def __init__(self, node: Node, load_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._node, self._load_seconds, self._clock = node, load_seconds, clock
        self._in_memory: dict[asyncio.Task[None], Holding] = {}
        self._moving = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; then end every engine and return when all are gone."""
        await stop.wait()
        for holding in self._in_memory.values():
            holding.life.stop.set()
        if self._in_memory:
            await asyncio.wait(set(self._in_memory))

    def put(self, holding: Holding) -> None:
        """Take a model on, not loaded yet. From now on it is found, and loaded when it is asked for."""
        holding.supervisor.rest()
        holding.gate.prepare = lambda: self.ready(holding)
        self._node.hold(holding)

    async def ready(self, holding: Holding) -> None:
        """Return when the model's engine is up, or has failed (it says why itself). Raises :class:`NotLoaded`."""
        holding.life.last_used = self._clock()
        if holding.supervisor.client is not None:
            return
        try:
            async with asyncio.timeout(self._load_seconds):
                await self._settled(holding)
        except TimeoutError:
            what = "is being loaded" if self.is_loaded(holding) else "waits for memory that busy models have"
            raise NotLoaded(f"{holding.model.id} {what}; ask again", self._retry_after(holding)) from None

    async def prove(self, holding: Holding) -> None:
        """Load the model and wait for its first real generation, or for its failure; unloads others if it must."""
        holding.life.proving = True
        try:
            await self._settled(holding)
        finally:
            holding.life.proving = False
            self._node.freed.ring()

    async def _settled(self, holding: Holding) -> None:
        await self.load(holding)
        await holding.supervisor.until_settled()
        if holding.supervisor.status.state == "ready":
            holding.life.proven = True

    def has_room(self, holding: Holding) -> bool:
        """Whether it could be loaded without unloading another."""
        return make_room(holding.needs, self._node.memory_bytes, self._residents()) == ()

    def is_loaded(self, holding: Holding) -> bool:
        """Whether its engine runs, or is being started, and is not about to be ended."""
        return holding in self._in_memory.values() and not holding.life.stop.is_set()

    async def load(self, holding: Holding) -> None:
        """Start the engine as soon as there is room for it. Raises :class:`NotLoaded` where the node is drained."""
        while not self.is_loaded(holding):
            freed = self._node.freed.next()
            async with self._moving:
                if self._node.drained or holding.life.retired:
                    raise NotLoaded(f"{holding.model.id} is being let go here; ask again", 5)
                going = make_room(holding.needs, self._node.memory_bytes, self._residents())
                if going is not None and holding not in self._in_memory.values():
                    for other in [one for one in self._in_memory.values() if one.model.id in going]:
                        await self._end(other, f"to make room for {holding.model.id}")
                    if not self.is_loaded(holding):
                        self._start(holding)
                    return
            await freed

    async def unload(self, holding: Holding, why: str, *, at_most: float, for_good: bool = False) -> None:
        """End the engine when its requests are through, after ``at_most`` seconds in any case."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                while holding.gate.busy:
                    await self._node.freed.next()
        holding.life.retired = for_good
        async with self._moving:
            await self._end(holding, why)

    def _start(self, holding: Holding) -> None:
        log.info("model_load", model=holding.model.id, needs_bytes=holding.needs)
        holding.life.stop = asyncio.Event()
        holding.supervisor.begin()
        task = asyncio.create_task(holding.supervisor.run(holding.life.stop))
        self._in_memory[task] = holding
        task.add_done_callback(self._gone)

    async def _end(self, holding: Holding, why: str) -> None:
        running = [task for task, one in self._in_memory.items() if one is holding]
        if not running:
            return
        log.info("model_unload", model=holding.model.id, why=why)
        holding.life.stop.set()
        await asyncio.wait(running)

    def _gone(self, task: "asyncio.Task[None]") -> None:
        holding = self._in_memory.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("engine_cannot_start", model=holding.model.id, error=repr(error))
            holding.supervisor.status.failure = EngineFailure("crash", f"it cannot be started: {error}")
        self._node.freed.ring()

    def _residents(self) -> list[Resident]:
        return [
            Resident(holding.model.id, holding.needs, self._in_use(holding), holding.life.last_used)
            for holding in self._in_memory.values()
        ]

    def _in_use(self, holding: Holding) -> bool:
        starting = holding.supervisor.status.state == "loading" and holding.supervisor.status.failure is None
        return holding.gate.busy or holding.life.proving or starting or holding.life.stop.is_set()

    def _retry_after(self, holding: Holding) -> int:
        usual = holding.supervisor.status.start_seconds
        return min(60, max(1, round(usual or 5)))
