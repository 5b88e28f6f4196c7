"""inference.usage.v1: a row was added to the gateway's ledger."""

from datetime import date, datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic


class Tokens(Part):
    """Tokens as the provider reported them."""

    input: int = Field(ge=0, description="Tokens of the prompt, cached ones included.")
    cached_input: int = Field(default=0, ge=0, description="Of these, tokens that the provider had cached.")
    output: int = Field(ge=0, description="Tokens of the answer.")


class InferenceUsed(Contract):
    """One ledger row: an attempt (one call to one provider), or a correction of one."""

    topic: ClassVar[Topic] = Topic(
        name="inference.usage.v1",
        key="project_id",
        retention=timedelta(days=90),
        producer="inference-gateway",
        consumers=(),
    )

    entry_id: str = Field(description="UUID of the ledger row.")
    kind: Literal["attempt", "reversal", "correction"] = Field(description="What the row is.")
    corrects: str | None = Field(default=None, description="The row that it reverses or corrects.")
    attempt_id: str = Field(description="The attempt.")
    request_id: str = Field(description="The client's request; several attempts may belong to it.")
    organisation_id: str = Field(description="Who pays.")
    project_id: str = Field(description="The project.")
    cost_centre: str | None = Field(default=None, description="Cost centre, from the key or narrowed by a header.")
    key_id: str = Field(description="The API key's id, never the key.")
    end_user: str | None = Field(default=None, description="Hash of the `user` that the client named.")
    provider: str = Field(description="Provider, such as `groq` or an edge node's id.")
    model: str = Field(description="Model as the provider names it.")
    route: str = Field(description="Route of the API, such as `/v1/completions`.")
    outcome: Literal["ok", "error", "client_gone", "cut", "timeout", "uncertain"] = Field(
        description="How the attempt ended; `uncertain` where its end was not seen."
    )
    tokens: Tokens | None = Field(default=None, description="Null where the provider reported none.")
    cost_nano_usd: int | None = Field(
        default=None, description="Cost in billionths of a US dollar; null for a model without a price, never zero."
    )
    price_version: str | None = Field(default=None, description="Price list and date that the cost comes from.")
    upstream_request_id: str | None = Field(default=None, description="The provider's id of the request.")
    started_at: datetime = Field(description="When the attempt began (UTC).")
    duration_ms: int = Field(ge=0, description="How long it took, in milliseconds.")
    time_to_first_token_ms: int | None = Field(default=None, description="In milliseconds; streams only.")
    usage_day: date = Field(description="Day (UTC) that the cost belongs to.")
