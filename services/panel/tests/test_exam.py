"""Sitting the exam as a job: read through the gateway, kept, published; a first judgement waits for it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest_asyncio

from panel.app import Bench, bench
from panel.contracts import restore_exam, store_exam
from panel.domain.calibration import Halves, LabelledDossier, ProbeTexts
from panel.domain.exam import ExamRecord, exam_id
from panel.domain.probes import Papers
from panel.jobs.reading import judge_key
from panel.library import Library, library
from panel.settings import Settings
from panel.store import exams, runs, tools
from shipjury_delivery.testing import until

from .builders import GOOD, a_tool
from .conftest import a_record, judged, outbox, published, sat, working
from .fake_gateway import FakeGateway

RATED = "reviewers.rated.v1"


def a_few(halves: Halves) -> Halves:
    """Two good and two bad dossiers of each half."""

    def some(dossiers: Sequence[LabelledDossier]) -> tuple[LabelledDossier, ...]:
        wanted = ("good", "good", "bad", "bad")
        left, chosen = list(dossiers), []
        for label in wanted:
            found = next((one for one in left if one.label == label), None)
            if found:
                left.remove(found)
                chosen.append(found)
        return tuple(chosen)

    return Halves(some(halves.fit), some(halves.examined))


def small_library() -> Library:
    """The panel's data with a calibration set that a test can sit in seconds."""
    whole = library()
    papers, texts = whole.papers, whole.papers.texts
    few = ProbeTexts(texts.neutral[:4], texts.junk[:8], texts.hype[:4], texts.orders[:4])
    return replace(whole, papers=Papers(a_few(papers.invented), a_few(papers.real), few), frames_hash="small")


@pytest_asyncio.fixture
async def panel(settings: Settings) -> AsyncIterator[Bench]:
    async with bench(settings, small_library()) as parts:
        yield parts


def record_of(fake: FakeGateway, *, passes: bool = True) -> ExamRecord:
    """A record for the small calibration set."""
    record = a_record(fake, passes=passes)
    return replace(record, frames_hash="small", exam_id=exam_id(record.judge, "small"))


async def no_exam_waits(panel: Bench) -> bool:
    async with panel.engine.connect() as connection:
        left = await tools.queue(connection, tools.EXAM)
    return bool(left) and not (left.get("ready") or left.get("running"))


async def test_a_judgement_asks_for_the_first_exam_waits_for_it_and_stands_on_it(
    panel: Bench, fake: FakeGateway
) -> None:
    async with panel.engine.begin() as connection:
        await published(connection, a_tool(GOOD))
    await judged(panel)
    (verdict,) = await outbox(panel, "verdicts.issued.v1")
    judge = await panel.judges.identity()
    assert verdict["exam"]["exam_id"] == exam_id(judge, "small")
    probes = {probe["probe"]: probe for probe in verdict["exam"]["probes"]}
    assert probes["held_out_auc"]["value"] > 0.8
    assert probes["orders_of_pair_agree"]["value"] == 0.0  # the stand-in always names the first
    rated = await outbox(panel, RATED)
    assert [one["persona"] for one in rated] == ["builder", "skeptic", "founder", "futurist", "creator"]
    assert rated[0]["exam"]["probes"] == verdict["exam"]["probes"]


async def test_an_exam_cut_short_goes_on_where_it_was(panel: Bench, fake: FakeGateway) -> None:
    judge = await panel.judges.identity()
    fake.faults = ["refused"] * 2
    await panel.judges.ask_for_exam(judge, "first")
    async with working(panel):
        await until(lambda: no_exam_waits(panel), 60)
    again = [prompt for prompt, times in fake.asked.items() if times > 2 and prompt != fake.prompts[0]]
    assert again == []  # the examined invented facts are read twice by design, nothing more often
    async with panel.engine.connect() as connection:
        assert await exams.newest(connection, exam_id(judge, "small")) is not None
    key = f"{exam_id(judge, 'small')}:first"
    async with panel.engine.connect() as connection:  # its readings go when its figures are kept
        assert (await runs.calls_of(connection, f"exam:{key}")).requests == 0


async def test_an_exams_readings_are_not_a_judgements(panel: Bench) -> None:
    judge = await panel.judges.identity()
    assert len({judge_key(judge), judge_key(judge, "exam:1"), judge_key(judge, "exam:2")}) == 3


async def test_ratings_are_published_once_and_again_only_with_news(panel: Bench, fake: FakeGateway) -> None:
    await sat(panel, record_of(fake))
    await panel.judges.look()
    await panel.judges.look()
    assert [one["aggregate_version"] for one in await outbox(panel, RATED)] == [1] * 5
    async with panel.engine.begin() as connection:
        await panel.judges.rate(connection, record_of(fake, passes=False))
    rated = await outbox(panel, RATED)
    assert [one["aggregate_version"] for one in rated] == [1] * 5 + [2] * 5
    assert rated[-1]["exam"]["level"] == "refused"


async def test_a_record_that_only_came_with_the_package_is_sat_here_once_nothing_waits(
    panel: Bench, fake: FakeGateway
) -> None:
    record = record_of(fake)
    async with panel.engine.begin() as connection:
        await exams.keep(connection, store_exam(record).model_dump(mode="json"), record.taken_at, shipped=True)
        await published(connection, a_tool())
    await panel.judges.look()
    async with panel.engine.connect() as connection:
        assert await tools.queue(connection, tools.EXAM) == {}
    await judged(panel)
    await panel.judges.look()
    await panel.judges.look()
    async with panel.engine.connect() as connection:
        assert await tools.queue(connection, tools.EXAM) == {"ready": 1}


async def test_a_stored_record_is_restored_to_the_same_figures(panel: Bench, fake: FakeGateway) -> None:
    record = record_of(fake)
    await sat(panel, record)
    async with panel.engine.connect() as connection:
        found = await exams.newest(connection, record.exam_id)
    assert found is not None
    assert restore_exam(found[0]) == record
