"""The command line of the gateway: what containers run, and what operators type (``shipjury gateway ...``)."""

import typer

from shipjury_delivery import service_cli

from ..app import SERVICE, api, worker
from ..settings import Settings
from .accounts import budgets, keys, projects
from .anomalies import commands as anomalies
from .credentials import credentials
from .providers import commands as providers
from .providers import prices
from .reconcile import commands as corrections
from .reconcile import reconcile
from .usage import usage

commands = typer.Typer(no_args_is_help=True, help="Projects, keys, budgets, providers, prices, usage, anomalies.")
commands.add_typer(projects, name="projects")
commands.add_typer(keys, name="keys")
commands.add_typer(budgets, name="budgets")
commands.add_typer(credentials, name="credentials")
commands.add_typer(providers, name="providers")
commands.add_typer(anomalies, name="anomalies")
commands.command()(prices)
commands.command()(usage)
commands.command()(reconcile)
commands.add_typer(corrections, name="corrections")

cli = service_cli(SERVICE, Settings, api, worker)
cli.add_typer(commands, name="gateway")
