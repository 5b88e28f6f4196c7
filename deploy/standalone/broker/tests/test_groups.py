"""Consumer groups: shares are handed over without loss, the silent are dropped, stragglers can't spoil anything."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from kio.schema.errors import ErrorCode

from shipjury_broker import Broker
from shipjury_broker.errors import Refused
from shipjury_broker.groups import Group
from shipjury_broker.limits import Limits
from shipjury_broker.members import Joined, Member, State

CreateTopic = Callable[..., Awaitable[str]]
Until = Callable[..., Awaitable[None]]
LIMITS = Limits(session_timeout_min=0.01)


def member(member_id: str, *strategies: str, session: float = 60, rebalance: float = 60) -> Member:
    protocols = {name: f"{member_id} by {name}".encode() for name in strategies or ("range",)}
    return Member(member_id, "client", "127.0.0.1", session, rebalance, protocols)


@pytest.fixture
def group() -> Any:
    made = Group("g", LIMITS)
    yield made
    made.close()


def joining(group: Group, *members: Member) -> list[asyncio.Task[Joined]]:
    return [asyncio.create_task(group.join(one, "consumer", is_new=True)) for one in members]


async def stable(group: Group, *members: Member) -> list[Joined]:
    """A group in which all have joined and have their share, named after them."""
    first, *others = members
    await group.join(first, "consumer", is_new=True)
    waiting = joining(group, *others)
    await asyncio.sleep(0)
    again = asyncio.create_task(group.join(first, "consumer", is_new=False)) if others else None
    joined = [await again if again else await group.join(first, "consumer", is_new=False)]
    joined += await asyncio.gather(*waiting)
    shares = {one.id: one.id.encode() for one in members}
    await group.sync(joined[0].leader, group.generation, shares)
    return joined


async def test_the_leader_alone_learns_who_is_in_the_group(group: Group) -> None:
    joined = await stable(group, member("a"), member("b"))
    assert [one.leader for one in joined] == ["a", "a"]
    assert joined[0].members == {"a": b"a by range", "b": b"b by range"}
    assert joined[1].members == {}
    assert await group.sync("b", group.generation, {}) == b"b"


async def test_everybody_gets_the_share_that_the_leader_gave(group: Group) -> None:
    await group.join(member("a"), "consumer", is_new=True)
    waiting = joining(group, member("b"))
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        group.heartbeat("a", group.generation)
    assert refused.value.code == ErrorCode.rebalance_in_progress
    await group.join(member("a"), "consumer", is_new=False)
    await asyncio.gather(*waiting)
    follower = asyncio.create_task(group.sync("b", group.generation, {}))
    assert await group.sync("a", group.generation, {"a": b"1", "b": b"2"}) == b"1"
    assert await follower == b"2"
    assert group.state == State.STABLE


async def test_a_strategy_is_taken_that_all_know(group: Group) -> None:
    first = member("a", "cooperative-sticky", "range")
    await group.join(first, "consumer", is_new=True)
    waiting = joining(group, member("b", "range"))
    await asyncio.sleep(0)
    assert (await group.join(first, "consumer", is_new=False)).protocol == "range"
    await asyncio.gather(*waiting)
    with pytest.raises(Refused) as refused:
        await group.join(member("c", "roundrobin"), "consumer", is_new=True)
    assert refused.value.code == ErrorCode.inconsistent_group_protocol


async def test_a_silent_member_is_dropped_and_the_others_share_again(group: Group, until: Until) -> None:
    await stable(group, member("a"), member("silent", session=0.05))
    await until(lambda: group.state == State.JOINING)
    joined = await group.join(member("a"), "consumer", is_new=False)
    assert list(joined.members) == ["a"]


async def test_a_member_that_does_not_join_again_in_time_is_left_behind(group: Group) -> None:
    await stable(group, member("a", rebalance=0.05), member("stuck", rebalance=0.05))
    joined = await asyncio.wait_for(group.join(member("a", rebalance=0.05), "consumer", is_new=False), 10)
    assert list(joined.members) == ["a"]
    with pytest.raises(Refused) as refused:
        group.heartbeat("stuck", group.generation)
    assert refused.value.code == ErrorCode.unknown_member_id


async def test_a_client_that_hangs_up_while_it_joins_holds_up_nobody(group: Group) -> None:
    await stable(group, member("a"))
    [gone] = joining(group, member("b"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    joined = await asyncio.wait_for(group.join(member("a"), "consumer", is_new=False), 10)
    assert list(joined.members) == ["a"]


async def test_a_member_that_asks_again_on_a_new_connection_is_answered_there(group: Group) -> None:
    await stable(group, member("a"))
    [newcomer] = joining(group, member("b"))
    await asyncio.sleep(0)
    again = asyncio.create_task(group.join(member("b"), "consumer", is_new=False))
    await asyncio.wait([newcomer], timeout=10)
    assert newcomer.cancelled()
    await group.join(member("a"), "consumer", is_new=False)
    assert (await asyncio.wait_for(again, 10)).member_id == "b"


async def test_a_member_that_waits_for_its_share_is_not_taken_for_silent(group: Group, until: Until) -> None:
    await group.join(member("a"), "consumer", is_new=True)
    waiting = joining(group, member("b", session=0.05))
    await asyncio.sleep(0)
    await group.join(member("a"), "consumer", is_new=False)
    await asyncio.gather(*waiting)
    follower = asyncio.create_task(group.sync("b", group.generation, {}))
    probe = Group("other", LIMITS)
    await probe.join(member("as short", session=0.05), "consumer", is_new=True)
    await until(lambda: not probe.members)
    await group.sync("a", group.generation, {"a": b"1", "b": b"2"})
    assert await follower == b"2"
    await until(lambda: "b" not in group.members)


async def test_two_that_start_together_are_in_the_first_generation_together(group: Group) -> None:
    first, second = group.announce("x", 60), group.announce("y", 60)
    one = asyncio.create_task(group.join(member(first), "consumer", is_new=False))
    await asyncio.sleep(0)
    assert not one.done(), "it waits for the other one, who has announced itself"
    both = await asyncio.gather(one, group.join(member(second), "consumer", is_new=False))
    assert {joined.generation for joined in both} == {1}


async def test_an_announced_member_that_never_comes_is_not_waited_for_long(group: Group) -> None:
    group.announce("never", 0.05)
    joined = await asyncio.wait_for(group.join(member("a"), "consumer", is_new=True), 10)
    assert list(joined.members) == ["a"]


async def test_a_generation_that_is_over_can_t_commit(group: Group) -> None:
    await stable(group, member("a"), member("b"))
    old = group.generation
    group.remove("b")
    await group.join(member("a"), "consumer", is_new=False)
    for member_id, generation, code in [
        ("a", old, ErrorCode.illegal_generation),
        ("b", old, ErrorCode.unknown_member_id),
        ("", -1, ErrorCode.unknown_member_id),
        ("a", group.generation, ErrorCode.rebalance_in_progress),
    ]:
        with pytest.raises(Refused) as refused:
            group.may_commit(member_id, generation)
        assert refused.value.code == code
    await group.sync("a", group.generation, {"a": b"all"})
    group.may_commit("a", group.generation)


async def test_an_empty_group_s_offsets_may_be_set_by_tools(group: Group) -> None:
    group.may_commit("", -1)
    await stable(group, member("a"))
    group.remove("a")
    assert group.state == State.EMPTY
    group.may_commit("", -1)


@pytest.mark.parametrize("session", [0.001, 10_000])
async def test_an_absurd_session_timeout_is_refused(group: Group, session: float) -> None:
    with pytest.raises(Refused) as refused:
        await group.join(member("a", session=session), "consumer", is_new=True)
    assert refused.value.code == ErrorCode.invalid_session_timeout


class _Worker(ConsumerRebalanceListener):  # type: ignore[misc]
    """A consumer that commits what it has handled before it gives partitions away, as delivery does."""

    def __init__(self, address: str, topic: str, into: list[bytes]) -> None:
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=address,
            group_id="workers",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=2_000,
            heartbeat_interval_ms=200,
            max_poll_records=7,
        )
        self.topic, self.into = topic, into
        self.handled: dict[TopicPartition, int] = {}

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        mine = {partition: offset for partition, offset in self.handled.items() if partition in revoked}
        if mine:
            await self.consumer.commit(mine)
        self.handled.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        pass

    async def run(self) -> None:
        self.consumer.subscribe([self.topic], listener=self)
        await self.consumer.start()
        try:
            while True:
                for partition, records in (await self.consumer.getmany(timeout_ms=50)).items():
                    self.into.extend(record.value for record in records)
                    self.handled[partition] = records[-1].offset + 1
        finally:
            if self.handled:
                await self.consumer.commit(self.handled)
            await self.consumer.stop()

    @property
    def share(self) -> int:
        return len(self.consumer.assignment())


async def test_members_that_come_and_go_hand_over_without_loss_and_without_doubling(
    broker: Broker, create_topic: CreateTopic, until: Until
) -> None:
    topic = await create_topic(broker.address, partitions=6)
    got: list[bytes] = []
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all")
    await producer.start()

    async def send(numbers: range) -> None:
        for number in numbers:
            await producer.send_and_wait(topic, b"%d" % number, key=b"%d" % number)

    first, second = _Worker(broker.address, topic, got), _Worker(broker.address, topic, got)
    running = [asyncio.create_task(first.run())]
    await until(lambda: first.share == 6)
    await send(range(100))
    running.append(asyncio.create_task(second.run()))
    await asyncio.gather(until(lambda: (first.share, second.share) == (3, 3)), send(range(100, 300)))
    running[0].cancel()
    await asyncio.gather(until(lambda: second.share == 6), send(range(300, 400)))
    await until(lambda: len(set(got)) == 400, seconds=30)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await producer.stop()
    assert sorted(map(int, got)) == list(range(400))


async def test_a_member_whose_process_dies_is_replaced_after_its_session(
    broker: Broker, create_topic: CreateTopic, until: Until
) -> None:
    topic = await create_topic(broker.address, partitions=2)
    got: list[bytes] = []
    dead, heir = _Worker(broker.address, topic, []), _Worker(broker.address, topic, got)
    dying = asyncio.create_task(dead.run())
    await until(lambda: dead.share == 2)
    dying.cancel()
    dead.consumer._coordinator._maybe_leave_group = _no_goodbye
    living = asyncio.create_task(heir.run())
    await until(lambda: heir.share == 2, seconds=30)
    living.cancel()
    await asyncio.gather(dying, living, return_exceptions=True)


async def _no_goodbye() -> None:
    """A killed process sends no LeaveGroup."""
