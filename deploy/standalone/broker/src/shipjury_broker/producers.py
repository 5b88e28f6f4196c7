"""Idempotent producers: a batch that is sent again because its answer got lost is not written again.

Kafka's rules (KIP-98): a producer numbers its records by partition; the log remembers the last five batches of each
producer, answers a repeated one with its first offset, and refuses a gap. Rebuilt from batch headers on recovery.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from shipjury_broker.batches import Batch
from shipjury_broker.errors import Refused

REMEMBERED_BATCHES = 5
REMEMBERED_PRODUCERS = 1000


@dataclass(slots=True)
class _Producer:
    epoch: int
    batches: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES))


class Producers:
    """The producers that wrote to one partition, the longest silent forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, _Producer] = OrderedDict()

    def original_offset(self, batch: Batch) -> int | None:
        """The offset at which this very batch already lies, or None if it is the next one.

        Raises Refused for a gap in the sequence, an outdated epoch, or a repetition too old to be remembered.
        """
        if batch.producer_id < 0 or (known := self._known.get(batch.producer_id)) is None:
            return None
        if batch.producer_epoch < known.epoch:
            raise Refused(ErrorCode.invalid_producer_epoch, "a newer epoch of this producer has written")
        if batch.producer_epoch > known.epoch:
            if batch.base_sequence != 0:
                raise Refused(ErrorCode.out_of_order_sequence_number, "a new epoch starts at sequence 0")
            return None
        for first, last, offset in known.batches:
            if (first, last) == (batch.base_sequence, batch.last_sequence):
                return offset
        expected = (known.batches[-1][1] + 1) & 0x7FFFFFFF
        if batch.base_sequence == expected:
            return None
        if batch.base_sequence < expected and batch.last_sequence < expected:
            raise Refused(ErrorCode.duplicate_sequence_number, "already written, too long ago to say where")
        raise Refused(ErrorCode.out_of_order_sequence_number, f"expected sequence {expected}")

    def wrote(self, batch: Batch, base_offset: int) -> None:
        """Remembers a batch that is in the log now."""
        if batch.producer_id < 0:
            return
        known = self._known.get(batch.producer_id)
        if known is None or known.epoch != batch.producer_epoch:
            known = self._known[batch.producer_id] = _Producer(batch.producer_epoch)
        known.batches.append((batch.base_sequence, batch.last_sequence, base_offset))
        self._known.move_to_end(batch.producer_id)
        if len(self._known) > REMEMBERED_PRODUCERS:
            self._known.popitem(last=False)

    def dump(self) -> list[tuple[int, int, list[tuple[int, int, int]]]]:
        """For the saved index: id, epoch, and first sequence, last sequence, offset of the remembered batches."""
        return [(pid, known.epoch, list(known.batches)) for pid, known in self._known.items()]

    @classmethod
    def restore(cls, dumped: list[tuple[int, int, list[tuple[int, int, int]]]]) -> "Producers":
        producers = cls()
        for pid, epoch, batches in dumped:
            known = producers._known[pid] = _Producer(epoch)
            known.batches.extend((first, last, offset) for first, last, offset in batches)
        return producers
