"""`python -m edge_runner` is the command line of this service."""

from .cli import cli

cli()
