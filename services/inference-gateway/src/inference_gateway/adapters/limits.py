"""How long a provider asks to be left alone, in each one's dialect of rate-limit headers.

`Retry-After` is the standard's; Azure adds `retry-after-ms`; OpenAI, Groq and Cerebras say when a limit that is used up
resets (`x-ratelimit-remaining-<what>` and `x-ratelimit-reset-<what>`, as `6m0s`, `20ms` or seconds).
"""

import re
from collections.abc import Mapping

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_REMAINING, _RESET = "x-ratelimit-remaining-", "x-ratelimit-reset-"


def wait_of(status: int, headers: Mapping[str, str]) -> str | None:
    """What `Retry-After` says or would say, in seconds or as a date; ``None`` where the provider does not say."""
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        try:
            return str(float(milliseconds) / 1000)
        except ValueError:
            pass
    if (told := headers.get("Retry-After")) is not None:
        return told
    if status != 429:
        return None
    waits = [
        seconds
        for name, value in headers.items()
        if name.lower().startswith(_REMAINING)
        and value.strip() in ("0", "0.0")
        and (seconds := duration(headers.get(_RESET + name[len(_REMAINING) :], ""))) is not None
    ]
    return str(max(waits)) if waits else None


def duration(text: str) -> float | None:
    """Seconds of a duration such as `6m0s`, `20ms` or `1.5`; ``None`` where it is none."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
