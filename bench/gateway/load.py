"""A load generator on raw connections, so that it costs little beside what it measures."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Load:
    """What one round saw. Times in seconds."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failed: int = 0


async def drive(port: int, request: bytes, *, clients: int, requests: int) -> Load:
    """Send ``requests`` over ``clients`` kept connections, one after the other on each."""
    load = Load()
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, request, requests // clients, load) for _ in range(clients)))
    load.seconds = time.perf_counter() - began
    return load


async def _client(port: int, request: bytes, count: int, load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            load.failed += 1
        if b"content-length:" in head:
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        else:
            first = True
            while (size := int(await reader.readline(), 16)) > 0:
                await reader.readexactly(size + 2)
                if first:
                    load.first.append(time.perf_counter() - began)
                    first = False
            await reader.readline()
        load.whole.append(time.perf_counter() - began)
    writer.close()
