"""What can be called: providers, their models, and each as a deployment with its abilities and its price."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .money import Price

Kind = Literal["cloud", "edge"]
KINDS = ("cloud", "edge")
"""What `provider.only` and `provider.ignore` may name beside providers."""
Usage = Literal["asked", "always", "never"]
Schema = Literal["openai", "top_level"]

_COMMON = (
    "max_tokens max_completion_tokens temperature top_p n stop seed logprobs top_logprobs logit_bias presence_penalty "
    "frequency_penalty tools tool_choice parallel_tool_calls response_format user "
    "messages[].name messages[].image_url "
    "echo best_of suffix encoding_format dimensions"
)
COMMON_PARAMETERS = frozenset(_COMMON.split())
"""What every OpenAI-compatible API is expected to know. Anything else goes only to who says that it takes it."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider (or on one edge node), as routing sees it.

    ``features`` are of ``chat``, ``completions``, ``embeddings``, ``tools``, ``json_schema``, ``images``,
    ``logprobs``, ``n``. ``takes`` are the parameters that it knows (``None``: all), ``rejects`` those of them that it
    answers with an error, ``values`` the only values that a parameter may have. ``refuse`` says why it can't be called
    at all now (no credentials, draining, heart stopped), or is ``None``.

    How it is spoken to: ``protocol`` and ``api`` choose the adapter (``api_version`` is Azure's); ``rename`` are
    parameters that it has under another name, ``schema`` is how it wants a JSON schema, ``usage_in_stream`` whether
    it reports usage when asked, always or never. ``owner`` is the project whose credentials its calls carry.
    """

    provider: str
    model: str
    name: str
    kind: Kind
    base_url: str
    features: frozenset[str]
    rejects: frozenset[str] = frozenset()
    takes: frozenset[str] | None = None
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    max_logprobs: int = 0
    protocol: str = "openai"
    api: str = "chat"
    api_version: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    schema: Schema = "openai"
    owner: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    image_tokens: int | None = None
    quantization: str | None = None
    region: str | None = None
    """Where it processes data, such as `eu`; ``None``: it does not say."""
    prices: tuple[Price, ...] = ()
    zdr: bool = False
    trains_on_data: bool | None = None
    max_concurrency: int = 64
    usage_in_stream: Usage = "asked"
    drain_when_gone: bool = True
    refuse: str | None = None
    labels: frozenset[tuple[str, str]] = frozenset()
    cold: bool = False
    """Whether it must be loaded first: an edge node holds it, but has put it aside for others."""
    beat_deadline: float | None = None
    """Unix time (s) after which an edge node's heartbeat is stale; ``None`` for cloud providers."""

    @property
    def id(self) -> tuple[str, str]:
        """Provider and model: what health and circuit breakers are kept by, a project's own account apart."""
        return self.provider, self.model if self.owner is None else f"{self.model} of {self.owner}"

    @property
    def honoured(self) -> frozenset[str]:
        """The parameters that it knows and does not reject, where it says which it knows."""
        return (self.takes or frozenset()) - self.rejects

    @property
    def streaming_usage(self) -> bool:
        """Whether a stream reports its usage when it is asked to."""
        return self.usage_in_stream == "asked"

    @property
    def plain(self) -> bool:
        """Whether a body goes out as it came, but for the model's name and routing."""
        return not self.rename and self.schema == "openai" and self.usage_in_stream == "asked"


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
