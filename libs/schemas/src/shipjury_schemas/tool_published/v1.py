"""tools.published.v1: a tool or its evidence changed."""

from datetime import date, datetime
from typing import ClassVar, Literal

from pydantic import Field

from ..contract import Contract, Part
from ..topic import Topic

FactKind = Literal[
    "capability", "maturity", "limit", "ecosystem", "price", "performance", "licence", "privacy", "company"
]


class Conflict(Part):
    """What disagrees with a fact. Both sides are kept; nobody picks one silently."""

    statement: str = Field(description="What the other side says, in the catalog's words.")
    fact_id: str | None = Field(
        default=None, description="Fact of the same tool that disagrees, where it is on record."
    )


class Fact(Part):
    """One piece of evidence in a tool's dossier."""

    fact_id: str = Field(description="Id that stays the same over versions of the tool, such as `litellm-11`.")
    label: str = Field(description="Letter and number that name the fact on pages, such as `L11`.")
    statement: str = Field(description="The fact in one sentence. Untrusted text.")
    kind: FactKind = Field(description="What the fact is about.")
    topics: tuple[str, ...] = Field(
        default=(), description="Finer subjects, assigned at import, that personas and use cases weigh."
    )
    source: str = Field(description="Public address of the source, or the title of a captured page.")
    as_of: date = Field(description="Day of the snapshot or page that the fact was read from.")
    content_hash: str = Field(description="SHA-256 (hex) over statement, kind, source, date and conflicts.")
    conflicts_with: tuple[Conflict, ...] = Field(default=(), description="What disagrees with this fact.")


class Pricing(Part):
    """How a tool is paid for."""

    summary: str = Field(description="Pricing in one sentence.")
    model: Literal["free", "freemium", "open-weights", "usage", "subscription", "paid", "unknown"] = Field(
        default="unknown", description="Kind of pricing."
    )
    free_entry: bool | None = Field(
        default=None, description="Whether one can begin without paying; null where no source says so."
    )


class ToolPublished(Contract):
    """A version of a tool with its whole dossier. A retired tool keeps its last value with `status: retired`."""

    topic: ClassVar[Topic] = Topic(
        name="tools.published.v1",
        key="tool_id",
        retention="compacted",
        producer="catalog",
        consumers=("panel", "votes"),
    )

    tool_id: str = Field(description="UUID of the tool, the same over all its versions.")
    status: Literal["published", "retired"] = Field(description="Whether the tool is on the site.")
    slug: str = Field(description="Name of the tool in addresses, such as `mistral-3-small-24b`.")
    name: str = Field(description="Name as shown.")
    vendor: str = Field(description="Who makes it.")
    category: str = Field(description="Category, such as `LLM gateways`; it chooses the panel.")
    tagline: str = Field(description="What it is in one line.")
    description: str = Field(default="", description="What it is in a paragraph; may be empty.")
    website: str | None = Field(default=None, description="Public address of the tool.")
    pricing: Pricing = Field(description="How it is paid for.")
    best_for: str = Field(default="", description="Whom it suits, in one line.")
    aliases: tuple[str, ...] = Field(default=(), description="Other names that people use for it.")
    family: str | None = Field(
        default=None, description="Name shared by several tools that are one family, such as `Mistral 3 Small`."
    )
    facts: tuple[Fact, ...] = Field(description="The dossier, in the catalog's order.")
    content_hash: str = Field(description="SHA-256 (hex) over everything above; equal hashes are equal tools.")
    published_at: datetime = Field(description="When this version was published (UTC).")
