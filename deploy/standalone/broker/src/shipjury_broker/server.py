"""The broker as a server: a listening socket on loopback, a reader and a writer a connection, a clean stop.

Requests of a connection are started in their order and answered in their order, as Kafka does, but the next is read
while one still waits for an fsync: that is what lets many small produce requests share one.
"""

import asyncio
import fcntl
import ipaddress
import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from shipjury_broker.admin import AdminHandlers
from shipjury_broker.coordinator import GroupHandlers
from shipjury_broker.errors import BrokerError
from shipjury_broker.group_commit import GroupCommit
from shipjury_broker.handlers import Answer, Handler, LogHandlers, Node
from shipjury_broker.limits import Limits
from shipjury_broker.logfile import write_durably
from shipjury_broker.offsets import CommittedOffsets
from shipjury_broker.protocol import VERSIONS, Request, decode, encode
from shipjury_broker.topics import Topics

log = logging.getLogger(__name__)
_FORMAT = 1
_Pending = asyncio.Queue[tuple[Request, asyncio.Task[Answer | None]]]


class Broker:
    """One broker on one folder. `port` 0 takes a free one; `address` says which, after `start()`.

    Raises BrokerError, with one sentence, for an address that is not loopback, a port or a folder in use, and data of
    a later version.
    """

    def __init__(
        self,
        data: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not _is_loopback(host):
            raise BrokerError(
                f"the broker listens on loopback only (it has no authentication): 127.0.0.1 or ::1, not {host}"
            )
        self._data, self._host, self._port = Path(data), "127.0.0.1" if host == "localhost" else host, port
        self._limits, self._clock = limits or Limits(), clock
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """`host:port`, for bootstrap servers."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Recovers the data, applies the topics' policies, then listens."""
        with ExitStack() as undo:
            try:
                undo.callback(os.close, _lock(self._data))
                cluster_id = _cluster_id(self._data)
                topics = Topics(self._data / "topics", self._limits)
                undo.callback(topics.close)
                topics.open(int(self._clock() * 1000))
                offsets = CommittedOffsets(self._data / "offsets.jsonl")
                undo.callback(offsets.close)
            except OSError as error:
                raise BrokerError(f"the broker can't use {self._data}: {error.strerror}") from error
            try:
                self._server = await asyncio.start_server(self._connected, self._host, self._port)
            except OSError as error:
                raise BrokerError(f"port {self._port} on {self._host} can't be had: {error.strerror}") from error
            self._port = self._server.sockets[0].getsockname()[1]
            commit = GroupCommit(offsets)
            self._handlers = self._route(Node(cluster_id, self._host, self._port), topics, offsets, commit, undo)
            self._committing = asyncio.create_task(commit.run())
            self._undo = undo.pop_all()

    def _route(
        self, node: Node, topics: Topics, offsets: CommittedOffsets, commit: GroupCommit, undo: ExitStack
    ) -> dict[str, Handler]:
        groups = GroupHandlers(node, topics, offsets, self._limits)
        undo.callback(groups.close)
        parts = (
            LogHandlers(node, topics, commit, self._limits),
            AdminHandlers(topics, offsets, self._limits),
            groups,
        )
        names = [name for name, _, _ in VERSIONS.values()]
        return {name: getattr(part, name) for name in names for part in parts if hasattr(part, name)}

    async def stop(self) -> None:
        """Answers nobody any more, brings everything to disk and lets go of the folder."""
        self._server.close()
        ending = [*self._connections, self._committing]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._undo.close()

    # -- connections ------------------------------------------------------------------------------------------------

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._limits.connections:
            log.warning("more than %d connections: one refused", self._limits.connections)
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pending: _Pending = asyncio.Queue(self._limits.requests_in_flight)
        answering = asyncio.create_task(self._answer(pending, writer))
        reading = asyncio.create_task(self._read(reader, pending))
        try:
            await asyncio.wait([reading, answering], return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.close()
            ending: list[asyncio.Task[Any]] = [reading, answering]
            while not pending.empty():
                ending.append(pending.get_nowait()[1])
            for part in ending:
                part.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader, pending: _Pending) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > self._limits.request_size:
                    log.warning("a request of %d bytes refused: at most %d", size, self._limits.request_size)
                    return
                request = decode(await reader.readexactly(size))
                if request is None:
                    log.warning("a request of a kind or version that this broker does not serve")
                    return
                await pending.put((request, asyncio.create_task(self._handlers[request.name](request))))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except Exception as error:  # noqa: BLE001 - whatever kio makes of strange bytes; the connection ends
            log.warning("not a Kafka request: %r", error)

    async def _answer(self, pending: _Pending, writer: asyncio.StreamWriter) -> None:
        while True:
            request, task = await pending.get()
            try:
                answer = await task
                if answer is not None:
                    writer.write(encode(request, answer))
                    await writer.drain()
            except ConnectionError:
                return
            except Exception:
                log.exception("%s failed", request.name)
                return
            finally:
                task.cancel()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _lock(data: Path) -> int:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise BrokerError(f"{data} is in use by another broker") from error
    return fd


def _cluster_id(data: Path) -> str:
    path = data / "broker.json"
    if not path.exists():
        write_durably(path, json.dumps({"format": _FORMAT, "cluster_id": uuid.uuid4().hex}).encode())
    kept = json.loads(path.read_text())
    if kept["format"] > _FORMAT:
        raise BrokerError(f"{data} was written by a later version of this broker")
    return str(kept["cluster_id"])
