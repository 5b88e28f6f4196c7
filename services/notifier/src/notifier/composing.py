"""The editor: composes an issue when it is due, once, however many replicas there are."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shipjury_delivery.database import is_transient
from shipjury_delivery.telemetry import current_traceparent, links_to, tracer

from .domain.digest import Change, compose
from .schedule import last_due
from .settings import Settings
from .store import changes, issues
from .store.issues import FIRST_PERIOD, Issue, NothingNew

_log = structlog.get_logger("shipjury.notifier")

TONE_READER = (
    "Judged by a tone reader: one effective vote, not five. It reads whether each fact sounds favourable; it cannot "
    "check a fact, notice hype or compare numbers."
)


class Editor:
    """Composes due issues until it is stopped."""

    def __init__(self, engine: AsyncEngine, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Look once in a while whether an issue is due."""
        while not stop.is_set():
            try:
                await self.compose_due()
            except Exception as error:
                if not is_transient(error):
                    raise
                _log.warning("database is away, the digest waits", error=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), 20)
            except TimeoutError:
                continue

    async def compose_due(self) -> Issue | None:
        """Compose the issue that is due, if one is; ``None`` where none is or nothing is new.

        A due time that passed while everything was down is caught up; one before the first change is not.
        """
        settings = self._settings
        due = last_due(settings.digest_schedule, settings.digest_time_zone, self._clock())
        async with self._engine.connect() as connection:
            covered = await issues.covered_until(connection)
        if covered is None or due <= covered:
            return None
        wall = due.astimezone(ZoneInfo(settings.digest_time_zone)).replace(tzinfo=None)
        try:
            return await self.compose(due, wall)
        except NothingNew:
            return None

    async def draft(self) -> Issue | None:
        """The issue that would be composed now, as number 0; nothing is claimed or stored. ``None``: nothing is new."""
        now = self._clock()
        async with self._engine.connect() as connection:
            pending = await changes.pending(connection, now)
            items = compose(pending, await changes.standings(connection))
            covered = await issues.covered_until(connection)
        if not items:
            return None
        return Issue(
            digest_id="preview",
            number=0,
            title=_title(now),
            period_from=covered or now - FIRST_PERIOD,
            period_to=now,
            items=items,
            level_note=level_note(pending),
            composed_at=now,
            traceparent=None,
        )

    async def compose(self, period_to: datetime, wall_time: datetime | None = None) -> Issue | None:
        """Compose an issue up to ``period_to``. Raises :class:`NothingNew`."""
        async with self._engine.begin() as connection:
            pending = await changes.pending(connection, period_to)
            with tracer("notifier").start_as_current_span(
                "compose digest", links=links_to(change.traceparent for change in pending)
            ) as span:
                issue = await issues.issue(
                    connection,
                    period_to,
                    self._clock(),
                    title=_title,
                    level_note=level_note,
                    traceparent=current_traceparent(),
                    wall_time=wall_time,
                )
                if issue is not None:
                    span.set_attribute("shipjury.digest.id", issue.digest_id)
                    _log.info("digest composed", digest=issue.digest_id, items=len(issue.items))
        return issue


def _title(end: datetime) -> str:
    return f"Weekly AI Tool Verdicts, {end:%-d %B %Y}"


def level_note(changes_of_issue: Sequence[Change]) -> str:
    """What readers must know about the judge, where any verdict of the issue came from a tone reader."""
    return TONE_READER if any(change.level == "tone_reader" for change in changes_of_issue) else ""
