"""What clients may send. A parameter that is unknown, or known and not served here, is refused by its name."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class Sampling(BaseModel):
    """What both kinds of completion have in common. What is left out takes the engine's default."""

    model_config = ConfigDict(extra="forbid", strict=False)

    model: str
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    stop: str | list[str] | None = None
    logit_bias: dict[str, float] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] = 1
    user: str | None = None
    """A label of the caller's own; it changes nothing here."""

    def sampling(self) -> dict[str, Any]:
        """The sampling parameters that were given, as the engines spell them."""
        names = (
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "seed",
            "stop",
            "logit_bias",
        )
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class CompletionRequest(Sampling):
    """``POST /v1/completions``: plain continuation."""

    prompt: str | list[int] | list[str]
    max_tokens: int = Field(default=16, ge=1)
    logprobs: int | None = Field(default=None, ge=0)
    best_of: Literal[1] | None = None
    echo: Literal[False] = False
    suffix: None = None


class Message(BaseModel):
    """One message. Further fields (names, tool calls) pass to the model's template."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(Sampling):
    """``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0)

    @property
    def most_tokens(self) -> int | None:
        """How many tokens may be generated, by either name."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens
