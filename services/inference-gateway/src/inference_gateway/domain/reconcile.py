"""The ledger held against a provider's invoice: each difference by day and model, or by request. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal["missing_in_ledger", "missing_in_invoice", "amount_differs"]


@dataclass(frozen=True, slots=True)
class Line:
    """An amount of one side, in nano-USD. ``request`` is the provider's id of the request, where the file has one."""

    day: date
    model: str
    nano_usd: int
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What does not agree. An amount is ``None`` on the side that has no such line."""

    kind: Kind
    day: date
    model: str
    request: str | None
    ledger_nano_usd: int | None
    invoice_nano_usd: int | None

    @property
    def nano_usd(self) -> int:
        """What the invoice has above the ledger; negative where the ledger has more."""
        return (self.invoice_nano_usd or 0) - (self.ledger_nano_usd or 0)


def differences(ledger: Iterable[Line], invoice: Iterable[Line], *, tolerance_nano_usd: int = 0) -> list[Difference]:
    """Every day and model (and request) on which the two do not agree, in that order.

    A line of nothing on one side is as good as no line on the other.
    """
    ours, theirs = _sums(ledger), _sums(invoice)
    found: list[Difference] = []
    for key in sorted(ours.keys() | theirs.keys(), key=lambda one: (one[0], one[1], one[2] or "")):
        mine, told = ours.get(key), theirs.get(key)
        if abs((mine or 0) - (told or 0)) <= tolerance_nano_usd:
            continue
        kind: Kind = "amount_differs"
        if mine is None:
            kind = "missing_in_ledger"
        elif told is None:
            kind = "missing_in_invoice"
        found.append(Difference(kind, *key, mine, told))
    return found


def model_of(name: str, models: Iterable[str], matches: Mapping[str, str]) -> str:
    """The ledger's model that an invoice's name means; the name itself where that is not clear.

    ``matches`` are an operator's own (a pattern with ``*``, and a model). Else letters and digits decide: the one model
    that contains the name, or the longest that the name begins with.
    """
    for pattern, model in matches.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name, flags=re.IGNORECASE):
            return model
    known = sorted(set(models))
    if name in known:
        return name
    short = _plain(name)
    if not short:
        return name
    within = [model for model in known if short in _plain(model)]
    if len(within) == 1:
        return within[0]
    begins = sorted((model for model in known if short.startswith(_plain(model))), key=len)
    return begins[-1] if begins and not within else name


def _sums(lines: Iterable[Line]) -> dict[tuple[date, str, str | None], int]:
    sums: defaultdict[tuple[date, str, str | None], int] = defaultdict(int)
    for line in lines:
        sums[line.day, line.model, line.request] += line.nano_usd
    return dict(sums)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
