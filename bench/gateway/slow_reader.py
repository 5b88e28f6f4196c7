"""Resident memory of the gateway while clients do not read their streams, and after they did; see README.md."""

import argparse
import asyncio
import socket
import time

from behaviour import seen
from run import machine
from servers import Server, running

_MESSAGE = "flood:{} please"


async def ask(server: Server, megabytes: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream and read nothing. The socket's own buffer is small, so that what waits, waits in the gateway."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=64 * 1024)
    messages = [{"role": "user", "content": _MESSAGE.format(megabytes)}]
    writer.write(server.request(stream=True, messages=messages))
    return reader, writer


async def read(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read a stream to its end: how many bytes it had, and whether it ended with `[DONE]`."""
    count, tail = 0, b""
    while not tail.endswith(b"0\r\n\r\n"):
        data = await asyncio.wait_for(reader.read(1 << 20), 60)
        if not data:
            break
        count, tail = count + len(data), (tail + data)[-64:]
    return count, b"[DONE]" in tail


async def main(servers: dict[str, Server], clients: int, megabytes: int, seconds: float) -> None:
    """Print what is held, second by second, and what one client reads in the end."""
    server, upstream = servers["gateway"], servers["upstream"]
    reader, writer = await ask(server, 1)  # what the first stream loads is not what a slow one holds
    await read(reader)
    writer.close()
    before, done = server.resident_mib(), len(await seen(upstream))
    print(f"{machine()}\n\n{clients} clients of {megabytes} MiB each; {before:.1f} MiB before\n")
    print("| seconds | resident MiB | taken from the upstream, MiB a stream |\n| --- | --- | --- |")
    opened = [await ask(server, megabytes) for _ in range(clients)]
    began, most = time.monotonic(), before
    while (passed := time.monotonic() - began) < seconds:
        await asyncio.sleep(seconds / 10)
        most = max(most, server.resident_mib())
        taken = [int(str(one)) / 2**20 for one in (await seen(upstream))[done:]]
        print(f"| {passed:.0f} | {server.resident_mib():.1f} | {max(taken, default=0):.2f} at most |", flush=True)
    print(f"\n{(most - before) / clients:.2f} MiB more for each client that reads nothing")
    count, ended = await read(opened[0][0])
    told = "and `[DONE]`" if ended else "WITHOUT `[DONE]`"
    print(f"one client reads on: {count / 2**20:.1f} MiB {told}, {server.resident_mib():.1f} MiB resident")
    for _, writer in opened:
        writer.transport.abort()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with running(["gateway"], upstream="flood.py") as started:
        asyncio.run(main(started, options.clients, options.megabytes, options.seconds))
