"""What others tell is folded once, in any order, however often it comes."""

from datetime import timedelta

from catalog.on_comparison_issued import on_comparison_issued
from catalog.on_tally_changed import on_tally_changed
from catalog.on_verdict_issued import on_verdict_issued
from catalog.store import community, panel, site, tools
from shipjury_schemas import Event, VerdictIssued
from shipjury_schemas.comparison_issued.v1 import CaseAnswer, Side
from shipjury_schemas.testing import comparison_issued, tally_changed
from shipjury_schemas.verdict_issued.v1 import Interval

from . import world
from .builders import NOON
from .conftest import Running


async def _record(running: Running, slug: str) -> tools.OnRecord:
    async with running.engine.connect() as connection:
        record = await tools.find(connection, slug)
    assert record is not None
    return record


def _event(data: VerdictIssued) -> Event[VerdictIssued]:
    return Event(data=data, source="/shipjury/panel", time=NOON)


async def test_an_older_verdict_that_comes_late_does_not_stand(running: Running) -> None:
    record = await _record(running, "vllm")
    async with running.engine.begin() as connection:
        third = world.verdict_of(record, NOON + timedelta(days=2), version=3)
        second = world.verdict_of(record, NOON + timedelta(days=1), version=2)
        await on_verdict_issued(connection, [_event(third), _event(second)])
        standing = await panel.standing_verdict(connection, record.tool_id)
        past = await panel.history(connection, record.tool_id)
    assert standing is not None
    assert standing.aggregate_version == 3
    assert [one.number for one in past] == [3, 2, 1]


async def test_a_verdict_told_twice_changes_nothing(running: Running) -> None:
    record = await _record(running, "vllm")
    async with running.engine.begin() as connection:
        before = await site.revision(connection)
        await on_verdict_issued(connection, [_event(world.verdict_of(record, NOON))])
        assert await site.revision(connection) == before


async def test_an_older_tally_changes_nothing(running: Running) -> None:
    tool_id = running.ids["qdrant"]
    async with running.engine.begin() as connection:
        for version in (5, 4, 5):
            told = tally_changed(tool_id=tool_id, aggregate_version=version, ship=version, skip=0)
            await on_tally_changed(connection, [Event(data=told, source="/shipjury/votes", time=NOON)])
        tally = await community.tally(connection, tool_id)
    assert tally is not None
    assert tally.ship == 5


async def test_the_panels_own_comparison_stands_while_both_verdicts_do(running: Running) -> None:
    hub, mistral = running.ids["hf-inference-providers-hub"], running.ids["mistral-3-small-22b"]
    path = "/compare/hf-inference-providers-hub-vs-mistral-3-small-22b"
    async with running.engine.begin() as connection:
        sides = []
        for tool_id in sorted((hub, mistral)):
            verdict = await panel.standing_verdict(connection, tool_id)
            assert verdict is not None
            sides.append(
                Side(tool_id=tool_id, slug=verdict.tool_slug, name=verdict.tool_name, verdict_id=verdict.verdict_id)
            )
        winner = "a" if sides[0].tool_id == hub else "b"
        points = 33.0 if winner == "a" else -33.0
        told = comparison_issued(
            comparison_id=f"{sides[0].tool_id}:{sides[1].tool_id}",
            a=sides[0],
            b=sides[1],
            cases=(
                CaseAnswer(
                    use_case="overall",
                    label="Overall",
                    winner=winner,  # type: ignore[arg-type]
                    difference=points,
                    interval=Interval(low=points - 9, high=points + 9),
                    explanation="The hub, said the panel.",
                ),
            ),
        )
        await on_comparison_issued(connection, [Event(data=told, source="/shipjury/panel", time=NOON)])
    html = await running.text(path)
    assert "judged as a pair" in html
    assert "Overall Hub leads by 33 points." in html
    record = await _record(running, "mistral-3-small-22b")
    async with running.engine.begin() as connection:
        await world.judge(connection, record, NOON + timedelta(days=1), version=2)
    assert "judged as a pair" not in await running.text(path)
