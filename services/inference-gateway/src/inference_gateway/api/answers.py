"""What came back from a provider, and what it means for client, bill and the provider's health."""

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
import orjson

from ..adapters.access import NoAccess
from ..adapters.call import Incoming
from ..domain import embedding
from ..domain.catalogue import Deployment
from ..domain.errors import GatewayError
from ..domain.money import Tokens
from ..domain.usage import tokens_of
from .asked import Asked
from .http_client import AddressNotAllowed
from .sse import ErrorInStream, Malformed

Ended = Literal["answered", "cut", "client_gone", "refused", "not_sent", "lost", "timeout"]
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
_PASSED_ON = (400, 404, 413, 415, 422)
"""Statuses that speak of the request, not of the provider: the client gets to see them."""
_LONG_WORD = re.compile(r"[^\s\"']{12,}")
"""What may be a key: a provider that refuses one may say it back."""


@dataclass(slots=True)
class End:
    """How an attempt ended. ``error`` is what the client is told, if anything; ``retry`` whether another provider may
    be tried; ``blame`` whether the provider's health suffers; ``stale`` whether it may let the next call in, which
    carries a fresh token; ``retry_after_s`` what the provider asked for."""

    ended: Ended
    reason: str | None = None
    tokens: Tokens | None = None
    usage: Any = None
    upstream_id: str | None = None
    status: int | None = None
    error: GatewayError | None = None
    retry: bool = False
    blame: bool = False
    stale: bool = False
    retry_after_s: float | None = None
    ttft_s: float | None = None
    body: bytes = b""
    content_type: bytes = b"application/json"


def refused(deployment: Deployment, status: int, raw: bytes, retry_after: str | None) -> End:
    """The end of an attempt that the provider answered with an HTTP error."""
    said = _message(raw)
    extra = {"provider": deployment.provider, "provider_status": status, "provider_error": said}
    if status in _PASSED_ON:
        error = GatewayError(
            "provider_rejected", f"{deployment.provider} refused the request: {said}", status=status, extra=extra
        )
        # A model that is gone there may be elsewhere; what is wrong with the request is wrong everywhere.
        return End("refused", f"http_{status}", status=status, error=error, retry=status == 404)
    message = f"{deployment.provider} answered {status}: {said}"
    if status in (401, 403):
        extra["provider_error"] = _LONG_WORD.sub("[...]", said)
        message = f"{deployment.provider} refused the gateway's credentials ({status})"
    wait = _seconds(retry_after)
    if status == 429:
        error = GatewayError("provider_failed", message, status=429, retry_after_s=wait or 1.0, extra=extra)
    else:
        error = GatewayError("provider_failed", message, retry_after_s=wait, extra=extra)
    return End("refused", f"http_{status}", status=status, error=error, retry=True, blame=True, retry_after_s=wait)


def broken_before(deployment: Deployment, fault: BaseException) -> End:
    """The end of an attempt that broke before anything reached the client."""
    who = deployment.provider
    extra = {"provider": who}
    if isinstance(fault, TimeoutError) and not isinstance(fault, aiohttp.ServerConnectionError):
        error = GatewayError("deadline_exceeded", f"{who} did not answer in time", extra=extra)
        return End("timeout", "no_answer_in_time", error=error, retry=True, blame=True)
    if isinstance(fault, NoAccess):
        error = GatewayError("provider_failed", f"{who} can't be called: {fault}", extra=extra)
        return End("not_sent", "no_access", error=error, retry=True, blame=True)
    if isinstance(fault, aiohttp.ClientConnectorError | AddressNotAllowed | aiohttp.ConnectionTimeoutError):
        cause = getattr(fault, "os_error", fault)
        reason = "address_not_allowed" if isinstance(cause, AddressNotAllowed) else "no_connection"
        error = GatewayError("provider_failed", f"{who} can't be reached", extra=extra)
        return End("not_sent", reason, error=error, retry=True, blame=True)
    if isinstance(fault, Malformed | ErrorInStream):
        error = GatewayError("provider_malformed", f"{who}: {fault}", extra=extra)
        return End("lost", "malformed", error=error, retry=True, blame=True)
    error = GatewayError("provider_failed", f"the connection to {who} broke", extra=extra)
    return End("lost", "connection_lost", error=error, retry=True, blame=True)


async def whole(response: Incoming, asked: Asked, deployment: Deployment) -> End:
    """Read an answer that comes in one piece. Raises aiohttp's errors and :class:`Malformed`."""
    raw = await response.read(MAX_ANSWER_BYTES + 1)
    if len(raw) > MAX_ANSWER_BYTES:
        raise Malformed(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict) or answer.get("error"):
        raise Malformed("the answer is no completion")
    usage = answer.get("usage")
    end = End(
        "answered",
        tokens=tokens_of(usage),
        usage=usage,
        upstream_id=answer.get("id") if isinstance(answer.get("id"), str) else None,
        status=200,
        body=raw,
    )
    if asked.endpoint == "embeddings":
        _as_asked(asked, answer, end, deployment)
    else:
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise Malformed("the answer has no choices")
        try:
            fewer = asked.need.logprobs and _fewer_logprobs(asked, choices)
        except (AttributeError, TypeError, LookupError) as error:
            raise Malformed(f"the log-probabilities are not what the API promises: {error!r}") from error
        if fewer:
            end.reason, end.retry = "fewer_logprobs", True
            end.error = GatewayError(
                "fewer_logprobs",
                f"{deployment.provider} gave {fewer} of {asked.need.logprobs} log-probabilities",
                extra={"provider": deployment.provider},
            )
    return end


def _as_asked(asked: Asked, answer: dict[str, Any], end: End, deployment: Deployment) -> None:
    """Vectors in the encoding that was asked for; where they are not what was asked for, another provider's turn."""
    try:
        if embedding.as_asked(asked.body, answer):
            end.body = orjson.dumps(answer)
    except embedding.NotAsAsked as fault:
        end.reason, end.retry = "not_as_asked", True
        extra = {"provider": deployment.provider}
        end.error = GatewayError("provider_malformed", f"{deployment.provider}: {fault}", extra=extra)


def _fewer_logprobs(asked: Asked, choices: list[Any]) -> int | None:
    """How many log-probabilities the first token has, where that is fewer than half of what was asked for.

    Half, since the completions API keys them by text, and different tokens may have the same text.
    """
    choice = choices[0]
    given = choice.get("logprobs") if isinstance(choice, dict) else None
    if asked.endpoint == "chat":
        content = (given or {}).get("content") or []
        if not content and choice.get("message", {}).get("content"):
            return 1
        count = len(content[0].get("top_logprobs") or []) if content else asked.need.logprobs
    else:
        tops = [top for top in (given or {}).get("top_logprobs") or [] if top]
        if not tops and choice.get("text"):
            return 1
        count = len(tops[0]) if tops else asked.need.logprobs
    return count if count * 2 < asked.need.logprobs else None


def cut(deployment: Deployment, why: str) -> End:
    """The end of a stream that broke after its first byte."""
    extra = {"provider": deployment.provider}
    error = GatewayError("stream_cut", f"the stream of {deployment.provider} broke: {why}", extra=extra)
    return End("cut", "stream_cut", error=error, blame=True)


def stalled(deployment: Deployment, *, sending: bool, gone: bool) -> End:
    """The end of a stream that ran into its deadline: the provider fell silent, or the client reads no more."""
    if gone or sending:
        return End("client_gone", "slow_reader" if sending else "drain_deadline")
    error = GatewayError(
        "stream_stalled", f"the stream of {deployment.provider} fell silent", extra={"provider": deployment.provider}
    )
    return End("timeout", "stream_stalled", error=error, blame=True)


def _message(raw: bytes) -> str:
    """What a provider's error body says, in at most 2,000 characters."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw[:2000].decode(errors="replace").strip() or "no message"
    if isinstance(told, list) and told:
        told = told[0]  # Google's errors come in a list of one.
    error = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error
    return str(error)[:2000]


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; dates are turned into a distance from now."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
