"""Publishing on a real database: idempotent, versioned, announced once."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from catalog import domain, publishing
from catalog.store import site, tools
from shipjury_schemas import ToolPublished

from .builders import NOON, draft, fact


async def publish(engine: AsyncEngine, one: domain.ToolDraft) -> tools.Published:
    async with engine.begin() as connection:
        return await tools.publish_tool(connection, one, origin="file", now=NOON)


async def announced(engine: AsyncEngine) -> list[ToolPublished]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT value FROM outbox ORDER BY id"))
        return [ToolPublished.model_validate_json(bytes(row.value)) for row in rows]


async def test_publishing_the_same_content_twice_changes_nothing(engine: AsyncEngine) -> None:
    first, second = await publish(engine, draft()), await publish(engine, draft())
    assert (first.outcome, second.outcome) == ("new", "unchanged")
    assert (first.version, second.version) == (1, 1)
    assert len(await announced(engine)) == 1


async def test_a_change_of_evidence_makes_a_new_version_and_a_new_event(engine: AsyncEngine) -> None:
    await publish(engine, draft())
    changed = await publish(engine, draft(facts=(fact(1), fact(2))))
    first, second = await announced(engine)
    assert (changed.outcome, changed.version) == ("changed", 2)
    assert first.tool_id == second.tool_id
    assert (first.aggregate_version, second.aggregate_version) == (1, 2)
    assert (len(first.facts), len(second.facts)) == (3, 2)


async def test_two_publishers_of_one_new_tool_make_one_version(engine: AsyncEngine) -> None:
    results = await asyncio.gather(*(publish(engine, draft()) for _ in range(6)))
    assert sorted(result.outcome for result in results) == ["new", *["unchanged"] * 5]
    assert len(await announced(engine)) == 1


async def test_another_tool_cannot_take_an_address(engine: AsyncEngine) -> None:
    await publish(engine, draft())
    with pytest.raises(domain.SlugClash, match=r"belongs to Quillbase by Quillbase BV"):
        await publish(engine, draft(name="Inkwell", vendor="Inkwell Ltd"))
    assert len(await announced(engine)) == 1


async def test_a_retired_tool_keeps_its_last_value(engine: AsyncEngine) -> None:
    await publish(engine, draft())
    async with engine.begin() as connection:
        await tools.retire(connection, "quillbase", now=NOON)
    last = (await announced(engine))[-1]
    assert (last.status, last.aggregate_version, len(last.facts)) == ("retired", 2, 3)
    async with engine.connect() as connection:
        assert await tools.everything(connection) == []


async def test_a_retired_tool_comes_back_when_it_is_published_again(engine: AsyncEngine) -> None:
    await publish(engine, draft())
    async with engine.begin() as connection:
        await tools.retire(connection, "quillbase", now=NOON)
    assert (await publish(engine, draft())).outcome == "changed"
    assert (await announced(engine))[-1].status == "published"


async def test_retiring_an_unknown_tool_says_so(engine: AsyncEngine) -> None:
    with pytest.raises(domain.UnknownTool, match="nothing-here"):
        async with engine.begin() as connection:
            await tools.retire(connection, "nothing-here", now=NOON)


async def test_an_alias_and_a_merged_tool_lead_to_the_tool(engine: AsyncEngine) -> None:
    await publish(engine, draft())
    await publish(engine, draft(slug="quill-old", name="Quill Old", aliases=()))
    async with engine.begin() as connection:
        await tools.retire(connection, "quill-old", into="quillbase", now=NOON)
    async with engine.connect() as connection:
        assert await tools.forwarded(connection, "quill") == "quillbase"
        assert await tools.forwarded(connection, "quill-old") == "quillbase"


async def test_an_alias_of_two_tools_leads_to_neither(engine: AsyncEngine) -> None:
    await publish(engine, draft())
    await publish(engine, draft(slug="quill-two", name="Quill Two"))
    async with engine.connect() as connection:
        assert await tools.forwarded(connection, "quill") is None


async def test_the_sites_revision_grows_with_a_change_and_only_then(engine: AsyncEngine) -> None:
    async def revision() -> int:
        async with engine.connect() as connection:
            return await site.revision(connection)

    before = await revision()
    await publish(engine, draft())
    after = await revision()
    await publish(engine, draft())
    assert (after, await revision()) == (before + 1, before + 1)


async def test_the_starter_catalog_is_imported_once_and_never_over_an_operators_change(engine: AsyncEngine) -> None:
    first = [one.outcome async for one in publishing.import_starter(engine, now=NOON)]
    [vllm] = [one for one in publishing.read_all(publishing.files_of(publishing.STARTER)) if one.slug == "vllm"]
    async with engine.begin() as connection:
        await tools.publish_tool(connection, draft(slug="vllm", name=vllm.name), origin="file", now=NOON)
        await tools.retire(connection, "tgi", now=NOON)
    again = {one.slug: one.outcome async for one in publishing.import_starter(engine, now=NOON)}
    assert first == ["new"] * 30
    assert set(again.values()) == {"unchanged"}
    async with engine.connect() as connection:
        standing = await tools.find(connection, "vllm")
    assert standing is not None
    assert standing.tool.tagline == draft().tagline
