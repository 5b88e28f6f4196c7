"""Stands where vLLM's command stands: records what the real one answers, byte for byte, or answers with the recording.

``vllm_double.py replay|record FILE [REAL] serve FOLDER --port N ...``. A recording is a list of exchanges: method,
path, whether the key was there, the request's JSON; the answer's bytes in the pieces in which they came; whether the
client left before its end. A replayed server knows no other request: anything else gets 599, which fails any test. It
refuses flags that the recorded one was not started with, and keeps an unfinished exchange open until its client leaves.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BUSY = re.compile(rb"^(vllm:num_requests_running\{[^}]*\}) \S+$", re.MULTILINE)
# What may differ from one start to the next.
_FREE = ("--port", "--served-model-name")


class Exchange(dict):  # type: ignore[type-arg]
    """One request and its answer, as it stands in the file."""

    @property
    def key(self) -> str:
        """What a request is recognized by."""
        return json.dumps([self["method"], self["path"], self["authorized"], self["body"]], sort_keys=True)

    @property
    def pieces(self) -> list[bytes]:
        """The answer's bytes."""
        return [piece.encode("latin-1") for piece in self["pieces"]]


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, Exchange]:
    """A request, as bytes and as what is compared."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    method, path, _ = head.split(b" ", 2)
    key = f"Bearer {os.environ['VLLM_API_KEY']}".encode()
    return head + body, Exchange(
        method=method.decode(),
        path=path.decode(),
        authorized=key in head,
        body=json.loads(body) if body else None,
    )


class Replayer:
    """Answers from a recording; a request that was recorded several times gets the answers in their order."""

    def __init__(self, recording: dict[str, Any]) -> None:
        self._answers: dict[str, list[Exchange]] = defaultdict(list)
        for raw in recording["exchanges"]:
            exchange = Exchange(raw)
            self._answers[exchange.key].append(exchange)
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, asked = await read_request(reader)
        known = self._answers.get(asked.key)
        if known is None:
            said = f"not recorded: {asked.key}"
            sys.stderr.write(said + "\n")
            body = json.dumps({"error": {"message": said}}).encode()
            writer.write(b"HTTP/1.1 599 Unknown\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            return
        exchange = known.pop(0) if len(known) > 1 else known[0]
        self._open += asked["method"] == "POST"
        try:
            for piece in exchange.pieces:
                live = b"%d.0" % self._open
                page = asked["path"] == "/metrics"
                writer.write(_BUSY.sub(rb"\1 " + live, piece) if page else piece)
                await writer.drain()
            if exchange["left"]:
                await reader.read()  # until the client leaves
        finally:
            self._open -= asked["method"] == "POST"


class Recorder:
    """Passes bytes between a client and the real server, and keeps them."""

    def __init__(self, port: int, file: Path, flags: list[str]) -> None:
        self._port, self._file = port, file
        self._made: list[Exchange] = []
        self._flags = flags

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request, as the runner's client makes them."""
        try:
            raw, exchange = await read_request(reader)
            upstream, sending = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        sending.write(re.sub(rb"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", raw, count=1))
        pieces: list[bytes] = []
        left = asyncio.create_task(reader.read(1))
        while True:
            coming = asyncio.create_task(upstream.read(1 << 20))
            await asyncio.wait({coming, left}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                break
            if not (piece := coming.result()):
                break
            pieces.append(piece)
            writer.write(piece)
        gone = not _is_whole(b"".join(pieces))
        left.cancel()
        sending.close()
        writer.close()
        self._keep(Exchange(exchange, pieces=[piece.decode("latin-1") for piece in pieces], left=gone))

    def _keep(self, exchange: Exchange) -> None:
        if exchange["path"] == "/metrics":
            lines = "".join(exchange["pieces"]).splitlines()
            kept = [line for line in lines if re.search("num_requests_running|kv_cache_usage_perc", line)]
            body = "\n".join(kept) + "\n"
            exchange["pieces"] = [f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"]
        same = [one for one in self._made if one.key == exchange.key and one["pieces"][-1:] == exchange["pieces"][-1:]]
        if not same or exchange["path"] not in ("/metrics", "/health"):
            self._made.append(exchange)
        self._file.write_text(json.dumps({"flags": self._flags, "exchanges": self._made}, indent=1) + "\n")


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def compared(flags: list[str]) -> list[str]:
    """The flags without what may differ: the folder, the port, the name."""
    kept = iter(flags[1:])
    return [flag for flag in kept if not (flag in _FREE and next(kept))]


def port_of(flags: list[str]) -> int:
    """The port to listen on."""
    return int(flags[flags.index("--port") + 1])


async def replay(recording: dict[str, Any], flags: list[str]) -> None:
    """Serve a recording until SIGTERM."""
    if compared(flags) != recording["flags"]:
        raise SystemExit(f"error: recorded with other flags: {recording['flags']}, not {compared(flags)}")
    async with await asyncio.start_server(Replayer(recording).serve, "127.0.0.1", port_of(flags)):
        await _asked_to_end()


async def record(file: Path, real: str, flags: list[str]) -> None:
    """Start the real one on another port, serve in front of it until SIGTERM or its end."""
    port = port_of(flags) + 1 if port_of(flags) < 65000 else port_of(flags) - 1
    theirs = [str(port) if flags[place - 1] == "--port" else flag for place, flag in enumerate(flags)]
    process = await asyncio.create_subprocess_exec(real, "serve", *theirs)
    recorder = Recorder(port, file, compared(flags))
    async with await asyncio.start_server(recorder.serve, "127.0.0.1", port_of(flags)):
        ending = [asyncio.ensure_future(_asked_to_end()), asyncio.ensure_future(process.wait())]
        await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    raise SystemExit(await process.wait())


async def _asked_to_end() -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await asked.wait()


def installed(folder: Path, *arguments: str) -> Path:
    """A command like the one of a virtual environment with vLLM in it, that runs this file with these arguments."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "python3" / "site-packages" / "vllm-0.32.0+cpu.dist-info").mkdir(parents=True)
    command = folder / "bin" / "vllm"
    words = " ".join(f"'{word}'" for word in (sys.executable, __file__, *arguments))
    command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    command.chmod(0o755)
    return command


def main(mode: str, file: str, *rest: str) -> None:
    """As a command."""
    words: Iterator[str] = iter(rest)
    real = next(words) if mode == "record" else ""
    if next(words) != "serve":
        raise SystemExit("error: only 'serve' is known")
    flags = list(words)
    asyncio.run(
        record(Path(file), real, flags) if mode == "record" else replay(json.loads(Path(file).read_text()), flags)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
