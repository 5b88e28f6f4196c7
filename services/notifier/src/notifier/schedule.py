"""When an issue is due: a cron expression in an IANA time zone, right across daylight-saving changes."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def last_due(schedule: str, time_zone: str, now: datetime) -> datetime:
    """The newest due time at or before ``now``, in UTC.

    An hour that a daylight-saving change skips is due right after it; one that comes twice is due once.
    """
    local = now.astimezone(ZoneInfo(time_zone))
    candidate = next(CronSim(schedule, local, reverse=True))
    following = next(CronSim(schedule, candidate))
    due = following if following <= local else candidate
    return due.astimezone(UTC)


def next_due(schedule: str, time_zone: str, now: datetime) -> datetime:
    """The first due time after ``now``, in UTC."""
    return next(CronSim(schedule, now.astimezone(ZoneInfo(time_zone)))).astimezone(UTC)
