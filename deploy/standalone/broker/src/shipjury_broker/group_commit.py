"""One fsync for everything that was written while the last one ran: the latency of one, the throughput of many."""

import asyncio
import logging
import os

from shipjury_broker.offsets import CommittedOffsets
from shipjury_broker.partition import Partition

log = logging.getLogger(__name__)
_OFFSETS_EVERY = 1.0


class GroupCommit:
    """Brings partitions to disk as soon as asked, and committed offsets once a second."""

    def __init__(self, offsets: CommittedOffsets) -> None:
        self._offsets = offsets
        self._dirty: set[Partition] = set()
        self._wake = asyncio.Event()

    def request(self, partition: Partition) -> None:
        self._dirty.add(partition)
        self._wake.set()

    async def run(self) -> None:
        await asyncio.gather(self._sync_partitions(), self._sync_offsets())

    async def _sync_partitions(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            await asyncio.gather(*(self._sync(partition) for partition in dirty))

    async def _sync(self, partition: Partition) -> None:
        end, next_offset = partition.end, partition.next_offset
        try:
            await asyncio.to_thread(os.fdatasync, partition.fd)
        except OSError as error:
            if partition.fd >= 0:  # else the topic was deleted meanwhile
                log.error("%s: fsync failed: %s", partition.path, error)
                partition.sync_failed(error)
        else:
            partition.synced(end, next_offset)

    async def _sync_offsets(self) -> None:
        while True:
            await asyncio.sleep(_OFFSETS_EVERY)
            try:
                self._offsets.sync()
            except OSError as error:
                log.error("committed offsets are not on disk yet: %s", error)
