"""`python -m tests.sim --port 0`: serve the simulated providers; the first line of output is the address."""

import argparse
import asyncio

from aiohttp import web

from . import tls
from .server import TLS, make_app


async def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    app = make_app()
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", parser.parse_args().port)
    await site.start()
    host, port = runner.addresses[0][:2]
    app[TLS].update(await tls.listen(runner))
    print(f"http://{host}:{port}", flush=True)  # noqa: T201
    await asyncio.Event().wait()


asyncio.run(main())
