"""Publishing files: one tool, a folder, the starter catalog. Each tool is a transaction of its own."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from . import domain, toolfile
from .store import tools

STARTER = Path(__file__).parent / "starter"


class NothingToPublish(ValueError):
    """A folder holds no tool file."""


def files_of(path: Path) -> list[Path]:
    """The tool files that a path means: itself, or every ``.yaml``, ``.yml`` and ``.json`` of a folder by name.

    Raises :class:`NothingToPublish`.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml", ".json") and file.is_file())
    if not found:
        raise NothingToPublish(f"{path} holds no .yaml, .yml or .json file")
    return found


def read_all(files: Sequence[Path]) -> list[domain.ToolDraft]:
    """The tools in the files. Nothing is published where one is bad or two want one address.

    Raises ``BadToolFile`` and ``SlugClash``.
    """
    drafts: dict[str, tuple[Path, domain.ToolDraft]] = {}
    for file in files:
        draft = toolfile.read(file)
        if draft.slug in drafts:
            raise domain.SlugClash(f"{file}: slug: {draft.slug!r} is the slug of {drafts[draft.slug][0]} too")
        drafts[draft.slug] = (file, draft)
    return [draft for _, draft in drafts.values()]


async def publish_drafts(
    engine: AsyncEngine, drafts: Sequence[domain.ToolDraft], *, origin: str, now: datetime
) -> AsyncIterator[tools.Published]:
    """Publish one after another; each is told of as soon as it is committed."""
    for draft in drafts:
        async with engine.begin() as connection:
            published = await tools.publish_tool(connection, draft, origin=origin, now=now)
        yield published


async def import_starter(engine: AsyncEngine, *, now: datetime) -> AsyncIterator[tools.Published]:
    """Bring the packaged tools on record. One that an operator has changed or retired stays as it is."""
    for draft in read_all(files_of(STARTER)):
        async with engine.begin() as connection:
            standing = await tools.find(connection, draft.slug)
            if standing is not None and (standing.origin != "starter" or standing.tool.status == "retired"):
                published = tools.Published(standing.tool_id, draft.slug, standing.version, "unchanged")
            else:
                published = await tools.publish_tool(connection, draft, origin="starter", now=now)
        yield published
