"""Errors that clients see: OpenAI's shape, a documented code, and who said it.

Each code stands in :data:`CODES` with its HTTP status and its meaning; a test holds the reference page against it.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Code:
    """HTTP status, OpenAI's error ``type`` and the meaning of one code."""

    status: int
    type: str
    meaning: str


_REQUEST, _AUTH, _PERMISSION = "invalid_request_error", "authentication_error", "permission_error"
_BUDGET, _RATE, _SERVER, _UPSTREAM = "insufficient_quota", "rate_limit_error", "server_error", "provider_error"

CODES: dict[str, Code] = {
    "invalid_json": Code(400, _REQUEST, "The body is no JSON object."),
    "body_too_large": Code(413, _REQUEST, "The body is larger than the gateway takes."),
    "missing_parameter": Code(400, _REQUEST, "A required parameter is missing; `param` names it."),
    "invalid_parameter": Code(400, _REQUEST, "A parameter has a value that the API does not know; `param` names it."),
    "unknown_routing_field": Code(400, _REQUEST, "The `provider` object has a field that routing does not know."),
    "unbounded_cost": Code(400, _REQUEST, "A budget applies and the answer has no upper bound: give `max_tokens`."),
    "parameter_unsupported": Code(400, _REQUEST, "No allowed provider can honour a parameter; says which and who."),
    "untranslatable_field": Code(400, _REQUEST, "A field that the translation cannot carry; `param` names it."),
    "invalid_api_key": Code(401, _AUTH, "The key is missing, unknown, revoked or expired."),
    "model_not_allowed": Code(403, _PERMISSION, "The key or the project may not use this model or provider."),
    "model_unpriced": Code(403, _PERMISSION, "The model has no price, and the project does not allow unpriced ones."),
    "project_blocked": Code(403, _PERMISSION, "The project is blocked; an operator has to look at it."),
    "budget_exceeded": Code(402, _BUDGET, "A money budget is used up; says what is left and when it resets."),
    "rate_limit_exceeded": Code(429, _RATE, "A limit of requests, tokens or concurrency is reached."),
    "gateway_overloaded": Code(429, _RATE, "The gateway or the provider's slot limit is full; try again."),
    "not_found": Code(404, _REQUEST, "There is no such route or object."),
    "method_not_allowed": Code(405, _REQUEST, "The route does not take this method."),
    "model_not_found": Code(404, _REQUEST, "No provider has a model of this name."),
    "provider_not_found": Code(400, _REQUEST, "The route names a provider that the gateway does not have."),
    "no_provider_available": Code(503, _SERVER, "Every provider of the model is away, cooling down or over its limit."),
    "admission_unavailable": Code(503, _SERVER, "Budgets cannot be checked now; nothing was spent."),
    "deadline_exceeded": Code(504, _UPSTREAM, "No provider answered within the deadline."),
    "provider_rejected": Code(400, _UPSTREAM, "The provider refused the request; `provider_error` has its words."),
    "provider_failed": Code(502, _UPSTREAM, "Every attempt failed; `attempts` says how."),
    "provider_malformed": Code(502, _UPSTREAM, "The provider's answer was not what its API promises."),
    "fewer_logprobs": Code(502, _UPSTREAM, "The provider gave fewer log-probabilities than were asked for."),
    "stream_cut": Code(502, _UPSTREAM, "The stream broke after its first byte; what came is not complete."),
    "stream_stalled": Code(504, _UPSTREAM, "The stream fell silent after its first byte; it is not complete."),
    "internal_error": Code(500, _SERVER, "A fault of the gateway itself."),
}


class GatewayError(Exception):
    """An answer that is an error. ``code`` is one of :data:`CODES`; ``extra`` goes into the error object."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.status = status or CODES[code].status
        self.retry_after_s = retry_after_s
        self.extra = extra or {}

    def body(self) -> dict[str, Any]:
        """OpenAI's error object, with what else is known."""
        return {
            "error": {
                "message": self.message,
                "type": CODES[self.code].type,
                "param": self.param,
                "code": self.code,
                **self.extra,
            }
        }
