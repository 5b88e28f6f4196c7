"""Says so when the disk of the data folder runs full under a running standalone, and when there is room again."""

import asyncio
from collections.abc import Callable

from shipjury_delivery.back_off import pause

LITTLE, ENOUGH = 100 * 2**20, 200 * 2**20
"""Bytes. Below the first Postgres, Redis and the broker may soon refuse to write; above the second all is well."""


async def watch_space(
    free: Callable[[], int], stop: asyncio.Event, tell: Callable[[str], None], every: float = 2
) -> None:
    """Look at ``free()``, bytes, every so many seconds until ``stop``; ``tell`` gets one sentence a change."""
    short = False
    while not stop.is_set():
        left = await asyncio.to_thread(free)
        if not short and left < LITTLE:
            short = True
            tell(
                f"The disk is full ({left // 2**20} MiB left): make room. "
                "What can't be stored is refused or tried again; nothing that was accepted is lost."
            )
        elif short and left >= ENOUGH:
            short = False
            tell(f"There is room on the disk again ({left // 2**20} MiB).")
        await pause(stop, every)
