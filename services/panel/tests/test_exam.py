"""Sitting the exam as a job: read through the gateway, kept, published; a first judgement waits for it."""

from panel.app import Bench
from panel.contracts import restore_exam, store_exam
from panel.domain.exam import exam_id
from panel.jobs.reading import judge_key
from panel.library import library
from panel.store import exams, runs, tools
from shipjury_delivery.testing import until

from .builders import GOOD, a_tool
from .conftest import a_record, judged, outbox, published, sat, working
from .fake_gateway import FakeGateway

RATED = "reviewers.rated.v1"


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
    assert verdict["exam"]["exam_id"] == exam_id(judge, library().frames_hash)
    assert verdict["exam"]["level"] == "tone_reader"
    probes = {probe["probe"]: probe for probe in verdict["exam"]["probes"]}
    assert probes["held_out_auc"]["interval"]["low"] > 0.8
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
        assert await exams.newest(connection, exam_id(judge, library().frames_hash)) is not None


async def test_an_exams_readings_are_not_a_judgements(panel: Bench) -> None:
    judge = await panel.judges.identity()
    assert len({judge_key(judge), judge_key(judge, "exam:1"), judge_key(judge, "exam:2")}) == 3


async def test_ratings_are_published_once_and_again_only_with_news(panel: Bench, fake: FakeGateway) -> None:
    await sat(panel, a_record(fake))
    await panel.judges.look()
    await panel.judges.look()
    assert [one["aggregate_version"] for one in await outbox(panel, RATED)] == [1] * 5
    async with panel.engine.begin() as connection:
        await panel.judges.rate(connection, a_record(fake, passes=False))
    rated = await outbox(panel, RATED)
    assert [one["aggregate_version"] for one in rated] == [1] * 5 + [2] * 5
    assert rated[-1]["exam"]["level"] == "refused"


async def test_a_record_that_only_came_with_the_package_is_sat_here_once_nothing_waits(
    panel: Bench, fake: FakeGateway
) -> None:
    record = a_record(fake)
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
    record = a_record(fake)
    await sat(panel, record)
    async with panel.engine.connect() as connection:
        found = await exams.newest(connection, record.exam_id)
    assert found is not None
    assert restore_exam(found[0]) == record


async def test_readings_of_an_exam_are_forgotten_when_its_figures_are_kept(panel: Bench, fake: FakeGateway) -> None:
    judge = await panel.judges.identity()
    await panel.judges.ask_for_exam(judge, "first")
    async with working(panel):
        await until(lambda: no_exam_waits(panel), 60)
    key = f"{exam_id(judge, library().frames_hash)}:first"
    async with panel.engine.connect() as connection:
        assert (await runs.calls_of(connection, f"exam:{key}")).requests == 0
