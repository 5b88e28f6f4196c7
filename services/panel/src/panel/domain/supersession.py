"""Why a new verdict replaces the old one: evidence, prompt or model, and which facts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from .dossier import Fact

Cause = Literal["evidence", "prompt", "model", "repeat"]


@dataclass(frozen=True)
class Grounds:
    """What a verdict stood on."""

    facts: tuple[Fact, ...]
    contradicted: Collection[str]
    prompt_hash: str
    judge: str
    """Model, weights and engine build, as one text."""


@dataclass(frozen=True)
class Change:
    """The cause, and one sentence that says what changed."""

    cause: Cause
    explanation: str


def what_changed(old: Grounds, new: Grounds) -> Change:
    """Evidence before model before prompt: the first that changed is the cause; the others are named behind it."""
    found: list[Change] = []
    evidence = _evidence(old, new)
    if evidence:
        found.append(Change("evidence", evidence))
    if old.judge != new.judge:
        found.append(Change("model", f"The judge changed from {old.judge} to {new.judge}."))
    if old.prompt_hash != new.prompt_hash:
        found.append(Change("prompt", "The sentence frames or the personas were reworded."))
    if not found:
        return Change("repeat", "Judged again on the same evidence with the same judge.")
    if not evidence:
        found.append(Change(found[0].cause, "No fact changed."))
    return Change(found[0].cause, " ".join(change.explanation for change in found))


def _evidence(old: Grounds, new: Grounds) -> str:
    before = {fact.fact_id: fact for fact in old.facts}
    after = {fact.fact_id: fact for fact in new.facts}
    added = [fact for fact in new.facts if fact.fact_id not in before]
    removed = [fact for fact in old.facts if fact.fact_id not in after]
    changed = [
        fact for fact in new.facts if fact.fact_id in before and before[fact.fact_id].content_hash != fact.content_hash
    ]
    both = before.keys() & after.keys()
    silenced = [fact for fact in new.facts if fact.fact_id in both and _became(fact, old, new)]
    restored = [fact for fact in new.facts if fact.fact_id in both and _became(fact, new, old)]
    parts = [
        _named(added, "was added", "were added"),
        _named(changed, "was changed", "were changed"),
        _named(removed, "was taken back", "were taken back"),
        _named(silenced, "no longer counts", "no longer count"),
        _named(restored, "counts again", "count again"),
    ]
    said = "; ".join(part for part in parts if part)
    return f"{said}." if said else ""


def _became(fact: Fact, old: Grounds, new: Grounds) -> bool:
    """Whether the fact is contradicted in ``new`` and was not in ``old``."""
    return fact.fact_id in new.contradicted and fact.fact_id not in old.contradicted


def _named(facts: Sequence[Fact], one: str, many: str) -> str:
    if not facts:
        return ""
    if len(facts) == 1:
        return f"{facts[0].label} (“{facts[0].statement}”) {one}"
    labels = [fact.label for fact in facts]
    shown = ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
    return f"{shown} {many}"
