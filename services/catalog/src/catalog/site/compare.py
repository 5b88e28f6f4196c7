"""What a compare page says: the answer by use case, the reviewers side by side, which evidence is cited."""

from collections.abc import Iterable
from dataclasses import dataclass

from shipjury_schemas import ComparisonIssued
from shipjury_schemas.verdict_issued.v1 import Answer, Review, UseCase

from ..domain.comparing import Difference, Scored, difference
from ..domain.verdict import Span
from . import words
from .dossier import Clash, Dossier, scored


@dataclass(frozen=True)
class Quote:
    """A fact that an answer quotes."""

    statement: str
    label: str


@dataclass(frozen=True)
class Case:
    """The answer for one use case. ``ahead`` is the leading side's dossier, or ``None``."""

    label: str
    result: Difference
    ahead: Dossier | None
    quotes: tuple[Quote, ...]
    explanation: str = ""


@dataclass(frozen=True)
class Row:
    """One structured field of a reviewer, for both tools."""

    label: str
    a: Answer | None
    b: Answer | None


@dataclass(frozen=True)
class Reviewer:
    """One reviewer on both tools; a side is ``None`` where it did not review that tool."""

    persona: str
    name: str
    a: Review | None
    b: Review | None
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Page:
    """A whole comparison. ``published`` is the panel's own comparison where it is current."""

    a: Dossier
    b: Dossier
    overall: Case | None
    cases: tuple[Case, ...]
    reviewers: tuple[Reviewer, ...]
    published: ComparisonIssued | None

    @property
    def lead(self) -> list[str]:
        """The answer in sentences, each from the cases; nothing in it that the cases do not say."""
        if self.overall is None:
            waiting = words.joined([one.short for one in (self.a, self.b) if one.verdict is None])
            return [f"{waiting} {'is' if waiting in (self.a.short, self.b.short) else 'are'} still under review."]
        said = [
            f"{side.short} if you want to {words.joined([_lower(case.label) for case in won], 'or')}."
            for side in (self.a, self.b)
            if (won := [case for case in self.cases if case.ahead is side])
        ]
        overall = self.overall.result
        if overall.winner == "abstain":
            return [*said, "Overall there is too little evidence to say."]
        assert overall.points is not None  # noqa: S101 - only an abstention has no points
        leader = self.overall.ahead or (self.a if overall.points >= 0 else self.b)
        points = words.counted(abs(overall.points), "point")
        if self.overall.ahead:
            return [*said, f"Overall {leader.short} leads by {points}."]
        if points.startswith("0 "):
            return [*said, "Overall the scores are level, so no winner is named."]
        return [
            *said,
            f"Overall {leader.short} is {points} ahead, but the interval crosses zero, so no winner is named.",
        ]

    @property
    def clashes(self) -> list[tuple[Dossier, Clash]]:
        """Contradictions of both dossiers."""
        return [(side, clash) for side in (self.a, self.b) for clash in side.clashes()]

    @property
    def scale(self) -> float:
        """Points at the ends of the difference axis: 40, or more where an interval needs it."""
        return _scale(self._all_cases())

    @property
    def overall_scale(self) -> float:
        """The same for the overall difference alone."""
        return _scale((self.overall,) if self.overall else ())

    @property
    def cited(self) -> frozenset[str]:
        """Labels of every fact that the page cites."""
        found: set[str] = set()
        for side in (self.a, self.b):
            found.update(*(one.labels for one in side.main_arguments()), *(), side.licence_facts())
            found.update(label for one in side.main_arguments() for label in one.contradicted_by)
            for clash in side.clashes():
                found.update(label for label in (clash.here.label, clash.there.label) if label)
            found.update(side.cite(side.record.tool.pricing.facts))
            found.update(
                side.labels[fact_id] for fact_id in side.labels if f"[{fact_id}]" in side.record.tool.description
            )
            for review in side.reviews.values():
                found.update(side.cite(fact_id for answer in review.answers for fact_id in answer.fact_ids))
        found.update(quote.label for case in self._all_cases() for quote in case.quotes)
        return frozenset(found)

    def _all_cases(self) -> tuple[Case, ...]:
        return (self.overall, *self.cases) if self.overall else self.cases


def _scale(cases: Iterable[Case]) -> float:
    widest = max(
        (max(abs(case.result.interval.low), abs(case.result.interval.high)) for case in cases if case.result.interval),
        default=0.0,
    )
    return next((scale for scale in (40.0, 60.0, 80.0) if widest <= scale), 100.0)


def compare(a: Dossier, b: Dossier, published: ComparisonIssued | None) -> Page:
    """The comparison of two dossiers: the panel's own where there is one, else from the two verdicts."""
    if a.verdict is None or b.verdict is None:
        return Page(a, b, None, (), _reviewers(a, b), None)
    if published is not None:
        overall, cases = _published(a, b, published)
    else:
        overall, cases = _case("Overall", a, b, a.scored, b.scored, ()), tuple(_derived(a, b))
    return Page(a, b, overall, cases, _reviewers(a, b), published)


def _derived(a: Dossier, b: Dossier) -> Iterable[Case]:
    assert a.verdict is not None  # noqa: S101 - the caller has looked
    assert b.verdict is not None  # noqa: S101
    of_b = {case.use_case: case for case in b.verdict.use_cases}
    both = [(case, of_b.pop(case.use_case, None)) for case in a.verdict.use_cases]
    for case, other in [*both, *((None, case) for case in of_b.values())]:
        known = case or other
        assert known is not None  # noqa: S101 - one of the two is there
        yield _case(known.label, a, b, _of(case), _of(other), _quotes(a, b, case, other))


def _case(label: str, a: Dossier, b: Dossier, of_a: Scored, of_b: Scored, quotes: tuple[Quote, ...]) -> Case:
    result = difference(of_a, of_b)
    ahead = {"a": a, "b": b}.get(result.winner)
    explanation = ""
    if result.winner == "abstain":
        missing = words.joined([side.short for side, one in ((a, of_a), (b, of_b)) if one.score is None])
        explanation = f"Too little in the record of {missing or 'one side'} bears on it."
    return Case(label, result, ahead, quotes, explanation)


def _quotes(a: Dossier, b: Dossier, of_a: UseCase | None, of_b: UseCase | None) -> tuple[Quote, ...]:
    """What the answer rests on: the leader's strongest fact and the other's weakest; one of each where nobody leads."""
    result = difference(_of(of_a), _of(of_b))
    if result.winner == "abstain":
        wanted = [
            (side, case.strongest or case.weakest) for side, case in ((a, of_a), (b, of_b)) if case and case.score
        ]
    elif result.winner == "b":
        wanted = [(b, of_b.strongest if of_b else None), (a, of_a.weakest if of_a else None)]
    elif result.winner == "a":
        wanted = [(a, of_a.strongest if of_a else None), (b, of_b.weakest if of_b else None)]
    else:
        wanted = [(a, of_a.strongest if of_a else None), (b, of_b.strongest if of_b else None)]
    quotes = []
    for side, fact_id in wanted:
        fact = side.fact(fact_id)
        if fact:
            quotes.append(Quote(fact.statement, side.labels[fact.fact_id]))
    return tuple(quotes)


def _published(a: Dossier, b: Dossier, published: ComparisonIssued) -> tuple[Case | None, tuple[Case, ...]]:
    turned = published.a.tool_id != a.tool_id
    overall: Case | None = None
    cases = []
    for answer in published.cases:
        interval = Span(answer.interval.low, answer.interval.high) if answer.interval else None
        result = Difference(answer.winner, answer.difference, interval)
        result = result.turned() if turned else result
        quotes = []
        for side in (a, b):
            for fact_id in answer.fact_ids:
                fact = side.fact(fact_id)
                if fact:
                    quotes.append(Quote(fact.statement, side.labels[fact_id]))
        case = Case(answer.label, result, {"a": a, "b": b}.get(result.winner), tuple(quotes[:2]), answer.explanation)
        if answer.use_case == "overall":
            overall = case
        else:
            cases.append(case)
    return overall, tuple(cases)


def _reviewers(a: Dossier, b: Dossier) -> tuple[Reviewer, ...]:
    """The union of both panels; a reviewer who saw only one tool leaves the other side open."""
    found = []
    for persona in dict.fromkeys((*a.reviews, *b.reviews)):
        of_a, of_b = a.reviews.get(persona), b.reviews.get(persona)
        known = of_a or of_b
        assert known is not None  # noqa: S101 - the persona came from one of them
        fields = {answer.field: answer.label for review in (of_a, of_b) if review for answer in review.answers}
        rows = tuple(Row(label, _answer(of_a, name), _answer(of_b, name)) for name, label in fields.items())
        found.append(Reviewer(persona, known.persona_name, of_a, of_b, rows))
    return tuple(found)


def _answer(review: Review | None, field: str) -> Answer | None:
    return next((answer for answer in review.answers if answer.field == field), None) if review else None


def _of(case: UseCase | None) -> Scored:
    return scored(case.score, case.interval) if case else Scored(None, None)


def _lower(label: str) -> str:
    return label[:1].lower() + label[1:] if label[1:2].islower() else label
