"""A body in the words of a provider that speaks OpenAI's protocol with an accent: other names, another schema form.

Only what can be said without loss is said otherwise; what a provider cannot honour never comes here, since the plan has
ruled it out.
"""

from collections.abc import Set
from typing import Any

from ..domain.catalogue import Deployment


def spoken(body: dict[str, Any], deployment: Deployment, idle: Set[str] = frozenset()) -> dict[str, Any]:
    """A copy of the body as this provider wants it, with its model id, without what is for the gateway, and without
    the ``idle`` parameters that ask for nothing."""
    said = {
        deployment.rename.get(name, name): value
        for name, value in body.items()
        if name != "provider"
        and name not in idle
        and not (name == "stream_options" and deployment.usage_in_stream != "asked")
    }
    said["model"] = deployment.model
    shape = said.get("response_format")
    if deployment.schema == "top_level" and isinstance(shape, dict) and isinstance(shape.get("json_schema"), dict):
        said["response_format"] = {"type": "json_schema", "schema": shape["json_schema"].get("schema")}
    return said
