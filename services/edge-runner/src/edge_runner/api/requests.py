"""What clients may send. A parameter that is unknown, or known and not served here, is refused by its name."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shipjury_delivery.nesting import MOST_LEVELS, too_deep


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

    @model_validator(mode="before")
    @classmethod
    def _not_too_deep(cls, body: Any) -> Any:
        """What is nested deeper could not be written again for an engine."""
        if too_deep(body):
            raise ValueError(f"the body is nested deeper than {MOST_LEVELS} levels")
        return body

    @property
    def wants_usage(self) -> bool:
        """Whether a stream shall end with a chunk of its tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

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


class EmbeddingsRequest(BaseModel):
    """``POST /v1/embeddings``: a vector a text. Texts may be given as token numbers too."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: Annotated[str, Field(min_length=1)] | list[Annotated[str, Field(min_length=1)]] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = None
    user: str | None = None
    """A label of the caller's own; it changes nothing here."""

    @property
    def texts(self) -> list[str] | list[list[int]]:
        """The texts, one a vector."""
        if isinstance(self.input, str):
            return [self.input]
        if self.input and isinstance(self.input[0], int):
            return [self.input]  # one text as token numbers
        return self.input  # type: ignore[return-value]

    @model_validator(mode="after")
    def _something_is_asked(self) -> "EmbeddingsRequest":
        if not self.input or len(self.texts) > 2048 or any(not text for text in self.texts):
            raise ValueError("input: 1 to 2,048 texts, none of them empty")
        return self


class Message(BaseModel):
    """One message. Further fields (names, tool calls) pass to the model's template."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class JsonSchema(BaseModel):
    """The schema of ``response_format``; it is always enforced, ``strict`` or not."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """Free text, any JSON object, or JSON of a schema."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to type json_schema, and to it alone")
        return self


class ChatRequest(Sampling):
    """``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0)
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool = True

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON."""
        return self.response_format is not None and self.response_format.type != "text"

    @property
    def most_tokens(self) -> int | None:
        """How many tokens may be generated, by either name."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens
