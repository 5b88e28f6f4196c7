"""What each request of a client does to topics and groups: one function a Kafka API, named as in protocol.VERSIONS.

Handlers take kio's request and return the answer as a dict of its fields. A `Refused` inside a list becomes that
entry's error code. Up to its first `await` a handler runs at once, so the requests of one connection take effect in
their order.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kio.schema.errors import ErrorCode

from shipjury_broker import batches
from shipjury_broker.errors import Refused
from shipjury_broker.group_commit import GroupCommit
from shipjury_broker.limits import Limits
from shipjury_broker.partition import Partition
from shipjury_broker.protocol import VERSIONS, Request
from shipjury_broker.topics import Topics

NODE_ID = 1
OK = ErrorCode.none
NOW = timedelta(0)
Answer = dict[str, Any]
Handler = Callable[[Request], Coroutine[Any, Any, Answer | None]]


@dataclass(frozen=True)
class Node:
    """What clients are told about this broker."""

    cluster_id: str
    host: str
    port: int


@dataclass(frozen=True)
class LogHandlers:
    """Everything about topics and what is in them."""

    node: Node
    topics: Topics
    commit: GroupCommit
    limits: Limits

    async def api_versions(self, request: Request) -> Answer:
        keys = [{"api_key": k, "min_version": v[1], "max_version": v[2]} for k, v in VERSIONS.items()]
        error = OK if request.version >= 0 else ErrorCode.unsupported_version
        return {"error_code": error, "api_keys": keys, "throttle_time": NOW}

    async def metadata(self, request: Request) -> Answer:
        asked = request.body.topics
        everything = asked is None or (request.version == 0 and not asked)
        names = [topic.name for topic in self.topics] if everything else [topic.name for topic in asked]
        broker = {"node_id": NODE_ID, "host": self.node.host, "port": self.node.port, "rack": None}
        return {
            "throttle_time": NOW,
            "brokers": [broker],
            "cluster_id": self.node.cluster_id,
            "controller_id": NODE_ID,
            "topics": [self._describe(name) for name in names],
        }

    def _describe(self, name: str) -> Answer:
        topic = self.topics.get(name)
        return {
            "error_code": OK if topic else ErrorCode.unknown_topic_or_partition,
            "name": name,
            "is_internal": False,
            "partitions": [
                {
                    "error_code": OK,
                    "partition_index": number,
                    "leader_id": NODE_ID,
                    "leader_epoch": 0,
                    "replica_nodes": (NODE_ID,),
                    "isr_nodes": (NODE_ID,),
                    "offline_replicas": (),
                }
                for number in range(len(topic.partitions) if topic else 0)
            ],
        }

    async def produce(self, request: Request) -> Answer | None:
        """Answers with acks=-1 when the batch is fsynced, with acks=1 when it is written, with acks=0 not at all."""
        acks = request.body.acks
        waiting: list[asyncio.Future[None]] = []
        answers = []
        for topic in request.body.topic_data:
            parts = [self._append(request.body, topic.name, part, waiting) for part in topic.partition_data]
            answers.append({"name": topic.name, "partition_responses": parts})
        if acks == -1:
            await asyncio.gather(*waiting, return_exceptions=True)
        for answer in answers:
            for part in answer["partition_responses"]:
                self._confirm(part, part.pop("durable"))
        return {"responses": answers, "throttle_time": NOW} if acks != 0 else None

    def _append(self, body: Any, topic: str, part: Any, waiting: list[asyncio.Future[None]]) -> Answer:
        answer: Answer = {
            "index": part.index,
            "error_code": OK,
            "base_offset": -1,
            "log_append_time": None,
            "log_start_offset": -1,
            "record_errors": [],
            "error_message": None,
            "durable": None,
        }
        try:
            _check_promise(body)
            partition = self.topics.partition(topic, part.index)
            batch = batches.accept(part.records, self.limits.batch_size)
            answer["base_offset"] = partition.append(part.records, batch)
            answer["log_start_offset"] = partition.log_start
            answer["durable"] = partition.durable()
            waiting.append(answer["durable"])
            self.commit.request(partition)
        except Refused as refused:
            answer |= {"error_code": refused.code, "error_message": refused.reason}
        return answer

    @staticmethod
    def _confirm(answer: Answer, durable: asyncio.Future[None] | None) -> None:
        if durable is not None and durable.done() and isinstance(refused := durable.exception(), Refused):
            answer |= {"error_code": refused.code, "error_message": refused.reason, "base_offset": -1}

    async def fetch(self, request: Request) -> Answer:
        """Waits for `min_bytes` at most for `max_wait`. Fetch sessions are not kept: every answer is a full one."""
        body = request.body
        wanted = list(self._wanted(body))
        answers, size = self._read(wanted, body.max_bytes)
        wait = min(body.max_wait.total_seconds(), self.limits.fetch_wait)
        until = asyncio.get_running_loop().time() + wait
        news = asyncio.Event()
        watched = [partition for _, _, partition in wanted if isinstance(partition, Partition)]
        for partition in watched:
            partition.watchers.add(news)
        try:
            while size < body.min_bytes and len(watched) == len(wanted) and not self._any_error(answers):
                async with asyncio.timeout_at(until):
                    await news.wait()
                news.clear()
                answers, size = self._read(wanted, body.max_bytes)
        except TimeoutError:
            pass
        finally:
            for partition in watched:
                partition.watchers.discard(news)
        return {"throttle_time": NOW, "error_code": OK, "session_id": 0, "responses": answers}

    def _wanted(self, body: Any) -> Iterator[tuple[str, Any, Partition | Refused]]:
        for topic in body.topics:
            for part in topic.partitions:
                try:
                    yield topic.topic, part, self.topics.partition(topic.topic, part.partition)
                except Refused as refused:
                    yield topic.topic, part, refused

    def _read(self, wanted: list[tuple[str, Any, Partition | Refused]], max_bytes: int) -> tuple[list[Answer], int]:
        left, size = min(max_bytes, self.limits.fetch_size), 0
        by_topic: dict[str, list[Answer]] = {}
        for topic, part, partition in wanted:
            answer: Answer = {
                "partition_index": part.partition,
                "error_code": OK,
                "high_watermark": -1,
                "aborted_transactions": [],
                "records": b"",
            }
            try:
                if isinstance(partition, Refused):
                    raise partition
                high = partition.high_watermark
                answer |= {
                    "high_watermark": high,
                    "last_stable_offset": high,
                    "log_start_offset": partition.log_start,
                    "records": partition.read(part.fetch_offset, min(part.partition_max_bytes, left)),
                }
            except Refused as refused:
                answer["error_code"] = refused.code
            left -= len(answer["records"])
            size += len(answer["records"])
            by_topic.setdefault(topic, []).append(answer)
        return [{"topic": topic, "partitions": parts} for topic, parts in by_topic.items()], size

    @staticmethod
    def _any_error(answers: list[Answer]) -> bool:
        return any(part["error_code"] != OK for topic in answers for part in topic["partitions"])

    async def list_offsets(self, request: Request) -> Answer:
        topics = [
            {"name": topic.name, "partitions": [self._offset(topic.name, part) for part in topic.partitions]}
            for topic in request.body.topics
        ]
        return {"throttle_time": NOW, "topics": topics}

    def _offset(self, topic: str, part: Any) -> Answer:
        """By Kafka's codes: -1 the latest, -2 the earliest, -3 the one with the latest time, else a time in ms."""
        answer: Answer = {"partition_index": part.partition_index, "error_code": OK, "timestamp": -1, "offset": -1}
        try:
            partition = self.topics.partition(topic, part.partition_index)
        except Refused as refused:
            return answer | {"error_code": refused.code}
        if part.timestamp == -1:
            return answer | {"offset": partition.high_watermark, "leader_epoch": 0}
        if part.timestamp == -2:
            return answer | {"offset": partition.log_start, "leader_epoch": 0}
        asked = partition.latest_time() if part.timestamp == -3 else part.timestamp
        if asked is not None and (found := partition.offset_at(asked)) is not None:
            return answer | {"offset": found[0], "timestamp": found[1], "leader_epoch": 0}
        return answer

    async def init_producer_id(self, request: Request) -> Answer:
        """Random 62-bit ids: nothing to keep, nothing that repeats after a restart."""
        if request.body.transactional_id is not None:
            error = ErrorCode.transactional_id_authorization_failed
            return {"throttle_time": NOW, "error_code": error, "producer_id": -1, "producer_epoch": -1}
        producer_id = secrets.randbits(62)
        return {"throttle_time": NOW, "error_code": OK, "producer_id": producer_id, "producer_epoch": 0}


def _check_promise(body: Any) -> None:
    if body.acks not in (-1, 0, 1):
        raise Refused(ErrorCode.invalid_required_acks)
    if body.transactional_id is not None:
        raise Refused(ErrorCode.transactional_id_authorization_failed, "this broker has no transactions")
