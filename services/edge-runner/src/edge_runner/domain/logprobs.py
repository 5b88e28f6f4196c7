"""Log-probabilities in the shape of OpenAI's legacy completions, which is what judging reads.

Shape: ``{"tokens", "token_logprobs", "top_logprobs": [{text: logprob}], "text_offset"}``. Its map is keyed by text, and
two tokens may have the same text. Source of the key ``bytes:\\x..`` for a token that is no whole UTF-8 text: OpenAI's
own legacy endpoint.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class TokenLogprob(NamedTuple):
    """A token's bytes and its natural log-probability. A tuple, since a thousand are made for every judged fact."""

    raw: bytes
    logprob: float


class ScoredToken(NamedTuple):
    """A generated token with the likeliest alternatives, likeliest first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()


def token_text(raw: bytes) -> str:
    r"""The token as text; ``bytes:\xe2\x80`` where its bytes alone are no UTF-8 (two such tokens stay apart)."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def by_text(tokens: Iterable[TokenLogprob]) -> dict[str, float]:
    """The map from text to log-probability. Tokens of one text are summed (log-sum-exp), so that no mass is lost."""
    found: dict[str, float] = {}
    for token in tokens:
        text = token_text(token.raw)
        found[text] = _log_sum(found[text], token.logprob) if text in found else token.logprob
    return found


def legacy(tokens: Sequence[ScoredToken], alternatives: int, first_offset: int = 0) -> dict[str, Any]:
    """The legacy shape of a completion. ``first_offset`` is where its text begins, in characters.

    With ``alternatives`` 0 there is no map (``top_logprobs`` is null), as at OpenAI.
    """
    offsets, offset = [], first_offset
    for token in tokens:
        offsets.append(offset)
        offset += len(token.chosen.raw.decode(errors="ignore"))
    return {
        "tokens": [token_text(token.chosen.raw) for token in tokens],
        "token_logprobs": [token.chosen.logprob for token in tokens],
        "top_logprobs": [by_text(token.top) for token in tokens] if alternatives else None,
        "text_offset": offsets,
    }


def _log_sum(first: float, second: float) -> float:
    high, low = max(first, second), min(first, second)
    return high + math.log1p(math.exp(low - high)) if high > -math.inf else high
