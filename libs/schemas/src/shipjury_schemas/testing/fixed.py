"""Values that never change: no clock, no randomness."""

from datetime import UTC, datetime

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOOL_ID = "0193a000-0000-7000-8000-000000000001"
OTHER_TOOL_ID = "0193a000-0000-7000-8000-000000000002"
HASH = "5f" * 32
