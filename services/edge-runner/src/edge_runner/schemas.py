"""Holds values against JSON schemas, without ever fetching one: a reference to another document is an error."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable


class BadSchema(ValueError):
    """A schema is none, or refers to something that is not in it."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises :class:`BadSchema` that says where it is wrong."""
    try:
        Draft202012Validator.check_schema(schema)
        violation(schema, None)
    except SchemaError as error:
        raise BadSchema(f"{'.'.join(map(str, error.absolute_path)) or 'the schema'}: {error.message}") from error


def violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """What is wrong with the value, or ``None``. Raises :class:`BadSchema` for a reference that leads nowhere."""
    validator = Draft202012Validator(schema, registry=Registry())
    try:
        error: ValidationError | None = next(validator.iter_errors(value), None)
    except Unresolvable as unresolvable:
        raise BadSchema(f"{unresolvable.ref}: is not in the schema, and nothing is fetched") from unresolvable
    if error is None:
        return None
    return f"{'.'.join(map(str, error.absolute_path)) or 'the value'}: {error.message}"[:300]
