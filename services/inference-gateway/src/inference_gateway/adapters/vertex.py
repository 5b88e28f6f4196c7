"""Google Vertex AI: its OpenAI-compatible endpoint. Only the host is Google's own: `global` has no region in its name.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/auth-and-credentials
"""

from ..domain.catalogue import Deployment
from . import openai
from .call import PATHS, Call


def prepare(deployment: Deployment, endpoint: str, body: bytes) -> Call:
    """A call to a project's endpoint."""
    base = deployment.base_url.replace("//global-aiplatform.", "//aiplatform.")
    return Call(openai.address(base, PATHS[endpoint]), body)
