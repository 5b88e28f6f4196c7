"""One authenticated, checked request to a provider, and how it is billed."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from . import content, limits
from .account import Account
from .faults import Fault, wanted
from .world import Provider


@dataclass
class Call:
    """What the answering code needs. ``tokens`` are (input, of these cached)."""

    request: web.Request
    provider: Provider
    account: Account
    body: dict[str, Any]
    endpoint: str
    prompt: str

    @property
    def fault(self) -> Fault | None:
        """What is to break."""
        return wanted(self.prompt, self.provider.id)

    @property
    def given(self) -> tuple[int, int]:
        """Input tokens, and how many of them were cached."""
        return content.tokens(self.prompt), content.cached(self.prompt)

    @property
    def attempt(self) -> str:
        """The caller's own id of the attempt."""
        return self.request.headers.get("X-Client-Request-Id", "none")

    @property
    def id(self) -> str:
        """The provider's id of the request."""
        return f"sim-{self.attempt[:8]}"

    @property
    def chat(self) -> bool:
        """Whether it is a chat."""
        return self.endpoint == "chat"

    def bill(self, end: str, made: int, *, nothing: bool = False) -> None:
        """Put the attempt on the account; ``nothing`` for what was refused."""
        given, hit = (0, 0) if nothing else self.given
        self.account.bill(self.provider.id, self.attempt, str(self.body["model"]), end=end, tokens=(given, hit, made))

    def headers(self, **more: str) -> dict[str, str]:
        """Headers of an answer."""
        named = {"x-amzn-RequestId" if self.provider.auth == "aws" else "x-request-id": self.id}
        return limits.headers(self.provider) | named | more
