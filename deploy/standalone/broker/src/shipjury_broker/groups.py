"""Consumer groups: who is a member, who leads, which generation counts; the partitions are shared out by the leader.

Kafka's classic group protocol. A rebalance waits until every member has joined again, at most for the longest rebalance
timeout; whoever did not is out. A member that is silent for its session timeout is out. Membership is in memory: after
a restart members join again; their committed offsets are on disk (offsets.py).
"""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from kio.schema.errors import ErrorCode

from shipjury_broker.errors import Refused
from shipjury_broker.limits import Limits
from shipjury_broker.members import Joined, Member, State, shared_strategies


@dataclass
class Group:
    """One group, driven by its members' requests and by timers of the running loop."""

    name: str
    limits: Limits
    state: State = State.EMPTY
    generation: int = 0
    protocol_type: str = ""
    protocol: str = ""
    leader: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    _announced: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _deadline: asyncio.TimerHandle | None = None

    # -- joining ----------------------------------------------------------------------------------------------------

    def announce(self, client_id: str, session_timeout: float) -> str:
        """A new member's id, which it must come back with (KIP-394: a client that gave up leaves no ghost)."""
        member_id = f"{client_id}-{uuid.uuid4()}"
        loop = asyncio.get_running_loop()
        self._announced[member_id] = loop.call_later(session_timeout, self._forget_announced, member_id)
        return member_id

    def _forget_announced(self, member_id: str) -> None:
        if handle := self._announced.pop(member_id, None):
            handle.cancel()
            self._complete_if_all_joined()

    async def join(self, member: Member, protocol_type: str, *, is_new: bool) -> Joined:
        """Joins or joins again; returns when the generation is complete. Raises Refused."""
        self._check_join(member, protocol_type, is_new=is_new)
        known = self.members.get(member.id)
        if known is not None:
            unchanged = known.protocols == member.protocols
            known.protocols = member.protocols
            known.session_timeout, known.rebalance_timeout = member.session_timeout, member.rebalance_timeout
            if unchanged and (self.state == State.SYNCING or (self.state == State.STABLE and member.id != self.leader)):
                self._alive(known)
                return self._joined(known)  # its answer got lost; nothing changed for the others
            member = known
        else:
            self.members[member.id] = member
            self.protocol_type = protocol_type
        if (handle := self._announced.pop(member.id, None)) is not None:
            handle.cancel()
        joining: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        _supersede(member.joining)
        member.joining = joining
        self._stop_expiry(member)
        self._rebalance()
        try:
            return await joining
        except asyncio.CancelledError:
            if member.joining is joining:  # the connection is gone: don't let the others wait for it
                self.remove(member.id)
            raise

    def _check_join(self, member: Member, protocol_type: str, *, is_new: bool) -> None:
        if not self.limits.session_timeout_min <= member.session_timeout <= self.limits.session_timeout_max:
            raise Refused(ErrorCode.invalid_session_timeout)
        if not is_new and member.id not in self.members and member.id not in self._announced:
            raise Refused(ErrorCode.unknown_member_id)
        if member.id not in self.members and len(self.members) >= self.limits.group_members:
            raise Refused(ErrorCode.group_max_size_reached)
        others = [other for other in self.members.values() if other.id != member.id]
        if not member.protocols or not protocol_type:
            raise Refused(ErrorCode.inconsistent_group_protocol)
        if others and (protocol_type != self.protocol_type or not shared_strategies(member, others)):
            raise Refused(ErrorCode.inconsistent_group_protocol)

    def _rebalance(self) -> None:
        if self.state != State.JOINING:
            self.state = State.JOINING
            for member in self.members.values():
                if member.syncing is not None and not member.syncing.done():
                    member.syncing.set_exception(Refused(ErrorCode.rebalance_in_progress))
            longest = max(member.rebalance_timeout for member in self.members.values())
            self._deadline = asyncio.get_running_loop().call_later(longest, self._complete)
        self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if self.state == State.JOINING and not self._announced and all(m.joining for m in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        for member in [member for member in self.members.values() if member.joining is None]:
            self._stop_expiry(self.members.pop(member.id))
        self.generation += 1
        if not self.members:
            self.state, self.leader, self.protocol = State.EMPTY, "", ""
            return
        self.state = State.SYNCING
        members = list(self.members.values())
        self.protocol = shared_strategies(members[0], members[1:])[0]
        if self.leader not in self.members:
            self.leader = members[0].id
        for member in members:
            joining, member.joining, member.assignment = member.joining, None, b""
            self._alive(member)
            if joining is not None and not joining.done():
                joining.set_result(self._joined(member))

    def _joined(self, member: Member) -> Joined:
        everybody = {other.id: other.protocols[self.protocol] for other in self.members.values()}
        leads = member.id == self.leader
        return Joined(self.generation, self.protocol, self.leader, member.id, everybody if leads else {})

    # -- a generation's life ----------------------------------------------------------------------------------------

    def check(self, member_id: str, generation: int) -> Member:
        """The member, if it belongs to the present generation. Raises Refused."""
        member = self.members.get(member_id)
        if member is None:
            raise Refused(ErrorCode.unknown_member_id)
        if generation != self.generation:
            raise Refused(ErrorCode.illegal_generation)
        return member

    async def sync(self, member_id: str, generation: int, assignments: dict[str, bytes]) -> bytes:
        """The member's share. The leader brings everybody's; the others wait for it. Raises Refused."""
        member = self.check(member_id, generation)
        self._alive(member)
        if self.state == State.JOINING:
            raise Refused(ErrorCode.rebalance_in_progress)
        if self.state == State.SYNCING and member_id == self.leader:
            self.state = State.STABLE
            for other in self.members.values():
                other.assignment = assignments.get(other.id, b"")
                if other.syncing is not None and not other.syncing.done():
                    other.syncing.set_result(other.assignment)
        if self.state == State.STABLE:
            return member.assignment
        return await self._wait_for_share(member)

    async def _wait_for_share(self, member: Member) -> bytes:
        """While it waits for the leader a member counts as alive (it sends no heartbeats then), as in Kafka."""
        _supersede(member.syncing)
        member.syncing = asyncio.get_running_loop().create_future()
        self._stop_expiry(member)
        try:
            return await member.syncing
        finally:
            if self.members.get(member.id) is member:
                self._alive(member)

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Raises Refused(rebalance_in_progress) when the member shall join again."""
        self._alive(self.check(member_id, generation))
        if self.state == State.JOINING:
            raise Refused(ErrorCode.rebalance_in_progress)

    def may_commit(self, member_id: str, generation: int) -> None:
        """Members of this generation may, and anybody (by generation -1) while the group is empty. Raises Refused."""
        if generation < 0 and not self.members:
            return
        self._alive(self.check(member_id, generation))
        if self.state == State.SYNCING:
            raise Refused(ErrorCode.rebalance_in_progress)

    def remove(self, member_id: str) -> None:
        """The member left, or was silent too long. Raises Refused if it is none."""
        member = self.members.pop(member_id, None)
        if member is None:
            if member_id not in self._announced:
                raise Refused(ErrorCode.unknown_member_id)
            self._forget_announced(member_id)
            return
        self._stop_expiry(member)
        for future in (member.joining, member.syncing):
            if future is not None and not future.done():
                future.set_exception(Refused(ErrorCode.unknown_member_id))
        if self.members:
            self._rebalance()
        else:
            self._complete()

    def _alive(self, member: Member) -> None:
        self._stop_expiry(member)
        if member.joining is None:
            loop = asyncio.get_running_loop()
            member.expiry = loop.call_later(member.session_timeout, self.remove, member.id)

    @staticmethod
    def _stop_expiry(member: Member) -> None:
        if member.expiry is not None:
            member.expiry.cancel()
            member.expiry = None

    def close(self) -> None:
        """Stops all timers."""
        for handle in [*self._announced.values(), *(member.expiry for member in self.members.values()), self._deadline]:
            if handle is not None:
                handle.cancel()


def _supersede(waiting: asyncio.Future[Any] | None) -> None:
    """The same member asked again, on another connection: nobody listens to the first answer any more."""
    if waiting is not None:
        waiting.cancel()
