"""Running things side by side: all end together, and a loop that fails runs again."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from .back_off import BackOff, pause
from .metrics import BACKGROUND_RESTARTS

Background = Callable[..., Any]
"""A coroutine function ``(stop: asyncio.Event) -> None``."""

_log = structlog.get_logger("shipjury.process")


async def together(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until all have ended; where one fails, set ``stop`` for the others and raise its error."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.cancelled() or task.exception() for task in done):
            stop.set()
        await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def within(seconds: float, part: Coroutine[Any, Any, None]) -> bool:
    """Let something end by itself, within that time; then cancel it. Returns whether it ended well.

    It runs as a task of its own: aiokafka's clients, when stopped, may let a cancellation of their own tasks out,
    which must not look like one of ours.
    """
    task = asyncio.create_task(part)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1)
    return task.done() and not task.cancelled() and task.exception() is None


async def run_background(service: str, loops: Sequence[Background], stop: asyncio.Event) -> None:
    """Run loops until ``stop``; one that fails runs again, after a while."""
    await asyncio.gather(*(_supervised(service, loop, stop) for loop in loops))


async def _supervised(service: str, loop: Background, stop: asyncio.Event) -> None:
    back_off = BackOff(0.5, 30)
    while not stop.is_set():
        try:
            await loop(stop)
            return
        except Exception:  # noqa: BLE001 - a loop of a service must not end the others
            _log.exception("a loop failed and runs again", service=service, loop=getattr(loop, "__name__", str(loop)))
            BACKGROUND_RESTARTS.labels(service).inc()
        await pause(stop, back_off.next())
