"""The services that one process holds here: their packages, prefixes on the two origins, and what they need."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """A service as the standalone sees it.

    ``package`` is imported as ``package.app`` and ``package.settings``; ``name`` is its segment on the operators'
    origin and, in capitals, its settings' prefix; ``prefixes`` are its first path segments on the readers' origin.
    """

    package: str
    name: str
    prefixes: tuple[str, ...]
    redis: bool = False

    @property
    def settings_prefix(self) -> str:
        """``VOTES_``."""
        return f"{self.name.upper()}_"


GATEWAY = Service("inference_gateway", "gateway", ("v1",), redis=True)
VOTES = Service("votes", "votes", ("votes",), redis=True)
NOTIFIER = Service("notifier", "notifier", ("subscriptions",))
PANEL = Service("panel", "panel", ("reviews", "comparisons"))
CATALOG = Service("catalog", "catalog", ())
"""Serves every path that is nobody else's."""

SERVICES = (GATEWAY, PANEL, VOTES, NOTIFIER, CATALOG)

COMMANDS = {
    "tools": ("catalog.cli", "Publish tools and look at the catalog."),
    "panel": ("panel.cli", "The panel's reviews, exams and jobs."),
    "votes": ("votes.cli", "Recount, release and void votes."),
    "gateway": ("inference_gateway.cli", "Projects, keys, budgets and providers of the inference gateway."),
    "edge": ("edge_runner.cli", "Edge nodes: models, what fits, what they measure."),
    "digest": ("notifier.cli", "Preview and send the digest."),
    "events": ("shipjury_delivery.cli", "Follow events, look at dead letters, send them again."),
}
"""Operators' commands: which module's ``commands`` is mounted under which word."""
