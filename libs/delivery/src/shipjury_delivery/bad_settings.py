"""Says which settings are missing or wrong, in the words of who sets them: variables, not fields and tracebacks."""

from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from .settings import ServiceSettings


def commands_of(settings: type[ServiceSettings]) -> type[TyperGroup]:
    """A group of commands that ends with status 2 and a line a setting where ``settings`` can't be made."""

    class Commands(TyperGroup):
        def invoke(self, ctx: Any) -> Any:
            """Run the command."""
            try:
                return super().invoke(ctx)
            except ValidationError as error:
                if error.title != settings.__name__:
                    raise
                for line in lines(settings, error):
                    typer.echo(line, err=True)
                raise typer.Exit(2) from None

    return Commands


def lines(settings: type[ServiceSettings], error: ValidationError) -> list[str]:
    """One line for each setting: its variable, what is wrong with it, what it is for. Never its value."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    found = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        field = settings.model_fields.get(name)
        wrong = "is not set" if one["type"] == "missing" else one["msg"]
        found.append(
            f"{prefix}{name.upper()}: {wrong}. {field.description if field and field.description else ''}".strip()
        )
    return found
