"""The log: anyone who has its address can recount a tool, and sees it when something was changed."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from shipjury_schemas import Event, TallyChanged, VoteCast, decode
from votes.cli import commands
from votes.domain import Cast, recount
from votes.on_vote_cast import on_vote_cast
from votes.settings import Settings
from votes.store.log import entries, fold_casts
from votes.store.recount import recount_all

from .conftest import Replica, Served, Service, add_tool, outbox

Fold = Callable[[], Awaitable[None]]
Serving = Callable[[Service], Awaitable[Served]]

NOON = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
README = Path(__file__).parents[1] / "README.md"


def cast(tool: str, voter: str, version: int = 1, vote: str = "ship", state: str = "counted") -> Cast:
    return Cast(tool, voter, version, vote, state, None, NOON)


async def fold_all(engine: AsyncEngine, *casts: Cast) -> None:
    async with engine.begin() as connection:
        await fold_casts(connection, casts, NOON)


async def tallies(engine: AsyncEngine) -> list[TallyChanged]:
    rows = await outbox(engine, "tallies.changed.v1")
    return [decode(TallyChanged, row.value, [(name, text.encode()) for name, text in row.headers]).data for row in rows]


async def test_a_tally_is_told_with_the_length_and_head_of_its_log(engine: AsyncEngine, tool: str) -> None:
    await fold_all(engine, *(cast(tool, f"v{number}", vote=("ship", "skip")[number % 4 == 0]) for number in range(12)))
    (told,) = await tallies(engine)
    log = [pair async for pair in entries(engine, tool)]
    assert (told.aggregate_version, told.head) == (12, log[-1][1])
    assert (told.ship, told.skip, told.held, told.share) == (9, 3, 0, 0.75)
    assert told.interval is not None
    assert told.interval.low < 0.75 < told.interval.high


async def test_what_was_folded_already_changes_nothing_and_tells_nothing(engine: AsyncEngine, tool: str) -> None:
    casts = [cast(tool, "a"), cast(tool, "a", 2, "skip"), cast(tool, "b")]
    await fold_all(engine, *casts)
    await fold_all(engine, *casts)
    await fold_all(engine, *reversed(casts))
    assert [told.aggregate_version for told in await tallies(engine)] == [3]


async def test_the_fold_does_not_look_at_current_votes(engine: AsyncEngine, tool: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("INSERT INTO ballots VALUES (CAST(:tool AS uuid), 'a', 'skip', 'counted', NULL, 9, now())"),
            {"tool": tool},
        )
    await fold_all(engine, cast(tool, "a", 1, "ship"))
    assert [(told.ship, told.skip) for told in await tallies(engine)] == [(1, 0)]


async def test_two_workers_that_meet_on_the_same_tools_neither_deadlock_nor_double(engine: AsyncEngine) -> None:
    tools = [await add_tool(engine) for _ in range(4)]
    casts = [cast(tool, f"v{number}") for number in range(25) for tool in tools]
    await asyncio.gather(
        *(
            fold_all(engine, *part)
            for start in range(0, 100, 20)
            for part in (casts[start : start + 20], casts[start : start + 20][::-1])
        )
    )
    for tool in tools:
        log = [pair async for pair in entries(engine, tool)]
        assert [entry.sequence for entry, _ in log] == list(range(1, 26))
        assert recount(entry for entry, _ in log).ship == 25
    assert [one.problem async for one in recount_all(engine)] == [None] * 4


async def test_an_event_that_is_of_no_tool_goes_to_the_dead_letters(engine: AsyncEngine) -> None:
    from shipjury_delivery import Permanent

    data = VoteCast(aggregate_version=1, tool_id="no-uuid", voter="a", vote="ship", state="counted", cast_at=NOON)
    async with engine.begin() as connection:
        with pytest.raises(Permanent):
            await on_vote_cast(connection, [Event(data=data, source="/test")], clock=lambda: NOON)


async def test_the_log_is_paged_without_gaps(replica: Replica, engine: AsyncEngine, tool: str) -> None:
    await fold_all(engine, *(cast(tool, f"v{number}") for number in range(7)))
    reader = await (await replica()).reader()
    sequences, after = [], 0
    while after is not None:
        page = (await reader.get(f"/votes/{tool}/log", params={"after": after, "limit": 3})).json()
        sequences += [entry["sequence"] for entry in page["entries"]]
        after = page["next"]
        assert page["length"] == 7
    assert sequences == list(range(1, 8))
    beyond = (await reader.get(f"/votes/{tool}/log", params={"after": 99})).json()
    assert (beyond["entries"], beyond["next"]) == ([], None)


async def test_the_lines_are_the_pages(replica: Replica, engine: AsyncEngine, tool: str) -> None:
    await fold_all(engine, *(cast(tool, f"v{number}") for number in range(1005)))
    reader = await (await replica()).reader()
    lines = (await reader.get(f"/votes/{tool}/log", headers={"Accept": "application/x-ndjson"})).text.splitlines()
    assert len(lines) == 1005
    page = (await reader.get(f"/votes/{tool}/log", params={"after": 1000})).json()
    assert [json.loads(line) for line in lines[1000:]] == page["entries"]


@pytest.fixture
def recipe() -> str:
    """The program that the README gives to anyone."""
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return program


async def run_recipe(recipe: str, address: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-I", "-c", recipe, address],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest_asyncio.fixture
async def voted(replica: Replica, serving: Serving, tool: str, fold: Fold) -> str:
    """Address of a tool with counted, withdrawn and held votes."""
    served = await serving(await replica(limit_network_voters=3))
    for number in range(5):
        async with httpx.AsyncClient(base_url=served.address) as reader:
            await reader.put(f"/votes/{tool}", json={"verdict": ("ship", "skip")[number % 2]})
            await fold()
            if number == 0:
                await reader.delete(f"/votes/{tool}")
    await fold()
    return f"{served.address}/votes/{tool}"


async def test_the_recipe_of_the_readme_recounts_a_tool_by_itself(voted: str, recipe: str) -> None:
    recounted = await run_recipe(recipe, voted)
    assert (recounted.returncode, recounted.stderr) == (0, "")
    assert recounted.stdout.startswith("ship 1, skip 1, held 2, head ")
    async with httpx.AsyncClient() as reader:
        assert recounted.stdout.split()[-1] == (await reader.get(voted)).json()["head"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("UPDATE log SET vote = 'skip' WHERE vote = 'ship'", "is not what it was"),
        ("DELETE FROM log WHERE sequence = 2", "is not what it was"),
        ("DELETE FROM log WHERE sequence = 6", "does not end where"),
        ("UPDATE tallies SET head = repeat('a', 64)", "does not end where"),
        ("UPDATE tallies SET ship = ship + 1", "the tally is wrong"),
    ],
)
async def test_the_recipe_shows_what_was_changed(
    voted: str, recipe: str, engine: AsyncEngine, change: str, complaint: str
) -> None:
    async with engine.begin() as connection:
        assert (await connection.execute(sa.text(change))).rowcount
    recounted = await run_recipe(recipe, voted)
    assert recounted.returncode == 1
    assert complaint in recounted.stderr


async def test_the_recipe_recounts_a_tool_without_votes(
    replica: Replica, serving: Serving, tool: str, recipe: str
) -> None:
    served = await serving(await replica())
    recounted = await run_recipe(recipe, f"{served.address}/votes/{tool}")
    assert recounted.stdout == f"ship 0, skip 0, held 0, head {'0' * 64}\n"


async def test_the_operators_recount_names_what_does_not_agree(
    replica: Replica, engine: AsyncEngine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, tampered = str(uuid4()), str(uuid4())
    await fold_all(engine, *(cast(tool, f"v{number}") for tool in (right, tampered) for number in range(3)))

    def command() -> tuple[int, str]:
        result = CliRunner().invoke(commands, ["recount"])
        return result.exit_code, result.output

    for name, value in (("DATABASE_URL", database), ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"), ("OPERATOR_KEY", "k")):
        monkeypatch.setenv(f"{Settings.model_config['env_prefix']}{name}", value)
    code, output = await asyncio.to_thread(command)
    assert (code, "2 tools recounted, 0 wrong" in output) == (0, True)
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("UPDATE log SET state = 'voided' WHERE tool_id = CAST(:tool AS uuid) AND sequence = 2"),
            {"tool": tampered},
        )
    code, output = await asyncio.to_thread(command)
    assert (code, "2 tools recounted, 1 wrong" in output) == (1, True)
    assert "WRONG: entry 2: its hash is not that of its fields" in output
    operator = await (await replica()).operator()
    found = {one["tool_id"]: one["problem"] for one in (await operator.get("/votes/recount")).json()}
    assert found[right] is None
    assert found[tampered].startswith("entry 2")
