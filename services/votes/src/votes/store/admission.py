"""Counts in Redis how fast votes come: one script, one round trip, everything expires by itself.

Without Redis votes go on, but go into quarantine as not checked: a worker checks them from the record within minutes
(:mod:`.quarantine`). A reader never waits for a Redis that is away.
"""

import time
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..domain import Limits, Observation

_log = structlog.get_logger("votes.admission")
_FAILURES = Counter("votes_admission_failures_total", "Votes that could not be checked in Redis.")

_PAUSE = 1.0

# Counters run from their first vote until they expire; sets hold voters, so that one who changes a vote ten times is
# still one voter. A refused vote is not added to the sets.
_SCRIPT = """
local function count(key, window)
  local n = redis.call('INCR', key)
  if n == 1 then redis.call('PEXPIRE', key, window) end
  return n
end
local function voters(key, voter, window)
  redis.call('SADD', key, voter)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, window) end
  return redis.call('SCARD', key)
end
local rate, speed, burst, voter = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local by_voter, by_network = count(KEYS[1], rate), count(KEYS[2], rate)
if by_voter > tonumber(ARGV[5]) then return {by_voter, by_network, redis.call('PTTL', KEYS[1])} end
if by_network > tonumber(ARGV[6]) then return {by_voter, by_network, redis.call('PTTL', KEYS[2])} end
return {by_voter, by_network, 0, count(KEYS[3], speed),
  voters(KEYS[4], voter, burst), voters(KEYS[5], voter, burst), voters(KEYS[6], voter, burst)}
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who votes on what, in hashes of the day: nothing here leads back to an address or to another day's votes."""

    tool_id: str
    voter: str
    network: str
    signal: str


class Admission:
    """Counts votes by voter, network and kind of client. ``redis_url`` ``None`` means: nothing is ever checked.

    ``timeout`` (seconds) bounds one try; a second one follows, since a busy moment of our own process looks the same.
    """

    def __init__(self, redis_url: str | None, limits: Limits, *, timeout: float = 0.75) -> None:
        self._limits = limits
        self._away_until = 0.0
        self._redis: Redis | None = None
        if redis_url:
            pool = BlockingConnectionPool.from_url(
                redis_url,
                max_connections=64,
                timeout=2 * timeout,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError, RedisTimeoutError)),
            )
            self._redis = Redis.from_pool(pool)
            self._script = self._redis.register_script(_SCRIPT)

    async def observe(self, visit: Visit) -> Observation | None:
        """Count a vote and say what was counted; ``None`` where Redis does not answer."""
        if self._redis is None or time.monotonic() < self._away_until:
            _FAILURES.inc()
            return None
        limits = self._limits
        tool, network, signal = visit.tool_id, visit.network, visit.signal
        try:
            counted: list[int] = await self._script(
                keys=[
                    f"votes:rate:voter:{visit.voter}",
                    f"votes:rate:network:{network}",
                    f"votes:speed:{visit.voter}",
                    f"votes:burst:network:{network}:{tool}",
                    f"votes:burst:network:{network}",
                    f"votes:burst:signal:{signal}:{tool}",
                ],
                args=[
                    _milliseconds(limits.rate_window),
                    _milliseconds(limits.speed_window),
                    _milliseconds(limits.burst_window),
                    visit.voter,
                    limits.voter_writes,
                    limits.network_writes,
                ],
            )
        except (RedisError, OSError) as error:
            # One reader waits; the others of the next second don't.
            self._away_until = time.monotonic() + _PAUSE
            _FAILURES.inc()
            _log.warning("votes go unchecked: Redis does not answer", error=type(error).__name__)
            return None
        by_voter, by_network, left, *rest = counted
        observed = Observation(by_voter, by_network, rate_left=timedelta(milliseconds=max(left, 0)))
        if not rest:
            return observed
        speed, of_network, of_network_all, of_signal = rest
        return replace(
            observed,
            speed_writes=speed,
            network_voters=of_network,
            network_voters_all=of_network_all,
            signal_voters=of_signal,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()
            await self._redis.connection_pool.disconnect()


def _milliseconds(window: timedelta) -> int:
    return int(window / timedelta(milliseconds=1))
