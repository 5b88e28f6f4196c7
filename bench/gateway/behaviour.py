"""What each gateway does when something goes wrong: one run, the same faults, told as a table. See README.md."""

import argparse
import asyncio
import time
from dataclasses import dataclass, field

import orjson
from run import machine
from servers import Server, running

NAMES = ["gateway", "LiteLLM", "Portkey, older"]
"""On the web server that npm gives it by default, Portkey's streams are refused (:mod:`peers`)."""


@dataclass
class Heard:
    """What a client heard of one request."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    seconds: float = 0.0
    longest_silence: float = 0.0
    clean: bool = False
    """Whether HTTP itself ended in order (the last chunk came)."""

    def tells(self) -> str:
        """In words."""
        events = [line[5:].strip() for line in self.text.split("\n") if line.startswith("data:")]
        contents = sum('"content":"w' in event for event in events)
        error = next((event for event in events if '"error"' in event), "")
        said = [f"{contents} events" if self.status == 200 else f"status {self.status}, {contents} events"]
        if error:
            told = orjson.loads(error)["error"]
            said.append(f"an error event (`{told.get('code') or told.get('type') or told.get('message')}`)")
        said.append("then `[DONE]`" if "[DONE]" in events else "no `[DONE]`")
        said.append("HTTP ends in order" if self.clean else "the connection breaks off")
        return ", ".join(said)


async def ask(server: Server, fault: str, *, leave_after: int | None = None) -> Heard:
    """Ask for a stream with a fault; leave after so many events, or read to the end."""
    heard = Heard()
    began = last = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    messages = [{"role": "user", "content": f"fault:{fault} please"}]
    writer.write(server.request(stream=True, messages=messages))
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    heard.status = int(head[0].split(" ")[1])
    heard.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    raw = b""
    while not _complete(raw, heard):
        data = await asyncio.wait_for(reader.read(65536), 90)
        heard.longest_silence = max(heard.longest_silence, time.monotonic() - last)
        last = time.monotonic()
        if not data:
            break
        raw += data
        if leave_after is not None and raw.count(b"data:") >= leave_after:
            break
    heard.clean = _complete(raw, heard)
    heard.text = raw.decode(errors="replace")
    heard.seconds = time.monotonic() - began
    writer.transport.abort()
    return heard


def _complete(raw: bytes, heard: Heard) -> bool:
    length = heard.headers.get("content-length")
    return len(raw) >= int(length) if length is not None else raw.endswith(b"0\r\n\r\n")


async def seen(upstream: Server) -> list[dict[str, object]]:
    """What the upstream saw so far."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(b"GET /seen HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    found = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
    writer.close()
    return list(orjson.loads(found))


async def one(server: Server, upstream: Server) -> dict[str, str]:
    """All faults on one gateway, in words."""
    told = {"The stream is cut after 10 events": (await ask(server, "cut")).tells()}
    before = len(await seen(upstream))
    await ask(server, "slow", leave_after=3)
    await asyncio.sleep(7)  # the slow stream takes five seconds
    left = (await seen(upstream))[before]
    after = f" after {left['after_s']} s" if "after_s" in left else ""
    told["The client leaves after 3 of 50 events, 5 s"] = f"the upstream's stream {left['ended']}{after}"
    before = len(await seen(upstream))
    refused = await ask(server, "429")
    calls = len(await seen(upstream)) - before
    wait = refused.headers.get("retry-after")
    told["A 429 with `Retry-After: 7`"] = (
        f"{refused.status} after {refused.seconds:.1f} s and {calls} call{'s' if calls > 1 else ''}, "
        + (f"`Retry-After: {wait}`" if wait else "no Retry-After")
    )
    if wait:
        await asyncio.sleep(float(wait) + 0.5)  # a gateway that honours it calls nobody before
    silent = await ask(server, "silence")
    told["30 seconds of silence after 10 events"] = f"longest silence {silent.longest_silence:.0f} s; {silent.tells()}"
    return told


async def main(servers: dict[str, Server]) -> None:
    """Print the table."""
    upstream = servers["upstream"]
    peers = [server for name, server in servers.items() if name != "upstream"]
    columns = [await one(server, upstream) for server in peers]
    names = [f"{server.name} {server.version}".strip() for server in peers]
    print(f"\n| {machine()} | {' | '.join(names)} |\n| --- | {' | '.join('---' for _ in names)} |")
    for what in columns[0]:
        print(f"| {what} | {' | '.join(column[what] for column in columns)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", default=NAMES, choices=[*NAMES, "Portkey"])
    with running(parser.parse_args().servers, upstream="faulty.py") as started:
        asyncio.run(main(started))
