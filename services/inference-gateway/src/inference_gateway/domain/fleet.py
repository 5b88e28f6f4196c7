"""What an edge node should hold: a whole set with a generation, and how operators change it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that a node should hold. ``None`` leaves context (tokens of a request) and slots to the node."""

    model: str
    context_tokens: int | None = None
    slots: int | None = None
    accept_licence: str | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """A node's desired set. ``generation`` 0 was never deployed: it is what the node came with."""

    generation: int
    models: tuple[Wanted, ...]
    cordoned: bool = False
    drained: bool = False

    def with_model(self, wanted: Wanted) -> "Desired":
        """With this model too, or in this form where it is there already."""
        others = tuple(one for one in self.models if one.model != wanted.model)
        if wanted in self.models:
            return self
        if len(others) == len(self.models):
            return replace(self, models=(*others, wanted))
        return replace(self, models=tuple(wanted if one.model == wanted.model else one for one in self.models))

    def without_model(self, model: str) -> "Desired":
        """Without this model. Raises ``KeyError`` where it is not wanted."""
        left = tuple(one for one in self.models if one.model != model)
        if len(left) == len(self.models):
            raise KeyError(model)
        return replace(self, models=left)


def came_with(beat: Mapping[str, Any]) -> Desired:
    """What a node holds by its own account: what its first deployment is a change of."""
    models = beat.get("models") or ()
    return Desired(
        int(beat.get("generation") or 0),
        tuple(
            Wanted(one["model"], one.get("context_tokens") or None, one.get("slots") or None)
            for one in models
            if one.get("weights_sha256")
        ),
    )


def matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a node's labels have all of the wanted ones."""
    return all(labels.get(name) == value for name, value in wanted.items())
