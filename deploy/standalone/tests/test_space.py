"""A disk that runs full while everything runs is told once, and so is its end."""

import asyncio

from shipjury_standalone.space import ENOUGH, LITTLE, watch_space


async def test_a_full_disk_is_told_once_and_so_is_room_again() -> None:
    stop = asyncio.Event()
    left = iter([ENOUGH, LITTLE - 1, 0, LITTLE, LITTLE - 1, ENOUGH, ENOUGH])
    told: list[str] = []

    def free() -> int:
        try:
            return next(left)
        except StopIteration:
            stop.set()
            return ENOUGH

    await watch_space(free, stop, told.append, every=0)

    assert [sentence.partition(" (")[0] for sentence in told] == ["The disk is full", "There is room on the disk again"]
