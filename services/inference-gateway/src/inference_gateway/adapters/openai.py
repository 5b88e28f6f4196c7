"""OpenAI's protocol: what nearly everybody speaks. The body goes as it is, the path follows the base URL."""

from functools import lru_cache

from yarl import URL

from ..domain.catalogue import Deployment
from .call import PATHS, Call


def prepare(deployment: Deployment, endpoint: str, body: bytes) -> Call:
    """A call to an OpenAI-compatible API."""
    return Call(address(deployment.base_url, PATHS[endpoint]), body)


@lru_cache(maxsize=4096)
def address(base_url: str, path: str) -> URL:
    """The URL of a route, parsed once."""
    return URL(base_url + path)
