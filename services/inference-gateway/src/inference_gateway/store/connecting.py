"""Every provider with the credentials that hold now: the operator's from environment and files, and those that are
stored, for everybody or for one project's calls alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from ..adapters.access import NOBODY, Access
from ..domain.catalogue import Deployment
from .accesses import Accesses, BadCredentials, Connection
from .credentials import Stored
from .manifests import Provider
from .secrets import Secrets

_log = structlog.get_logger("inference_gateway.connecting")


@dataclass(frozen=True)
class Connected:
    """Deployments for everybody; for each project with credentials of its own its deployments by provider and model;
    and what lets each call in."""

    deployments: list[Deployment]
    own: Mapping[str, Mapping[tuple[str, str], Deployment]]
    accesses: Mapping[tuple[str, str | None], Access]


class Connecting:
    """Connects providers anew for each snapshot; what has not changed keeps its tokens."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._accesses = Accesses()

    def connect(self, providers: Mapping[str, Provider], stored: Iterable[Stored]) -> Connected:
        """All providers, connected."""
        of: dict[tuple[str, str | None], Stored] = {(one.provider, one.project_id): one for one in stored}
        deployments: list[Deployment] = []
        own: dict[str, dict[tuple[str, str], Deployment]] = {}
        accesses: dict[tuple[str, str | None], Access] = {}
        for provider in providers.values():
            general = self._connection(provider, of.get((provider.id, None)))
            deployments += provider.through(general).deployments
            accesses[provider.id, None] = general.access
        for (name, project_id), one in of.items():
            if project_id is None or name not in providers:
                continue
            connection = self._connection(providers[name], one)
            accesses[name, project_id] = connection.access
            for deployment in providers[name].through(connection, project_id).deployments:
                own.setdefault(project_id, {})[name, deployment.model] = deployment
        return Connected(deployments, own, accesses)

    def _connection(self, provider: Provider, stored: Stored | None) -> Connection:
        """Stored credentials go before the operator's; where they can't be used, nothing takes their place."""
        if stored is None:
            return self._accesses.from_secrets(provider.manifest, self._secrets)
        try:
            if stored.values is not None:
                return self._accesses.from_values(provider.manifest, self._secrets, stored.values)
            reason = "they cannot be opened"
        except BadCredentials as error:
            reason = str(error)
        _log.warning("stored credentials are not used", provider=provider.id, reason=reason)
        return Connection(provider.manifest.base_url, NOBODY, "credentials_unreadable")
