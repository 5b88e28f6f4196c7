"""Rate-limit headers, in each provider's dialect."""

from .world import Provider


def headers(provider: Provider, *, refused: bool = False, retry_after: bool = False) -> dict[str, str]:
    """What an answer carries about limits; ``refused`` for a 429, which some say more with."""
    left = "0" if refused else "99"
    sent: dict[str, str] = {}
    if provider.limits == "openai":
        for what, limit in (("requests", "100"), ("tokens", "100000")):
            sent[f"x-ratelimit-limit-{what}"] = limit
            sent[f"x-ratelimit-remaining-{what}"] = left
            sent[f"x-ratelimit-reset-{what}"] = "1s"
    elif provider.limits == "azure":
        sent = {"x-ratelimit-remaining-requests": left, "x-ratelimit-remaining-tokens": left}
    elif provider.limits == "cerebras":
        sent = {
            "x-ratelimit-limit-requests-day": "1000",
            "x-ratelimit-remaining-requests-day": left,
            "x-ratelimit-reset-requests-day": "3600.0",
            "x-ratelimit-limit-tokens-minute": "60000",
            "x-ratelimit-remaining-tokens-minute": left,
            "x-ratelimit-reset-tokens-minute": "2.0",
        }
    elif provider.limits == "mistral":
        sent = {"X-RateLimit-Remaining": left}
    if retry_after:
        sent["Retry-After"] = "2"
        if provider.limits == "azure":
            sent["retry-after-ms"] = "2000"
    return sent
