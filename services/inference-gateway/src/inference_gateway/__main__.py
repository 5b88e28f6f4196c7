"""`python -m inference_gateway` is the command line of this service."""

from .cli import cli

cli()
