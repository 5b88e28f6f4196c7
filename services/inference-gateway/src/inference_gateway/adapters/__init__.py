"""What data cannot say of a provider: its address for a call, its way of authenticating, another API's words.

One module a protocol; :func:`prepare` chooses by the deployment's ``protocol``. Nothing here knows of stores or of
requests.
"""

from ..domain.catalogue import Deployment
from . import azure, bedrock, openai, vertex
from .call import Call

_PROTOCOLS = {"openai": openai.prepare, "azure": azure.prepare, "vertex": vertex.prepare, "bedrock": bedrock.prepare}
PROTOCOLS = frozenset(_PROTOCOLS)


def prepare(deployment: Deployment, endpoint: str, body: bytes) -> Call:
    """What to send for a request (``endpoint`` is ``chat``, ``completions`` or ``embeddings``) to a deployment."""
    return _PROTOCOLS[deployment.protocol](deployment, endpoint, body)
