"""Where the beginning of a prompt was seen last, and how much of it the provider had cached. In one replica's memory.

Providers cache prompts by their beginning, for minutes, on their own machines. The beginning is named by its system
message and first user message, or by what the client says (`prompt_cache_key`): it stays the same over a conversation.
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import Any

KEEP_S = 300.0
"""How long a provider is believed to keep a prompt: OpenAI and others say five to ten minutes."""
MOST = 10_000
_BEGINNING = 1024


def prefix_of(body: dict[str, Any], project_id: str) -> str:
    """A name for the beginning of a request's prompt; projects never share one."""
    named = body.get("prompt_cache_key")
    if isinstance(named, str) and named:
        parts = [named]
    elif isinstance(body.get("messages"), list):
        system = next((one for one in body["messages"] if _role(one) in ("system", "developer")), None)
        other = next((one for one in body["messages"] if _role(one) not in ("system", "developer")), None)
        parts = [repr(one.get("content"))[:_BEGINNING] if isinstance(one, dict) else "" for one in (system, other)]
    else:
        parts = [repr(body.get("prompt"))[:_BEGINNING]]
    return blake2b("\0".join([project_id, *parts]).encode(), digest_size=12).hexdigest()


class Warmth:
    """Which deployment had how much of a prefix cached, by what it reported. Bounded; the oldest goes first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, tuple[str, str]], tuple[int, float]] = OrderedDict()

    def note(self, prefix: str, deployment: tuple[str, str], cached: int, now: float) -> None:
        """A deployment answered, and reported so many tokens of the prompt as cached."""
        key = (prefix, deployment)
        self._seen[key] = (cached, now)
        self._seen.move_to_end(key)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)

    def cached(self, prefix: str, deployment: tuple[str, str], now: float) -> int:
        """Tokens of the prefix that the deployment probably has cached."""
        found = self._seen.get((prefix, deployment))
        return 0 if found is None or now - found[1] > KEEP_S else found[0]


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None
