"""How each measure of a project is inspected for a loop: what is expected at least, and what a loop is at least. Pure.

Amounts are in floors: the settings say which spend and how many requests a minute matter. Money is held against more
than requests are, because one ordinary request can cost fifty times another, while requests come one by one.

A score stands still at ``(loop - expected) / ln(loop / expected)`` (:mod:`.anomalies`): what goes on below that is
never found. For a project that sends little or nothing this is 2.2 floors of spend and 1.7 floors of requests, or of
repeated requests: with the default of 30 requests a minute about 0.9 a second; a larger project's own traffic is in the
place of the floor, times 2.2 and 1.8.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inspection:
    """How one measure is tested."""

    factor: float
    """What a loop is at least, in what is expected."""
    loop: float
    """What a loop is at least, in floors."""
    null: float
    """What is expected at least, in floors: no night is so quiet that a few requests are news."""
    threshold: float
    """The score at which a loop is found: a mean time of at least e^threshold slots between false alarms."""
    young: tuple[tuple[int, float], ...]
    """Until so many quarters of an hour are learned, the floor is so much higher."""

    def higher(self, quarters: int) -> float:
        """How much higher the floor is while so many quarters of an hour are learned."""
        return next((times for until, times in self.young if quarters < until), 1.0)


_DAY = 96

INSPECTIONS = {
    "cost": Inspection(factor=4.0, loop=4.0, null=1.0, threshold=20.0, young=((_DAY, 10.0), (3 * _DAY, 3.0))),
    "requests": Inspection(factor=3.0, loop=5.0, null=1 / 3, threshold=15.0, young=((_DAY, 10.0), (3 * _DAY, 3.0))),
    "repeats": Inspection(factor=3.0, loop=5.0, null=1 / 3, threshold=15.0, young=((_DAY, 2.0),)),
}
