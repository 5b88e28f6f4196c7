"""Amazon Bedrock: OpenAI's protocol for the models that it offers it for, Converse for the others.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/models-api-compatibility.html (Meta's and Amazon's models
have Invoke and Converse only).
"""

from urllib.parse import quote

import orjson
from yarl import URL

from ..domain.catalogue import Deployment
from . import converse, openai
from .call import Call, Translator

_CHAT_ROOT = "/openai/v1"


def prepare(deployment: Deployment, endpoint: str, body: bytes) -> Call:
    """A call to a model, by the API that it has."""
    if deployment.api != "converse":
        return openai.prepare(deployment, endpoint, body)
    asked = orjson.loads(body)
    streams = asked.get("stream") is True
    root = deployment.base_url.removesuffix(_CHAT_ROOT)
    path = f"/model/{quote(deployment.model, safe='')}/converse{'-stream' if streams else ''}"
    return Call(
        URL(root + path, encoded=True),
        orjson.dumps(converse.request(asked)),
        streams,
        lambda: _translator(deployment.model),
    )


def _translator(model: str) -> Translator:
    from .converse_stream import ConverseTranslator  # botocore with it: only who calls Converse carries that

    return ConverseTranslator(model)
