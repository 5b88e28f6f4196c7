"""Logs are JSON lines on disk and readable lines on the screen."""

import asyncio
import json
from pathlib import Path

from shipjury_standalone import log_files
from shipjury_standalone.log_files import ChildLog
from shipjury_standalone.testing import wait_until


def test_a_child_line_that_is_no_json_becomes_an_event(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "redis.jsonl", "redis")
    log("100% ready to accept connections")
    log('{"event": "as it is", "timestamp": "2026-01-01T10:00:00Z"}')
    first, second = [json.loads(line) for line in (tmp_path / "redis.jsonl").read_text().splitlines()]
    assert first["event"] == "100% ready to accept connections"
    assert second == {"event": "as it is", "timestamp": "2026-01-01T10:00:00Z"}


def test_logs_of_all_parts_are_shown_in_the_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"timestamp": "2026-01-01T10:00:02Z", "event": "second", "tool": "aider"}\n')
    (tmp_path / "b.jsonl").write_text('{"timestamp": "2026-01-01T10:00:01Z", "event": "first"}\nno json\n')
    (tmp_path / "traces.jsonl").write_text('{"name": "a span"}\n')
    shown = log_files.read(tmp_path, None, 10)
    assert ["first" in line or "second" in line for line in shown] == [False, True, True]
    assert shown[1].startswith("10:00:01 b")
    assert shown[2].endswith("second tool=aider")
    assert log_files.read(tmp_path, "a", 10) == shown[2:]


def test_a_log_turns_to_a_new_file_before_it_grows_too_large(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "broker.jsonl", "broker")
    for _ in range(250):
        log(json.dumps({"event": "x" * 100_000}))
    sizes = [path.stat().st_size for path in tmp_path.glob("broker.jsonl*")]
    assert max(sizes) <= log_files.LARGEST
    assert len(sizes) == 3


def test_following_a_log_goes_on_after_it_turned(tmp_path: Path) -> None:
    path = tmp_path / "edge.jsonl"
    path.write_text('{"event": "old"}\n')
    lines = log_files.follow(tmp_path, "edge", lambda: True)
    with path.open("a") as file:
        file.write('{"event": "new"}\n')
    assert next(lines).endswith("new")
    path.rename(tmp_path / "edge.jsonl.1")
    path.write_text('{"event": "after the turn"}\n')
    assert next(lines).endswith("after the turn")


async def test_traces_are_cut_when_they_grow_and_writers_go_on(tmp_path: Path) -> None:
    traces, stop = tmp_path / "traces.jsonl", asyncio.Event()
    with traces.open("a") as writer:
        writer.write("x" * 1000)
        writer.flush()
        keeping = asyncio.create_task(log_files.keep_short(traces, stop, largest=500, every=0.01))
        await wait_until(lambda: traces.stat().st_size == 0)
        writer.write("after")
        writer.flush()
    assert traces.read_text() == "after"
    assert (tmp_path / "traces.jsonl.1").stat().st_size == 1000
    stop.set()
    await keeping
