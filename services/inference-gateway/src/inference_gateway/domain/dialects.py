"""What client programs write in their own way, brought to the way that providers read. Pure."""

from typing import Any

from .errors import GatewayError


def normalise(body: dict[str, Any]) -> bool:
    """Rewrite a chat body in place; returns whether anything changed.

    Hugging Face's client gives a JSON schema as its inference servers take it, `{"type": "json_object", "value":
    schema}`: others would take it for "any JSON" and forget the schema. Raises ``invalid_parameter``.
    """
    shape = body.get("response_format")
    if not isinstance(shape, dict) or shape.get("type") not in ("json", "json_object", "regex") or "value" not in shape:
        return False
    schema = shape["value"]
    if shape["type"] == "regex" or not isinstance(schema, dict):
        raise GatewayError(
            "invalid_parameter", "`response_format.value` is a JSON schema", param="response_format.value"
        )
    form = {"name": "output", "schema": schema, "strict": True}
    body["response_format"] = {"type": "json_schema", "json_schema": form}
    return True
