"""Calls to providers: one warm connection pool each, no redirects, no proxies, and edge nodes only inside the networks
that the gateway's settings allow, checked on the addresses that are really connected to. What is particular to a
protocol is the adapters'.
"""

import ipaddress
from collections.abc import Sequence

from pydantic import SecretStr
from yarl import URL

from shipjury_delivery.telemetry import current_traceparent

from ..adapters import prepare
from ..adapters.access import Access, Fixed
from ..adapters.call import Incoming, Translated
from ..domain.catalogue import Deployment
from ..settings import Network
from .http_client import AddressNotAllowed, Client


def inside(address: str, networks: Sequence[Network]) -> bool:
    """Whether an IP address lies in one of the networks. An IPv4 address mapped into IPv6 counts as what it is."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


class Upstreams:
    """All pools. One belongs to one event loop."""

    def __init__(
        self,
        *,
        edge_networks: Sequence[Network],
        edge_token: SecretStr | None,
        connect_s: float,
        per_provider: int = 256,
    ) -> None:
        self._edge_networks = edge_networks
        self._edge_access = Fixed(
            {} if edge_token is None else {"Authorization": SecretStr(f"Bearer {edge_token.get_secret_value()}")}
        )
        self._connect_s = connect_s
        self._per_provider = per_provider
        self._clients: dict[str, Client] = {}

    async def post(
        self, deployment: Deployment, endpoint: str, body: bytes, access: Access, attempt_id: str
    ) -> tuple[Incoming, bool]:
        """Send a request; the answer's head has come when this returns, its body not yet. Beside it: whether another
        call may be let in where this one was not, since it carried a token that has been void for some time.

        Raises aiohttp's errors, :class:`AddressNotAllowed`, :class:`NoAccess`, and :class:`GatewayError` where the
        provider's protocol has no words for something in the body.
        """
        call = prepare(deployment, endpoint, body)
        if deployment.kind == "edge":
            access = self._edge_access
            self._check_address(call.url)
        shown = await access.headers("POST", str(call.url), call.body)
        sent = {**shown, "Content-Type": "application/json", "X-Client-Request-Id": attempt_id}
        if deployment.kind == "edge" and (trace := current_traceparent()):
            sent["traceparent"] = trace
        response = await self._client(deployment).post(call.url, call.body, sent)
        stale = response.status in (401, 403) and access.refused(shown)
        if call.translate is None:
            return response, stale
        return Translated(response, call.translate(), streams=call.streams), stale

    async def close(self) -> None:
        """Close all pools."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _client(self, deployment: Deployment) -> Client:
        name = deployment.provider if deployment.kind == "cloud" else f"edge:{deployment.provider}"
        client = self._clients.get(name)
        if client is None:
            guard = self._may_connect if deployment.kind == "edge" else None
            client = self._clients[name] = Client(limit=self._per_provider, connect_s=self._connect_s, allowed=guard)
        return client

    def _may_connect(self, address: str) -> bool:
        return inside(address, self._edge_networks)

    def _check_address(self, url: URL) -> None:
        if url.scheme not in ("http", "https") or url.host is None:
            raise AddressNotAllowed(f"{url} is no address of a node")
        # The resolver is not asked about what is an address already.
        if _is_address(url.host) and not inside(url.host, self._edge_networks):
            raise AddressNotAllowed(f"{url.host} is outside of the networks that edge nodes may have")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
