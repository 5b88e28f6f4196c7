"""What policies take away at a start, and that nobody who reads notices more than a gap."""

import resource
import struct
from collections.abc import Callable
from pathlib import Path

import crc32c
import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipjury_broker.batches import accept, read_header
from shipjury_broker.compaction import tidy
from shipjury_broker.partition import Partition
from shipjury_broker.topic_config import TopicConfig

MAX = 1 << 24
DAY = 86_400_000
COMPACTED = TopicConfig("compact")
Build = Callable[..., bytes]
Found = list[tuple[int, bytes | None, bytes | None]]


def fill(path: Path, *batches: bytes) -> None:
    partition = Partition(path)
    for records in batches:
        partition.append(records, accept(records, MAX))
    partition.settle()
    partition.close()


def read(partition: Partition, offset: int = 0) -> Found:
    records, found = MemoryRecords(partition.read(offset, MAX)), []
    while records.has_next():
        batch = records.next_batch()
        assert batch is not None
        assert batch.validate_crc()
        found += [(record.offset, record.key, record.value) for record in batch]
    return found


def test_compaction_keeps_the_last_value_of_each_key_at_its_offset(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(
        path,
        batch_of((b"a", b"1"), (b"b", b"1"), (b"a", b"2")),
        batch_of((b"c", b"1"), (b"c", b"2")),
        batch_of((b"c", b"3")),
    )
    tidy(path, COMPACTED, now=0)
    assert read(Partition(path)) == [(1, b"b", b"1"), (2, b"a", b"2"), (5, b"c", b"3")]


def test_a_consumer_in_the_middle_goes_on_behind_the_gap(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(path, *(batch_of((b"k", b"%d" % number)) for number in range(10)), batch_of((b"other", b"x")))
    tidy(path, COMPACTED, now=0)
    compacted = Partition(path)
    for offset in range(10):
        assert read(compacted, offset) == [(9, b"k", b"9"), (10, b"other", b"x")]
    assert compacted.next_offset == 11
    assert compacted.log_start == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.binary(max_size=9)), min_size=1, max_size=5),
        min_size=1,
        max_size=8,
    ),
    codec=st.sampled_from([0, 1, 2, 3, 4]),
)
def test_whatever_is_compacted_folds_to_the_same_table_from_every_offset(
    tmp_path: Path, batch_of: Build, batches: list[list[tuple[bytes | None, bytes]]], codec: int
) -> None:
    path = tmp_path / "0.log"
    path.unlink(missing_ok=True)
    fill(path, *(batch_of(*entries, codec=codec) for entries in batches))
    before = Partition(path)
    tidy(path, COMPACTED, now=0)
    after = Partition(path)
    assert after.next_offset == before.next_offset
    assert set(read(after)) <= set(read(before))
    assert [entry for entry in read(after) if entry[1] is None] == [entry for entry in read(before) if entry[1] is None]
    for offset in range(before.next_offset):
        folded = {key: value for _, key, value in read(before, offset) if key is not None}
        assert {key: value for _, key, value in read(after, offset) if key is not None}.items() >= folded.items()
    before.close()
    after.close()


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_are_compacted_and_stay_compressed(tmp_path: Path, batch_of: Build, codec: int) -> None:
    path = tmp_path / "0.log"
    fill(
        path,
        batch_of((b"a", b"old" * 100), (b"b", b"kept" * 100), codec=codec),
        batch_of((b"a", b"new"), codec=codec),
    )
    tidy(path, COMPACTED, now=0)
    compacted = Partition(path)
    assert read(compacted) == [(1, b"b", b"kept" * 100), (2, b"a", b"new")]
    assert read_header(compacted.read(0, MAX)).attributes & 7 == codec


def test_a_tombstone_goes_when_everybody_had_a_day_to_see_it(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(path, batch_of((b"a", b"1")), batch_of((b"a", None), timestamp=10), batch_of((b"b", b"1")))
    tidy(path, COMPACTED, now=DAY)
    assert read(Partition(path)) == [(1, b"a", None), (2, b"b", b"1")]
    tidy(path, COMPACTED, now=DAY + 11)
    assert read(Partition(path)) == [(1, b"a", None), (2, b"b", b"1")], "nothing new came: not worth a rewrite"
    fill(path, batch_of((b"b", b"2")), batch_of((b"b", b"3")))
    tidy(path, COMPACTED, now=DAY + 11)
    assert read(Partition(path)) == [(4, b"b", b"3")]


def test_offsets_go_on_even_if_the_last_record_of_all_is_an_old_tombstone(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(path, batch_of((b"a", b"1")), batch_of((b"b", b"1")), batch_of((b"a", None)), batch_of((b"b", None)))
    tidy(path, COMPACTED, now=10 * DAY)
    assert read(Partition(path)) == [(3, b"b", None)]
    assert Partition(path).next_offset == 4


def test_an_idempotent_producer_goes_on_after_compaction(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    sent = [batch_of((b"k", b"1"), (b"l", b"1"), producer=(5, 0, 0)), batch_of((b"k", b"2"), producer=(5, 0, 2))]
    fill(path, *sent)
    tidy(path, COMPACTED, now=0)
    partition = Partition(path)
    assert [partition.append(records, accept(records, MAX)) for records in sent] == [0, 2]
    following = batch_of((b"k", b"3"), producer=(5, 0, 3))
    assert partition.append(following, accept(following, MAX)) == 3


def test_a_batch_that_nobody_can_open_leaves_the_log_as_it_is(tmp_path: Path, batch_of: Build) -> None:
    garbage = bytearray(batch_of((b"k", b"not gzip at all")))
    struct.pack_into(">h", garbage, 21, 1)
    struct.pack_into(">I", garbage, 17, crc32c.crc32c(garbage[21:]))
    path = tmp_path / "0.log"
    fill(path, batch_of((b"k", b"1")), bytes(garbage), batch_of((b"k", b"2")))
    before = path.read_bytes()
    tidy(path, COMPACTED, now=0)
    assert path.read_bytes() == before
    assert Partition(path).next_offset == 3
    assert not list(tmp_path.glob("*.tidy"))


def test_a_disk_that_fills_up_during_compaction_leaves_the_old_file(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(path, batch_of((b"a", b"x" * 50_000)), batch_of((b"a", b"y" * 50_000)), batch_of((b"b", b"z")))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        tidy(path, COMPACTED, now=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.tidy"))


def test_retention_takes_leading_batches_whose_every_record_is_too_old(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(path, *(batch_of((b"k", b"%d" % number), timestamp=number * 1_000) for number in range(10)))
    tidy(path, TopicConfig("delete", retention_ms=2_000), now=5_000)
    partition = Partition(path)
    assert partition.log_start == 3
    assert [value for _, _, value in read(partition, 3)] == [b"%d" % number for number in range(3, 10)]
    assert partition.offset_at(0) == (3, 3_000)
    tidy(path, TopicConfig("delete", retention_ms=2_000), now=9_000)
    assert Partition(path).log_start == 7
    assert path.stat().st_size < 5 * 80, "the space is given back once half of it is free"


def test_a_log_that_expired_altogether_keeps_counting(tmp_path: Path, batch_of: Build) -> None:
    path = tmp_path / "0.log"
    fill(path, batch_of((b"k", b"1")), batch_of((b"k", b"2")))
    tidy(path, TopicConfig("delete", retention_ms=1), now=DAY)
    partition = Partition(path)
    assert (partition.log_start, partition.next_offset) == (2, 2)
    assert partition.read(2, MAX) == b""
    records = batch_of((b"k", b"3"))
    assert partition.append(records, accept(records, MAX)) == 2


@pytest.mark.parametrize("config", [TopicConfig(), TopicConfig("delete", -1), TopicConfig("compact", retention_ms=1)])
def test_for_ever_means_for_ever(tmp_path: Path, batch_of: Build, config: TopicConfig) -> None:
    path = tmp_path / "0.log"
    fill(path, batch_of((b"a", b"1")), batch_of((b"b", b"2")))
    tidy(path, config, now=100 * 365 * DAY)
    assert read(Partition(path)) == [(0, b"a", b"1"), (1, b"b", b"2")]
