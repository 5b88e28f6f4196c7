"""A small one-node log that speaks the Kafka protocol, so that the standalone needs no Kafka to keep every event.

What it is: produce, fetch, consumer groups, committed offsets, topics, idempotent producers, compaction and retention
(both when it starts), on files that survive kill -9. Any Kafka client on this machine can use it.

What it is not: there is no replication, there are no transactions (clients get a Kafka error that says so), no static
group membership, no authentication; it binds to loopback only. Past one machine there is Kafka.

    broker = Broker(Path("data"), port=0)
    await broker.start()        # broker.address is "127.0.0.1:41873"
    await broker.stop()
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shipjury_broker.server import Broker

__all__ = ["Broker"]


def __getattr__(name: str) -> Any:
    """`Broker`, imported when it is asked for: `__main__` has something to do before that."""
    if name != "Broker":
        raise AttributeError(name)
    from shipjury_broker.server import Broker

    return Broker
