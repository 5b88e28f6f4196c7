"""`python -m notifier` is the command line of this service."""

from .cli import cli

cli()
