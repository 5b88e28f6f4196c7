"""One tool judged by the real weights: an edge runner as a process of its own, the exam record that is shipped."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from panel.app import bench
from panel.library import library
from panel.settings import Settings
from panel.store import exams
from shipjury_delivery.testing import until

from .builders import BAD, GOOD, a_tool
from .conftest import MakeDatabase, judged, outbox, published, settings_for


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest_asyncio.fixture
async def edge(tmp_path: Path) -> AsyncIterator[str]:
    port = free_port()
    log = (tmp_path / "edge.log").open("wb")
    runner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edge_runner",
        "serve",
        env={**os.environ, "EDGE_PUBLIC_PORT": str(port), "EDGE_OPERATOR_PORT": "0"},
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}/v1"

    async def ready() -> bool:
        assert runner.returncode is None, (tmp_path / "edge.log").read_text()[-2000:]
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as answer:
                return any(model.get("state") == "ready" for model in (await answer.json())["data"])
        except (aiohttp.ClientError, KeyError):
            return False

    try:
        await until(ready, 90)
        yield url
    finally:
        runner.terminate()
        await runner.wait()
        log.close()


@pytest.mark.timeout(300)
async def test_real_weights_tell_good_facts_from_bad_with_the_shipped_exam(
    make_database: MakeDatabase, edge: str
) -> None:
    settings: Settings = settings_for(await make_database("panel"), edge).model_copy(
        update={"call_deadline": Settings.model_fields["call_deadline"].default}
    )
    bad = a_tool(BAD, tool_id="22222222-2222-7222-8222-222222222222", slug="bad-tool")
    async with bench(settings) as panel:
        async with panel.engine.begin() as connection:
            await published(connection, a_tool(GOOD), bad)
        await judged(panel)
        verdicts = {value["tool_slug"]: value for value in await outbox(panel, "verdicts.issued.v1")}
        judge = await panel.judges.identity()
        record = await panel.judges.record(judge)
        assert record is not None
        async with panel.engine.connect() as connection:
            kept = await exams.newest(connection, record.exam_id)
    assert kept is not None
    assert kept[1], "the record that is shipped belongs to these weights, this engine and these frames"
    assert record.frames_hash == library().frames_hash
    assert verdicts["acme-tool"]["verdict"] == "ship"
    assert verdicts["bad-tool"]["score"] < verdicts["acme-tool"]["score"] - 20
    assert verdicts["bad-tool"]["verdict"] in {"skip", "undecided"}
    assert verdicts["acme-tool"]["manifest"]["weights"] == judge.weights
