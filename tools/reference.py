"""Reference pages made from code: every setting, every command. Used by tools/generate.py."""

import importlib
from collections.abc import Iterator
from typing import Any

import click
import typer
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from shipjury_delivery import ServiceSettings
from shipjury_standalone.services import COMMANDS

SETTINGS = {
    "Every process": "shipjury_delivery.telemetry:TelemetrySettings",
    "Catalog": "catalog.settings:Settings",
    "Panel": "panel.settings:Settings",
    "Votes": "votes.settings:Settings",
    "Inference gateway": "inference_gateway.settings:Settings",
    "Edge runner": "edge_runner.settings:EdgeSettings",
    "Notifier": "notifier.settings:Settings",
}


def load(path: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def variables(settings: type[BaseSettings]) -> Iterator[str]:
    """The environment variables of a settings class."""
    prefix = settings.model_config.get("env_prefix", "")
    for name in settings.model_fields:
        yield f"{prefix}{name}".upper()


def settings_page() -> str:
    """docs/reference/settings.md."""
    lines = [
        "# Settings",
        "",
        "Made by `tools/generate.py` from the code; do not edit. Every process reads its settings from the",
        "environment, and from files of the same names in lower case in the folder that `SHIPJURY_SECRETS_DIR`",
        "names. They never change while it runs.",
    ]
    common = set(ServiceSettings.model_fields)
    lines += ["", "## Each service", "", "With the service's own prefix in place of `<SERVICE>_`.", "", *_head()]
    lines += [_row("<SERVICE>_", name, ServiceSettings) for name in ServiceSettings.model_fields]
    for title, path in SETTINGS.items():
        settings = load(path)
        own = [
            name
            for name in settings.model_fields
            if not (issubclass(settings, ServiceSettings) and name in common)
            or settings.model_fields[name] != ServiceSettings.model_fields.get(name)
        ]
        if own:
            prefix = settings.model_config.get("env_prefix", "")
            lines += ["", f"## {title}", "", *_head(), *(_row(prefix, name, settings) for name in own)]
    return "\n".join(lines) + "\n"


def _head() -> list[str]:
    return ["| Variable | Default | What it is |", "| --- | --- | --- |"]


def _row(prefix: str, name: str, settings: type[BaseSettings]) -> str:
    field = settings.model_fields[name]
    if field.is_required():
        default = "**needed**"
    elif field.default_factory is not None:
        default = "found out"
    elif field.default is None or isinstance(field.default, SecretStr) or field.default in ("", ()):
        default = ""
    elif isinstance(field.default, tuple):
        default = f"`{','.join(str(part) for part in field.default)}`"
    else:
        default = f"`{field.default}`"
    words = (field.description or "").replace("|", "\\|").replace("\n", " ")
    return f"| `{prefix}{name.upper()}` | {default} | {words} |"


def command_tree() -> click.Group:
    """The whole `shipjury` command with the services' groups mounted."""
    from shipjury_standalone.cli import app

    root = typer.main.get_command(app)
    whole = click.Group("shipjury", help=root.help)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        whole.add_command(command, name)
    for name, (module, _) in COMMANDS.items():
        whole.add_command(typer.main.get_command(importlib.import_module(module).commands), name)
    return whole


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    for name, command in sorted(group.commands.items()):
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


def commands_page() -> str:
    """docs/reference/commands.md."""
    lines = [
        "# Commands",
        "",
        "Made by `tools/generate.py` from the code; do not edit. `--help` behind any of them says the same.",
        "",
    ]
    for path, command in commands(command_tree()):
        if hasattr(command, "commands"):
            lines += [f"## `shipjury {' '.join(path)}`", "", _help(command), ""]
            continue
        lines += [f"### `shipjury {' '.join((*path, *_arguments(command)))}`", "", _help(command), ""]
        options = [option for option in command.params if option.param_type_name == "option" and option.name != "help"]
        lines += [f"- `{' '.join(option.opts)}`: {option.help or ''}" for option in options]
        lines += [""] if options else []
    return "\n".join(lines).rstrip() + "\n"


def _arguments(command: Any) -> list[str]:
    return [
        argument.metavar or str(argument.name).upper()
        for argument in command.params
        if argument.param_type_name == "argument"
    ]


def _help(command: Any) -> str:
    return " ".join((command.help or "").split())
