"""Waiting between tries: exponential, with jitter, and cut short when the process is asked to stop."""

import asyncio
import random


class BackOff:
    """Seconds to wait before the next try: doubling from ``first`` to ``most``, each less a random quarter."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._tries = 0

    def next(self) -> float:
        """The next wait in seconds."""
        seconds = min(self._first * 2.0 ** min(self._tries, 30), self._most)
        self._tries += 1
        return seconds * random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """Start from the first wait again, after a success."""
        self._tries = 0

    @property
    def tries(self) -> int:
        """How many waits were asked for since the last reset."""
        return self._tries


async def pause(stop: asyncio.Event, seconds: float, *wakes: asyncio.Event) -> bool:
    """Wait that long, or until ``stop`` or another event is set. Returns whether to stop."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (stop, *wakes)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return stop.is_set()
