"""Who is at the other end, as far as the service wants to know: an address prefix, never the address."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"


def parse_address(text: str | None) -> Address | None:
    """An address, or ``None`` for what is none. An IPv4 address inside IPv6 comes out as IPv4; zone ids go."""
    try:
        address = ip_address((text or "").strip().partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    return address is not None and any(address in network for network in networks)


def client_address(peer: str | None, forwarded_for: Sequence[str], proxies: Sequence[Network]) -> Address | None:
    """The client's address: the peer's, or what trusted proxies say that it is.

    ``forwarded_for`` are the values of ``X-Forwarded-For``, as they came. It is read from the right, and only as long
    as who wrote an entry is a trusted proxy: everything further left may be invented by the client.
    """
    address = parse_address(peer)
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and is_within(address, proxies):
        hop = parse_address(hops.pop())
        if hop is None:
            return address
        address = hop
    return address


def network_prefix(address: Address | None) -> str:
    """The prefix that stands for the network: /24 of IPv4, /48 of IPv6; ``unknown`` where there is no address."""
    if address is None:
        return UNKNOWN
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))
