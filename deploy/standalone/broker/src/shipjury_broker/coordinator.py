"""The requests of consumer groups: find the coordinator (it is us), join, sync, heartbeat, leave, commit, fetch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused
from shipjury_broker.groups import Group
from shipjury_broker.handlers import NODE_ID, NOW, OK, Answer, Node
from shipjury_broker.limits import Limits
from shipjury_broker.members import Member, State
from shipjury_broker.offsets import Committed, CommittedOffsets
from shipjury_broker.protocol import Request
from shipjury_broker.topics import Topics

_TRANSACTIONS = 1


@dataclass(frozen=True)
class GroupHandlers:
    node: Node
    topics: Topics
    offsets: CommittedOffsets
    limits: Limits
    groups: dict[str, Group] = field(default_factory=dict)

    def _group(self, name: str) -> Group:
        if not name:
            raise Refused(ErrorCode.invalid_group_id, "a group has a name")
        if name not in self.groups:
            if len(self.groups) >= self.limits.groups:
                raise Refused(ErrorCode.policy_violation, f"at most {self.limits.groups} groups")
            self.groups[name] = Group(name, self.limits)
        return self.groups[name]

    def close(self) -> None:
        """Stops all timers."""
        for group in self.groups.values():
            group.close()

    async def find_coordinator(self, request: Request) -> Answer:
        here = {"node_id": NODE_ID, "host": self.node.host, "port": self.node.port}
        error, message = OK, None
        if getattr(request.body, "key_type", 0) == _TRANSACTIONS:
            error, message = ErrorCode.transactional_id_authorization_failed, "this broker has no transactions"
        return {"throttle_time": NOW, "error_code": error, "error_message": message, **here}

    async def join_group(self, request: Request) -> Answer:
        body = request.body
        answer: Answer = {
            "throttle_time": NOW,
            "error_code": OK,
            "generation_id": -1,
            "protocol_name": "",
            "leader": "",
            "member_id": body.member_id,
            "members": [],
        }
        try:
            group = self._group(body.group_id)
            session = body.session_timeout.total_seconds()
            member_id, is_new = body.member_id, False
            if not member_id:
                member_id, is_new = group.announce(request.client_id, session), True
                if request.version >= 4:  # from there on clients know MEMBER_ID_REQUIRED
                    return answer | {"error_code": ErrorCode.member_id_required, "member_id": member_id}
            rebalance = body.rebalance_timeout.total_seconds() if request.version >= 1 else session
            protocols = {protocol.name: protocol.metadata for protocol in body.protocols}
            member = Member(member_id, request.client_id, self.node.host, session, rebalance, protocols)
            joined = await group.join(member, body.protocol_type, is_new=is_new)
        except Refused as refused:
            return answer | {"error_code": refused.code}
        return answer | {
            "generation_id": joined.generation,
            "protocol_name": joined.protocol,
            "leader": joined.leader,
            "member_id": joined.member_id,
            "members": [{"member_id": key, "metadata": metadata} for key, metadata in joined.members.items()],
        }

    async def sync_group(self, request: Request) -> Answer:
        body = request.body
        shares = {item.member_id: item.assignment for item in body.assignments}
        try:
            share = await self._group(body.group_id).sync(body.member_id, body.generation_id, shares)
        except Refused as refused:
            return {"throttle_time": NOW, "error_code": refused.code, "assignment": b""}
        return {"throttle_time": NOW, "error_code": OK, "assignment": share}

    async def heartbeat(self, request: Request) -> Answer:
        body = request.body
        return _answer(lambda: self._group(body.group_id).heartbeat(body.member_id, body.generation_id))

    async def leave_group(self, request: Request) -> Answer:
        body = request.body
        return _answer(lambda: self._group(body.group_id).remove(body.member_id))

    async def offset_commit(self, request: Request) -> Answer:
        body = request.body

        def commit(topic: str, part: Any) -> None:
            group = self._group(body.group_id)
            group.may_commit(body.member_id, body.generation_id_or_member_epoch)
            self.topics.partition(topic, part.partition_index)
            metadata = part.committed_metadata or ""
            if len(metadata) > self.limits.metadata_size:
                raise Refused(ErrorCode.offset_metadata_too_large)
            self.offsets.commit(group.name, topic, part.partition_index, part.committed_offset, metadata)

        def answer(topic: str, part: Any) -> Answer:
            result = _answer(lambda: commit(topic, part))
            return {"partition_index": part.partition_index, "error_code": result["error_code"]}

        topics = [
            {"name": topic.name, "partitions": [answer(topic.name, part) for part in topic.partitions]}
            for topic in body.topics
        ]
        return {"throttle_time": NOW, "topics": topics}

    async def offset_fetch(self, request: Request) -> Answer:
        committed = self.offsets.fetch(request.body.group_id)
        asked: dict[str, list[int]] = {}
        if request.body.topics is None:
            for name, number in committed:
                asked.setdefault(name, []).append(number)
        else:
            asked = {topic.name: list(topic.partition_indexes) for topic in request.body.topics}
        topics = []
        for name, numbers in asked.items():
            found = [(number, committed.get((name, number), Committed(-1, ""))) for number in numbers]
            parts = [
                {"partition_index": n, "committed_offset": c.offset, "metadata": c.metadata, "error_code": OK}
                for n, c in found
            ]
            topics.append({"name": name, "partitions": parts})
        return {"throttle_time": NOW, "topics": topics, "error_code": OK}

    async def list_groups(self, request: Request) -> Answer:
        names = dict.fromkeys([*self.groups, *self.offsets.groups()])
        kinds = {name: self.groups[name].protocol_type if name in self.groups else "consumer" for name in names}
        groups = [{"group_id": name, "protocol_type": kind} for name, kind in kinds.items()]
        return {"throttle_time": NOW, "error_code": OK, "groups": groups}

    async def describe_groups(self, request: Request) -> Answer:
        return {"throttle_time": NOW, "groups": [self._describe(name) for name in request.body.groups]}

    def _describe(self, name: str) -> Answer:
        group = self.groups.get(name)
        state = group.state if group else State.EMPTY if self.offsets.fetch(name) else "Dead"
        members = group.members.values() if group else []
        return {
            "error_code": OK,
            "group_id": name,
            "group_state": str(state),
            "protocol_type": group.protocol_type if group else "",
            "protocol_data": group.protocol if group else "",
            "members": [
                {
                    "member_id": member.id,
                    "client_id": member.client_id,
                    "client_host": member.host,
                    "member_metadata": member.protocols.get(group.protocol if group else "", b""),
                    "member_assignment": member.assignment,
                }
                for member in members
            ],
        }

    async def delete_groups(self, request: Request) -> Answer:
        results = []
        for name in request.body.groups_names:

            def delete(name: str = name) -> None:
                if (group := self.groups.get(name)) is not None and group.members:
                    raise Refused(ErrorCode.non_empty_group)
                if group is None and not self.offsets.fetch(name):
                    raise Refused(ErrorCode.group_id_not_found)
                self.groups.pop(name, None)
                self.offsets.forget(group=name)

            results.append({"group_id": name, "error_code": _answer(delete)["error_code"]})
        return {"throttle_time": NOW, "results": results}


def _answer(action: Callable[[], None]) -> Answer:
    try:
        action()
    except Refused as refused:
        return {"throttle_time": NOW, "error_code": refused.code}
    return {"throttle_time": NOW, "error_code": OK}
