"""`python -m panel` is the command line of this service."""

from .cli import cli

cli()
