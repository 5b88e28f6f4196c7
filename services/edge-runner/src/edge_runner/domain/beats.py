"""The version of a node's beats: it grows with every beat, over restarts too, without a database."""


def next_version(previous: int, now_ns: int) -> int:
    """Milliseconds since 1970, or one more than the last where the clock stood still or went back.

    A restart begins at the clock again: a clock that was set back while the node was down makes its beats stale until
    it catches up. That is the price of keeping no state, and the reason for NTP on nodes.
    """
    return max(previous + 1, now_ns // 1_000_000)
