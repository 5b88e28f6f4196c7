"""One partition's file: what is recovered after a crash at any byte, what is refused, what is found by time."""

import asyncio
import os
import struct
from collections.abc import Callable
from pathlib import Path

import crc32c
import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from shipjury_broker.batches import CHECKED_FROM, CRC_AT, accept, read_header
from shipjury_broker.errors import BrokerError, Refused
from shipjury_broker.logfile import FIRST_BATCH_AT
from shipjury_broker.partition import Partition

MAX = 1 << 20
Build = Callable[..., bytes]


def append(partition: Partition, records: bytes) -> int:
    """Appends and fsyncs."""
    offset = partition.append(records, accept(records, MAX))
    os.fsync(partition.fd)
    partition.synced(partition.end, partition.next_offset)
    return offset


def values(data: bytes) -> list[tuple[int, bytes | None]]:
    records, found = MemoryRecords(data), []
    while records.has_next():
        batch = records.next_batch()
        assert batch is not None
        assert batch.validate_crc()
        found += [(record.offset, record.value) for record in batch]
    return found


def test_batches_are_read_back_with_the_offsets_they_were_given(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    assert append(partition, batch_of((b"k", b"a"), (b"k", b"b"))) == 0
    assert append(partition, batch_of((b"k", b"c"))) == 2
    assert values(partition.read(0, MAX)) == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert values(partition.read(2, MAX)) == [(2, b"c")]
    assert partition.read(3, MAX) == b""


def test_a_reader_sees_nothing_that_is_not_on_disk(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    records = batch_of((b"k", b"a"))
    partition.append(records, accept(records, MAX))
    assert partition.read(0, MAX) == b""
    partition.synced(partition.end, partition.next_offset)
    assert values(partition.read(0, MAX)) == [(0, b"a")]


async def test_what_is_written_during_an_fsync_waits_for_the_next_one(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    first, second = batch_of((b"k", b"a")), batch_of((b"k", b"b"))
    partition.append(first, accept(first, MAX))
    fsync_covers = partition.end, partition.next_offset
    promises = [partition.durable()]
    partition.append(second, accept(second, MAX))
    promises.append(partition.durable())
    partition.synced(*fsync_covers)
    assert [promise.done() for promise in promises] == [True, False]
    assert values(partition.read(0, MAX)) == [(0, b"a")]
    partition.synced(partition.end, partition.next_offset)
    assert promises[1].done()
    assert values(partition.read(0, MAX)) == [(0, b"a"), (1, b"b")]


def test_an_offset_outside_the_log_is_refused(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    append(partition, batch_of((b"k", b"a")))
    for offset in (-1, 2, 1 << 40):
        with pytest.raises(Refused) as refused:
            partition.read(offset, MAX)
        assert refused.value.code == ErrorCode.offset_out_of_range


def test_one_batch_is_read_whole_even_if_it_is_larger_than_asked_for(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    append(partition, batch_of((b"k", b"x" * 5_000)))
    assert values(partition.read(0, 100)) == [(0, b"x" * 5_000)]


def test_every_offset_of_a_long_log_is_found_through_the_index(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    for number in range(300):
        append(partition, batch_of((b"k", b"%d" % number), (b"k", b"x" * (number * 7 % 900))))
    for offset in range(600):
        assert values(partition.read(offset, 4_000))[0][0] == offset - offset % 2


@pytest.mark.parametrize("settled", [True, False], ids=["after a clean stop", "after kill -9"])
def test_a_partition_opened_again_goes_on_where_it_stopped(tmp_path: Path, batch_of: Build, settled: bool) -> None:
    partition = Partition(tmp_path / "0.log")
    for number in range(50):
        append(partition, batch_of((b"k", b"%d" % number), producer=(7, 0, number)))
    if settled:
        partition.settle()
    partition.close()
    again = Partition(tmp_path / "0.log")
    assert (again.next_offset, again.high_watermark) == (50, 50)
    assert [value for _, value in values(again.read(0, MAX))] == [b"%d" % number for number in range(50)]
    assert append(again, batch_of((b"k", b"49"), producer=(7, 0, 49))) == 49, "a retry across the restart is known"
    assert append(again, batch_of((b"k", b"new"), producer=(7, 0, 50))) == 50


def test_what_was_written_after_the_index_was_saved_is_recovered_too(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    append(partition, batch_of((b"k", b"a")))
    partition.settle()
    append(partition, batch_of((b"k", b"b")))
    partition.close()
    assert [value for _, value in values(Partition(tmp_path / "0.log").read(0, MAX))] == [b"a", b"b"]


@pytest.mark.parametrize("damage", ["torn", "flipped", "foreign"])
def test_an_index_that_does_not_fit_is_not_believed(tmp_path: Path, batch_of: Build, damage: str) -> None:
    partition = Partition(tmp_path / "0.log")
    append(partition, batch_of((b"k", b"a")))
    partition.settle()
    partition.close()
    index = tmp_path / "0.index"
    content = bytearray(index.read_bytes())
    if damage == "torn":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[-3] ^= 0xFF
    else:
        other = Partition(tmp_path / "1.log")
        other.settle()
        content = bytearray((tmp_path / "1.index").read_bytes())
    index.write_bytes(content)
    assert values(Partition(tmp_path / "0.log").read(0, MAX)) == [(0, b"a")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 200), min_size=1, max_size=8), cut=st.floats(0, 1), noise=st.binary(max_size=80))
def test_a_file_cut_at_any_byte_keeps_exactly_the_whole_batches_before_the_cut(
    tmp_path: Path, batch_of: Build, sizes: list[int], cut: float, noise: bytes
) -> None:
    path = tmp_path / "0.log"
    path.unlink(missing_ok=True)
    partition, ends = Partition(path), []
    for size in sizes:
        append(partition, batch_of((b"k", b"x" * size)))
        ends.append(partition.end)
    partition.close()
    cut_at = round(cut * ends[-1])
    os.truncate(path, cut_at)
    if cut_at >= FIRST_BATCH_AT:
        path.write_bytes(path.read_bytes() + noise)
    whole = sum(1 for end in ends if end <= cut_at)
    recovered = Partition(path)
    kept = values(recovered.read(0, MAX))
    assert kept[:whole] == [(number, b"x" * size) for number, size in enumerate(sizes[:whole])]
    assert len(kept) == whole or noise, "nothing is made up"
    assert append(recovered, batch_of((b"k", b"next"))) == len(kept)
    assert values(recovered.read(len(kept), MAX)) == [(len(kept), b"next")]
    recovered.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@example(where=0.0, flip=0x80)  # the sign of the first offset, which no checksum covers
@example(where=0.834, flip=0x80)  # and that of the last one
def test_a_flipped_byte_costs_at_most_what_follows_it(tmp_path: Path, batch_of: Build, where: float, flip: int) -> None:
    path = tmp_path / "0.log"
    path.unlink(missing_ok=True)
    partition, ends = Partition(path), [FIRST_BATCH_AT]
    for number in range(6):
        append(partition, batch_of((b"k", b"%d" % number)))
        ends.append(partition.end)
    partition.close()
    content = bytearray(path.read_bytes())
    at = FIRST_BATCH_AT + int(where * (len(content) - FIRST_BATCH_AT))
    content[at] ^= flip
    path.write_bytes(content)
    recovered = Partition(path)
    sound_before = sum(1 for end in ends[1:] if end <= at)
    assert [value for _, value in values(recovered.read(0, MAX))][:sound_before] == [
        b"%d" % number for number in range(sound_before)
    ]
    assert append(recovered, batch_of((b"k", b"next"))) >= sound_before
    recovered.close()


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_bytes(b"my diary, which is longer than the head of a log would be")
    with pytest.raises(BrokerError, match="is not a log"):
        Partition(tmp_path / "0.log")
    assert (tmp_path / "0.log").read_bytes().startswith(b"my diary")


def test_offsets_by_time_are_those_of_the_first_record_at_or_after_it(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    for number in range(100):
        append(partition, batch_of((b"k", b"x" * 100), (b"k", b"y"), (b"k", b"z"), timestamp=1_000 + number * 10))
    assert partition.offset_at(0) == (0, 1_000)
    assert partition.offset_at(1_001) == (1, 1_001)
    assert partition.offset_at(1_003) == (3, 1_010)
    assert partition.offset_at(1_990) == (297, 1_990)
    assert partition.offset_at(1_993) is None
    assert partition.latest_time() == 1_992


def test_a_batch_sent_again_keeps_its_first_place(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    first, second = batch_of((b"k", b"a"), producer=(9, 0, 0)), batch_of((b"k", b"b"), producer=(9, 0, 1))
    assert [append(partition, batch) for batch in (first, second, first, second)] == [0, 1, 0, 1]
    assert partition.next_offset == 2


@pytest.mark.parametrize(
    ("producer", "code"),
    [
        ((9, 1, 20), ErrorCode.out_of_order_sequence_number),
        ((9, 0, 9), ErrorCode.invalid_producer_epoch),
        ((9, 2, 5), ErrorCode.out_of_order_sequence_number),
        ((9, 1, 1), ErrorCode.duplicate_sequence_number),
    ],
    ids=["a gap", "an old epoch", "a new epoch in the middle", "too old to be remembered"],
)
def test_a_producer_out_of_step_is_refused(
    tmp_path: Path, batch_of: Build, producer: tuple[int, int, int], code: ErrorCode
) -> None:
    partition = Partition(tmp_path / "0.log")
    for number in range(9):
        append(partition, batch_of((b"k", b"v"), producer=(9, 1, number)))
    with pytest.raises(Refused) as refused:
        append(partition, batch_of((b"k", b"v"), producer=producer))
    assert refused.value.code == code
    assert partition.next_offset == 9


def test_sequences_start_again_after_the_largest(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    largest = 2**31 - 1
    append(partition, batch_of((b"k", b"a"), producer=(9, 0, largest)))
    assert append(partition, batch_of((b"k", b"b"), producer=(9, 0, 0))) == 1


def with_attributes(batch: bytes, attributes: int) -> bytes:
    """A batch with other flags and a checksum that holds."""
    changed = bytearray(batch)
    struct.pack_into(">h", changed, CHECKED_FROM, attributes)
    struct.pack_into(">I", changed, CRC_AT, crc32c.crc32c(changed[CHECKED_FROM:]))
    return bytes(changed)


def test_what_is_not_one_sound_batch_is_refused(batch_of: Build) -> None:
    sound = batch_of((b"k", b"value"))
    flipped = bytearray(sound)
    flipped[-1] ^= 1
    old = bytearray(sound)
    old[16] = 1
    transactional, control, unknown_codec = with_attributes(sound, 0x10), with_attributes(sound, 0x20), 7
    for records, code in [
        (bytes(flipped), ErrorCode.corrupt_message),
        (bytes(old), ErrorCode.unsupported_for_message_format),
        (sound[:-1], ErrorCode.corrupt_message),
        (sound[:30], ErrorCode.corrupt_message),
        (transactional, ErrorCode.transactional_id_authorization_failed),
        (control, ErrorCode.invalid_record),
        (with_attributes(sound, unknown_codec), ErrorCode.unsupported_compression_type),
        (b"", ErrorCode.corrupt_message),
        (None, ErrorCode.corrupt_message),
        (sound + sound, ErrorCode.invalid_record),
        (batch_of((b"k", b"x" * 2_000)), ErrorCode.message_too_large),
    ]:
        with pytest.raises(Refused) as refused:
            accept(records, 1_000)
        assert refused.value.code == code
    assert read_header(sound).records == 1


async def test_a_failed_fsync_is_no_acknowledgement_and_leaves_a_sound_log(tmp_path: Path, batch_of: Build) -> None:
    partition = Partition(tmp_path / "0.log")
    append(partition, batch_of((b"k", b"kept"), producer=(9, 0, 0)))
    lost = batch_of((b"k", b"lost"), producer=(9, 0, 1))
    partition.append(lost, accept(lost, MAX))
    promise = partition.durable()
    partition.sync_failed(OSError(5, "Input/output error"))
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(promise, 5)
    assert refused.value.code == ErrorCode.kafka_storage_error
    assert append(partition, lost) == 1, "its retry is taken as new"
    assert values(partition.read(0, MAX)) == [(0, b"kept"), (1, b"lost")]
