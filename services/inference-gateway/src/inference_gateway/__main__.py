"""`python -m inference_gateway` is the command line of this service; on uvloop, which halves what a request costs."""

import sys

from .cli import cli

if sys.platform != "win32":
    import uvloop

    uvloop.install()

cli()
