"""A comparison of two tools from their standing verdicts: differences of scores, so order plays no part."""

from datetime import datetime

from shipjury_schemas import ComparisonIssued, VerdictIssued
from shipjury_schemas.comparison_issued.v1 import CaseAnswer, Side
from shipjury_schemas.verdict_issued.v1 import Interval

from .contracts import figure, interval
from .domain.comparison import Outcome, Scores, compare, pairing
from .domain.statistics import Range

OVERALL = "overall"


def comparison(one: VerdictIssued, other: VerdictIssued, version: int, now: datetime) -> ComparisonIssued:
    """The comparison of two verdicts. Side ``a`` has the smaller tool id, whichever was named first."""
    a, b = sorted((one, other), key=lambda verdict: verdict.tool_id)
    cases = [_case(OVERALL, "Overall", compare(_overall(a), _overall(b), a.tool_name, b.tool_name))]
    of_b = {case.use_case: case for case in b.use_cases}
    for case in a.use_cases:
        answer = of_b.get(case.use_case)
        scores_b = Scores(answer.score, _range(answer.interval), answer.strongest, answer.weakest) if answer else None
        outcome = compare(
            Scores(case.score, _range(case.interval), case.strongest, case.weakest),
            scores_b or Scores(None, None),
            a.tool_name,
            b.tool_name,
        )
        cases.append(_case(case.use_case, case.label, outcome))
    return ComparisonIssued(
        aggregate_version=version,
        comparison_id=pairing(a.tool_id, b.tool_id),
        issued_at=now,
        a=_side(a),
        b=_side(b),
        level="tone_reader" if "tone_reader" in (a.level, b.level) else "judge",
        cases=tuple(cases),
        orders_agree=None,
    )


def _overall(verdict: VerdictIssued) -> Scores:
    counting = [claim for review in verdict.reviews for claim in review.claims if claim.counts]
    best = max((claim for claim in counting if claim.probability > 0.5), key=lambda one: one.probability, default=None)
    worst = min((claim for claim in counting if claim.probability < 0.5), key=lambda one: one.probability, default=None)
    return Scores(
        verdict.score,
        _range(verdict.interval),
        best.fact_ids[0] if best else None,
        worst.fact_ids[0] if worst else None,
    )


def _case(use_case: str, label: str, outcome: Outcome) -> CaseAnswer:
    return CaseAnswer(
        use_case=use_case,
        label=label,
        winner=outcome.winner,
        difference=figure(outcome.difference),
        interval=interval(outcome.interval),
        fact_ids=outcome.fact_ids,
        explanation=outcome.explanation,
    )


def _side(verdict: VerdictIssued) -> Side:
    return Side(tool_id=verdict.tool_id, slug=verdict.tool_slug, name=verdict.tool_name, verdict_id=verdict.verdict_id)


def _range(found: Interval | None) -> Range | None:
    return Range(found.low, found.high) if found else None
