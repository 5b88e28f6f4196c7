"""Ports: a free one for a part that only we talk to, and a clear sentence where a wanted one is taken."""

import socket


class PortTaken(Exception):
    """Somebody else listens on a port that we were told to use."""


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket. Raises :class:`PortTaken` with the option that chooses another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except PermissionError:
        listener.close()
        raise PortTaken(f"Port {port} is not allowed to us; choose another one with {option}.") from None
    except OSError as problem:
        listener.close()
        raise PortTaken(
            f"Port {port} on {host} is in use or not ours ({problem.strerror}); choose another one with {option}."
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def answers(port: int) -> bool:
    """Whether somebody accepts connections at a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
