"""How far the panel is, seen from outside: tools published and verdicts issued, read from the events themselves."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer

from shipjury_delivery.kafka import consuming
from shipjury_schemas import Contract, MalformedEvent, ToolPublished, VerdictIssued, decode

Tell = Callable[[int, int, float | None], None]


class Progress:
    """Which tool versions are published and which of them are judged."""

    def __init__(self) -> None:
        self.published: dict[str, int] = {}
        self.judged: dict[str, int] = {}
        self._first: tuple[float, int] | None = None

    def published_tool(self, tool: str, version: int) -> None:
        """A tool, or a new version of it."""
        self.published[tool] = max(version, self.published.get(tool, 0))

    def issued_verdict(self, tool: str, version: int) -> None:
        """The panel is through with a version of a tool."""
        self.judged[tool] = max(version, self.judged.get(tool, 0))

    @property
    def done(self) -> int:
        """Tools whose newest version is judged."""
        return sum(self.judged.get(tool, 0) >= version for tool, version in self.published.items())

    @property
    def through(self) -> bool:
        """Whether everything that is published is judged."""
        return bool(self.published) and self.done >= len(self.published)

    def remaining(self, now: float) -> float | None:
        """Seconds that the rest takes at the pace so far, from the first verdict that we saw come; None before."""
        if self._first is None:
            self._first = (now, self.done) if self.done else None
            return None
        began, then = self._first
        if self.done == then:
            return None
        return (now - began) / (self.done - then) * (len(self.published) - self.done)


async def watch_panel(bootstrap_servers: str, tools: int, tell: Tell, stop: asyncio.Event) -> None:
    """Tell ``(judged, tools, seconds left)`` whenever it changes, until all of at least ``tools`` tools are judged."""
    contracts: dict[str, type[Contract]] = {one.topic.name: one for one in (ToolPublished, VerdictIssued)}
    consumer = AIOKafkaConsumer(  # of no group: it has all partitions, from their beginning
        *contracts, bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with consuming(consumer):
        progress, told = Progress(), -1
        while not stop.is_set():
            for partition, records in (await consumer.getmany(timeout_ms=300)).items():
                for record in records:
                    _take(progress, contracts[partition.topic], record)
            of = max(tools, len(progress.published))
            if progress.done != told and progress.published:
                told = progress.done
                tell(told, of, progress.remaining(time.monotonic()))
            if progress.through and len(progress.published) >= tools:
                return


def _take(progress: Progress, contract: type[Contract], record: Any) -> None:
    try:
        event = decode(contract, record.value, record.headers)
    except MalformedEvent:
        return  # the subscribers that matter dead-letter it; here it is only counted
    data = event.data
    if isinstance(data, ToolPublished) and data.status == "published":
        progress.published_tool(data.tool_id, data.aggregate_version)
    elif isinstance(data, VerdictIssued):
        progress.issued_verdict(data.tool_id, data.tool_version)
