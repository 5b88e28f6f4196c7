"""Azure OpenAI: the v1 API is OpenAI's; with an `api_version` the older one, where the URL names the deployment.

Sources: https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle (v1: no api-version, `model` is the
deployment's name; api-key or Entra token), https://learn.microsoft.com/azure/ai-foundry/openai/reference (dated API).
"""

from urllib.parse import quote

from yarl import URL

from ..domain.catalogue import Deployment
from . import openai
from .call import PATHS, Call

_V1 = "/openai/v1"


def prepare(deployment: Deployment, endpoint: str, body: bytes) -> Call:
    """A call to a deployment of an Azure resource."""
    if deployment.api_version is None:
        return openai.prepare(deployment, endpoint, body)
    root = deployment.base_url.removesuffix(_V1)
    path = f"/openai/deployments/{quote(deployment.model, safe='')}{PATHS[endpoint]}"
    return Call(URL(f"{root}{path}?api-version={quote(deployment.api_version)}", encoded=True), body)
