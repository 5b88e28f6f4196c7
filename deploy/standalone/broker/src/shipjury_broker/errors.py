"""What the broker refuses, and the Kafka error code that tells the client."""

from kio.schema.errors import ErrorCode


class BrokerError(Exception):
    """The broker can't start or go on; the message is one sentence for whoever started it."""


class Refused(Exception):
    """A request can't be done; `code` goes to the client, `reason` where the protocol has room for a text."""

    def __init__(self, code: ErrorCode, reason: str = "") -> None:
        super().__init__(f"{code.name}: {reason}" if reason else code.name)
        self.code = code
        self.reason = reason
