"""What can be called: providers, their models, and each as a deployment with its abilities and its price."""

from dataclasses import dataclass
from typing import Literal

from .money import Price

Kind = Literal["cloud", "edge"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider (or on one edge node), as routing sees it.

    ``features`` are of ``chat``, ``completions``, ``embeddings``, ``tools``, ``json_schema``, ``images``,
    ``logprobs``, ``n``. ``rejects`` are parameters that it answers with an error. ``refuse`` says why it can't be
    called at all now (no credentials, draining, heart stopped), or is ``None``.
    """

    provider: str
    model: str
    name: str
    kind: Kind
    base_url: str
    features: frozenset[str]
    rejects: frozenset[str] = frozenset()
    max_logprobs: int = 0
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    image_tokens: int | None = None
    quantization: str | None = None
    prices: tuple[Price, ...] = ()
    zdr: bool = False
    trains_on_data: bool | None = None
    max_concurrency: int = 64
    streaming_usage: bool = True
    drain_when_gone: bool = True
    refuse: str | None = None
    beat_deadline: float | None = None
    """Unix time (s) after which an edge node's heartbeat is stale; ``None`` for cloud providers."""

    @property
    def id(self) -> tuple[str, str]:
        """Provider and model: what health and circuit breakers are kept by."""
        return self.provider, self.model


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All deployments, found by every name that a client may use."""

    by_model: dict[str, tuple[Deployment, ...]]
    providers: frozenset[str]


def catalogue(deployments: list[Deployment]) -> Catalogue:
    """Index deployments by common name and by the provider's own id."""
    found: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        for name in dict.fromkeys((deployment.name, deployment.model)):
            found.setdefault(name, []).append(deployment)
    return Catalogue(
        by_model={name: tuple(of) for name, of in found.items()},
        providers=frozenset(deployment.provider for deployment in deployments),
    )
