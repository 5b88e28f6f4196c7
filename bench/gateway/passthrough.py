"""What the gateway is held against: bare ASGI with aiohttp and orjson, and nothing else; with `--scripts` also the two
Redis scripts that any gateway with budgets must run, one before a request and one after it."""

import asyncio
import os
import sys
from typing import Any

import aiohttp
import orjson
import redis.asyncio as redis
import uvicorn
import uvloop

_RESERVE = "redis.call('INCRBY', KEYS[1], ARGV[1]); redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]); return 1"
_SETTLE = (
    "redis.call('HDEL', KEYS[2], ARGV[2]); redis.call('INCRBY', KEYS[1], ARGV[1]);"
    "redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'o', ARGV[3]); return 1"
)


class Scripts:
    """The two scripts, by redis-py on hiredis: as one would write it."""

    def __init__(self, url: str) -> None:
        self._redis = redis.from_url(url)
        self._reserve = self._redis.register_script(_RESERVE)
        self._settle = self._redis.register_script(_SETTLE)
        self._number = 0

    async def reserve(self) -> str:
        """Before a request."""
        self._number += 1
        name = str(self._number)
        await self._reserve(keys=["pass:c", "pass:o"], args=[100, name, b"facts"])
        return name

    async def settle(self, name: str) -> None:
        """After a request."""
        await self._settle(keys=["pass:c", "pass:o", "pass:s"], args=[-50, name, b"outcome"])


class NoScripts:
    """The limit: nothing is reserved."""

    async def reserve(self) -> str:
        """Nothing."""
        return ""

    async def settle(self, name: str) -> None:
        """Nothing."""


class PassThrough:
    """Reserve, forward, settle."""

    def __init__(self, scripts: Scripts | NoScripts) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._scripts = scripts
        self._upstream = os.environ["BENCH_UPSTREAM"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        body = (await receive())["body"]
        orjson.loads(body)
        name = await self._scripts.reserve()
        async with self._session.post(
            self._upstream + scope["path"], data=body, headers={"Content-Type": "application/json"}
        ) as response:
            start = {"type": "http.response.start", "status": response.status}
            kind = response.headers["Content-Type"].encode()
            if kind == b"application/json":
                raw = await response.read()
                orjson.loads(raw)
                await self._scripts.settle(name)
                length = str(len(raw)).encode()
                await send(start | {"headers": [(b"content-type", kind), (b"content-length", length)]})
                await send({"type": "http.response.body", "body": raw})
                return
            await send(start | {"headers": [(b"content-type", kind)]})
            async for piece in response.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await self._scripts.settle(name)
            await send({"type": "http.response.body", "body": b""})


async def main() -> None:
    """Serve on the port given."""
    scripts = Scripts(os.environ["BENCH_REDIS_URL"]) if "--scripts" in sys.argv else NoScripts()
    config = uvicorn.Config(
        PassThrough(scripts),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    await uvicorn.Server(config).serve()


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
asyncio.run(main())
