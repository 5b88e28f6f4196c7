"""What operators ask and order, for the operators' API and the command line alike."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from .store import exams, tools, verdicts


async def status_of(engine: AsyncEngine) -> dict[str, object]:
    """Jobs by state, tools judged, what failed and why, exams."""
    async with engine.connect() as connection:
        judged, issued = await verdicts.count(connection)
        return {
            "tools": len(await tools.names(connection)),
            "judged": judged,
            "verdicts": issued,
            "judging": dict(await tools.queue(connection)),
            "exams": dict(await tools.queue(connection, tools.EXAM)),
            "failed": await tools.failed(connection),
            "records": [
                {
                    "exam_id": document["exam_id"],
                    "model": document["model"],
                    "engine": document["engine"],
                    "level": document["level"],
                    "taken_at": document["taken_at"],
                    "shipped": shipped,
                }
                for document, shipped in await exams.all_records(connection)
            ],
        }


async def judge_again(engine: AsyncEngine, slug: str, now: datetime) -> int | None:
    """Ask for another judgement of the newest version. Returns it; ``None`` where no such tool is published."""
    async with engine.begin() as connection:
        tool = await tools.by_slug(connection, slug)
        if tool is None or tool.published.status == "retired":
            return None
        await tools.ask_for_judgement(connection, tool.tool_id, tool.version, f"again:{now.isoformat()}")
        return tool.version
