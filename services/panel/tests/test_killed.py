"""The panel killed with SIGKILL between review and verdict: one verdict comes of it, and nothing is doubled."""

import asyncio
import signal
import sys
from pathlib import Path

import sqlalchemy as sa

from panel.app import Bench
from panel.settings import Settings
from panel.store.tables import reviews, runs, verdicts

from .builders import a_tool
from .conftest import a_record, judged, outbox, published, sat
from .fake_gateway import KEY, FakeGateway


async def test_killed_between_review_and_verdict_issues_one_verdict_from_the_reviews_that_were_kept(
    panel: Bench, settings: Settings, fake: FakeGateway
) -> None:
    await sat(panel, a_record(fake))
    async with panel.engine.begin() as connection:
        await published(connection, a_tool())
    doomed = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("doomed_worker.py")),
        settings.database_url.get_secret_value(),
        fake.url,
        KEY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert doomed.stdout is not None
    try:
        said = await asyncio.wait_for(_reviewed(doomed.stdout), 60)
    finally:
        doomed.send_signal(signal.SIGKILL)
        await doomed.wait()
    assert said
    async with panel.engine.connect() as connection:
        before = set(await connection.scalars(sa.select(reviews.c.review_id)))
        assert await connection.scalar(sa.select(sa.func.count()).select_from(verdicts)) == 0
    assert len(before) == 5

    await judged(panel)  # the lease of the dead runs out, and this worker takes the job up

    (event,) = await outbox(panel, "verdicts.issued.v1")
    assert {review["review_id"] for review in event["reviews"]} == before
    async with panel.engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(verdicts)) == 1
        assert list(await connection.scalars(sa.select(runs.c.state))) == ["issued"]
        assert await connection.scalar(sa.text("SELECT attempt FROM jobs WHERE kind = 'panel.judge_tool'")) == 2
    assert set(fake.asked.values()) == {1}


async def _reviewed(stream: asyncio.StreamReader) -> bool:
    async for line in stream:
        if line.strip() == b"reviewed":
            return True
    return False
