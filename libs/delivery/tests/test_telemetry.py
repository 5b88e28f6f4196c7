"""A chain of linked spans, from a publisher through outbox, topic and job to what they caused."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from shipjury_delivery.telemetry import OncePerWhile, context_from, links_to
from shipjury_delivery.testing import World

CHAIN = """
import asyncio, sys
import sqlalchemy as sa
from shipjury_delivery import JobHandler, enqueue, telemetry
from shipjury_delivery.testing import from_arguments, happened, until

telemetry.set_up("chain")
world = from_arguments(sys.argv[1])
done = asyncio.Event()

async def on_happened(connection, events):
    for event in events:
        await enqueue(connection, "work", event.subject, {})

async def work(job):
    with telemetry.tracer("chain").start_as_current_span("the end"):
        done.set()

async def main():
    async with world.worker(world.subscription(on_happened), jobs=[JobHandler("work", work)], relay=True):
        with telemetry.tracer("chain").start_as_current_span("the beginning"):
            await world.publish(happened(world.contract, "a", 1, text="SECRET-PAYLOAD"))
        await asyncio.wait_for(done.wait(), 60)
    telemetry.tear_down()

asyncio.run(main())
"""


async def test_links_lead_from_the_end_back_to_the_beginning(world: World, tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHAIN,
        world.as_arguments(),
        env=os.environ | {"SHIPJURY_TRACES_FILE": str(file)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, logged = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, logged.decode()
    spans = {span["span_id"]: span for span in map(json.loads, _read(file).splitlines())}
    end = next(span for span in spans.values() if span["name"] == "the end")
    names = [span["name"] for span in _back(end, spans)]
    assert names == [
        "the end",
        "job work",
        f"process {world.topic}",
        f"publish {world.topic}",
        "the beginning",
    ]
    assert b"SECRET-PAYLOAD" not in logged
    assert "SECRET-PAYLOAD" not in _read(file)


def _back(span: dict[str, Any], spans: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The span, and what caused it: its parent, else what it links to."""
    causes = [span["parent_id"]] if span["parent_id"] else [link["span_id"] for link in span["links"]]
    return [span, *(one for cause in causes for one in _back(spans[cause], spans))]


def _read(file: Path) -> str:
    return file.read_text()


def test_a_traceparent_that_is_none_links_to_nothing() -> None:
    assert links_to([None, "", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"]) == []
    assert context_from("nonsense") == {}


def test_a_batch_links_to_each_cause_once() -> None:
    one = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert len(links_to([one, None, one])) == 1


def test_a_library_that_repeats_itself_is_heard_once_in_a_while() -> None:
    now = [0.0]
    once = OncePerWhile("aiokafka", 30, clock=lambda: now[0])

    def said(name: str = "aiokafka.client", line: int = 1) -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "client.py", line, "cannot connect to %s", ("k1",), None)
        return record.getMessage() if once.filter(record) else None

    assert said() == "cannot connect to k1"
    assert [said(), said()] == [None, None]
    assert said(line=2) == "cannot connect to k1"
    assert [said(name="votes"), said(name="votes")] == ["cannot connect to k1"] * 2
    now[0] = 31
    assert said() == "cannot connect to k1 (and 2 times before)"
