"""Which of an engine's slots a request gets, so that a long prompt is read once and starves nobody.

llama.cpp keeps the prompt that a slot had last and reads only what differs; slots share nothing. And in each step it
fills its batch slot by slot, from the first on: a long prompt in a low slot keeps all prompts above it waiting until it
is read. So:

- a request goes to the slot that has most of its prompt, even a busy one where that saves much: it waits for it;
- else a long prompt takes the highest free slot, a short one the lowest: the short one is read first. It spares a slot
  whose long prompt somebody may come back to, if that does not put it behind a long one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Characters. About as many as two steps of 256 tokens have; a prompt that is longer takes several.
LONG = 2000
_KEPT = 200_000
_WORTH_A_GLANCE = 0.1


class SlotBook:
    """What each slot had last, and how many requests have it or wait for it."""

    def __init__(self, slots: int) -> None:
        self._last = [""] * slots
        self._wanted = [0] * slots

    @contextmanager
    def placed(self, prompt: str) -> Iterator[int]:
        """The number of the slot for this prompt, which counts as taken until the block ends."""
        prompt = prompt[:_KEPT]
        slot = self._choose(prompt)
        self._last[slot] = prompt
        self._wanted[slot] += 1
        try:
            yield slot
        finally:
            self._wanted[slot] -= 1

    def _choose(self, prompt: str) -> int:
        shared = [_shared(prompt, last) for last in self._last]
        free = [slot for slot, wanted in enumerate(self._wanted) if not wanted]
        best = max(range(len(shared)), key=lambda slot: (shared[slot], not self._wanted[slot]))
        if shared[best] >= LONG and shared[best] * 2 >= len(prompt):
            return best
        if not free:  # more requests than slots: whoever is least wanted
            return min(range(len(shared)), key=lambda slot: self._wanted[slot])
        if len(prompt) > LONG:
            return free[-1]
        nearest = max(free, key=lambda slot: (shared[slot], -slot))
        if shared[nearest] >= _WORTH_A_GLANCE * len(prompt):
            return nearest
        return min(free, key=lambda slot: (self._behind_a_long_one(slot), len(self._last[slot]) > LONG, slot))

    def _behind_a_long_one(self, slot: int) -> bool:
        return any(self._wanted[lower] and len(self._last[lower]) > LONG for lower in range(slot))


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common from their start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
