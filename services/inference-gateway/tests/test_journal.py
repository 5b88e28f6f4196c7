"""What a killed process knew is handed over once, though Redis has forgotten it too."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_gateway.store.admission import Admission, Reservation, shard_of
from inference_gateway.store.handing_over import HandingOver
from inference_gateway.store.journal import Journal, of_the_dead, read
from shipjury_standalone.testing import wait_until

OUTCOME = {"outcome": "ok", "reason": None, "cost": 70, "tokens": [5, 0, 2], "usage": None, "upstream": None}


def ended(**changes: Any) -> bytes:
    """How an attempt ended, as the request path writes it."""
    return orjson.dumps(OUTCOME | {"ms": 5, "ttft": None} | changes)


def watched(gateway: Any, folder: Path) -> HandingOver:
    """What looks after a folder, as another process of this gateway would."""
    return HandingOver(Journal(folder, "living"), Admission(gateway.pipe, "living"), gateway.pipe, gateway.engine)


async def test_a_killed_process_journal_fills_what_redis_forgot_once_and_goes_when_the_ledger_has_it(
    gateway: Any, tmp_path: Path
) -> None:
    budget = await gateway.budget(10**9)
    counter = f"sj:{{{shard_of(gateway.facts().organisation_id)}}}:c:{budget}:total"
    known, open_, released = (
        gateway.facts(bound_nano_usd=100, counters=((counter, "nano_usd", 100, 0),)) for _ in range(3)
    )
    dead = Journal(tmp_path / "journal", "dead")
    for one in (known, open_, released):
        dead.intent(one.encode())
    dead.result(known.attempt_id, ended())
    dead.result(released.attempt_id, b"")
    handing_over = watched(gateway, tmp_path / "journal")
    assert await handing_over.look() == 0, "its process lives"
    dead.close()
    assert await handing_over.look() == 2
    assert await handing_over.look() == 0
    assert await watched(gateway, tmp_path / "other").look() == 0
    rows = {row["attempt_id"]: row for row in await gateway.ledger()}
    assert {one: (row["outcome"], row["cost_nano_usd"]) for one, row in rows.items()} == {
        known.attempt_id: ("ok", 70),
        open_.attempt_id: ("uncertain", 100),
    }
    assert (await gateway.counters())[counter] == 170
    await handing_over.look()
    assert not [path for path, _ in of_the_dead(tmp_path / "journal") if path.name.startswith("dead")]


async def test_a_result_in_the_journal_replaces_what_was_taken_for_lost(gateway: Any, tmp_path: Path) -> None:
    """Redis is there: the attempt is open, is given up by the reaper, and the journal knows its end."""
    from inference_gateway.store.admission import Reaper

    facts = gateway.facts(bound_nano_usd=100)
    admission = Admission(gateway.pipe, "dead")
    shard = shard_of(facts.organisation_id)
    await admission.reserve(Reservation(facts.attempt_id, shard, (), facts.encode(), 100))
    await gateway.pipe.call("ZADD", "sj:instances", 1, "dead")
    assert await Reaper(gateway.pipe, 60).reap() == 1
    [row] = await gateway.ledger()
    assert (row["outcome"], row["cost_nano_usd"]) == ("uncertain", 100)
    dead = Journal(tmp_path / "journal", "dead")
    dead.intent(facts.encode())
    dead.result(facts.attempt_id, ended())
    dead.close()
    assert await watched(gateway, tmp_path / "journal").look() == 1
    kinds = [(row["kind"], row["cost_nano_usd"]) for row in await gateway.ledger()]
    assert kinds == [("attempt", 100), ("reversal", -100), ("correction", 70)]


async def test_what_was_open_at_a_killed_process_is_settled_at_once_and_its_slot_is_free(
    gateway: Any, tmp_path: Path
) -> None:
    shard = shard_of(gateway.facts().organisation_id)
    slot = f"sj:{{{shard}}}:c:slots:total"
    await gateway.pipe.call("SET", slot, 1)
    facts = gateway.facts(bound_nano_usd=100, counters=((slot, "concurrency", 1, 0),))
    admission = Admission(gateway.pipe, "dead")
    await admission.reserve(Reservation(facts.attempt_id, shard, (), facts.encode(), 100))
    dead = Journal(tmp_path / "journal", "dead")
    dead.intent(facts.encode())
    dead.close()
    assert await watched(gateway, tmp_path / "journal").look() == 1
    assert (await gateway.counters())[slot] == 0
    assert await gateway.pipe.call("KEYS", "sj:*:open:*") == []


async def test_the_request_path_writes_it_and_a_full_file_goes_when_the_ledger_has_it(
    start: Any, tmp_path: Path
) -> None:
    gateway = await start(journal_dir=tmp_path / "journal")
    await gateway.chat()
    await gateway.chat("fault=500")
    [path] = (tmp_path / "journal").glob("*.journal")
    noted = read(path)
    assert set(noted.facts) == set(noted.outcomes) == {row["attempt_id"] for row in await gateway.ledger()}
    small = Journal(tmp_path / "small", "living", segment_bytes=1)
    facts = gateway.facts()
    small.intent(facts.encode())
    [full] = small.written
    handing_over = HandingOver(small, Admission(gateway.pipe, "living"), gateway.pipe, gateway.engine)
    await handing_over.look()
    assert full.exists(), "the ledger does not have it yet"
    admission = Admission(gateway.pipe, "living")
    reservation = Reservation(facts.attempt_id, shard_of(facts.organisation_id), (), facts.encode(), 100)
    await admission.reserve(reservation)
    await admission.settle(reservation, ended(), nano_usd=70, tokens=7)
    await gateway.ledger()
    await handing_over.look()
    assert not full.exists()


async def test_a_started_gateway_hands_over_what_the_last_one_left(start: Any, tmp_path: Path) -> None:
    first = await start(journal_dir=tmp_path / "journal", drain_seconds=60)
    url = first.settings.database_url.get_secret_value()
    asking = asyncio.create_task(first.chat("fault=hang", stream=True))

    async def sent() -> bool:
        return bool(await first.account())

    await wait_until(sent)
    [path] = (tmp_path / "journal").glob("*.journal")
    left = path.read_bytes()
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "gone.1.journal").write_bytes(left)  # as a killed process leaves it
    await first.pipe.call("FLUSHALL")
    second = await start(journal_dir=tmp_path / "later", database_url=url)
    rows: list[dict[str, Any]] = []

    async def there() -> bool:
        rows[:] = await second.ledger()
        return bool(rows)

    await wait_until(there)
    assert [(row["outcome"], row["cost_nano_usd"] == row["bound_nano_usd"]) for row in rows] == [("uncertain", True)]
    asking.cancel()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_file_that_is_torn_anywhere_gives_what_stood_before(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.1.journal"
    ids = [f"{number:036d}" for number in range(4)]
    lines = [b'I{"attempt":"%b"}\n' % one.encode() for one in ids] + [b"R%b{}\n" % one.encode() for one in ids]
    whole = b"".join(lines)
    length = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:length])
    noted = read(path)
    count = whole[:length].count(b"\n")
    assert list(noted.facts) == ids[:count]
    assert list(noted.outcomes) == ids[: max(0, count - 4)]
