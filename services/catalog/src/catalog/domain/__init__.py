"""What the catalog knows about tools, independent of files, databases and pages. The standard library only."""

from .tool import (
    Conflict,
    DossierTooLarge,
    Fact,
    FactDraft,
    Family,
    Licence,
    Pricing,
    SlugClash,
    Tool,
    ToolDraft,
    UnknownTool,
    address_of,
    compose,
)

__all__ = [
    "Conflict",
    "DossierTooLarge",
    "Fact",
    "FactDraft",
    "Family",
    "Licence",
    "Pricing",
    "SlugClash",
    "Tool",
    "ToolDraft",
    "UnknownTool",
    "address_of",
    "compose",
]
