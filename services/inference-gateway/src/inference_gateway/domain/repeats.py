"""Requests that come again: the mark of a loop that ordinary work seldom has, however busy it is. Pure.

A loop sends the same prompt again and again, or a few by turns: the same key, end user, model and hash of the prompt.
Of a large project's requests few are like another one of the last minute, so that a slow loop, which its rate does not
show, is told by its repetitions. They are a measure like any other: what a project repeats anyway (a probe, a template)
is learned and expected. (The number of input tokens, which was tried first, made an alarm of every batch of short
prompts, the panel's own among them.)
"""

from collections import OrderedDict

WINDOW_S = 60.0
"""Seconds for which a request is remembered."""


class Repeats:
    """Remembers the requests of the last minute by what makes them alike."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def again(self, alike: str, moment: float) -> bool:
        """Note a request; whether one that is ``alike`` came in the :data:`WINDOW_S` before. Moments are Unix seconds
        and may be out of order by a little."""
        before = self._seen.pop(alike, None)
        self._seen[alike] = moment if before is None else max(moment, before)
        while next(iter(self._seen.values())) < moment - WINDOW_S:
            self._seen.popitem(last=False)
        return before is not None and moment - before <= WINDOW_S

    def __len__(self) -> int:
        return len(self._seen)
