"""Claims about votes that hold for every order of events, every log and every count."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votes.domain import (
    GENESIS,
    Ballot,
    BrokenChain,
    Cast,
    Doubt,
    Entry,
    Head,
    Limits,
    NothingToDecide,
    Observation,
    StaleVersion,
    Tally,
    canonical,
    cast,
    client_address,
    digest,
    doubt,
    fold,
    hold,
    network_prefix,
    recount,
    release,
    retry_after,
    share,
    verify,
    void,
    wilson,
)
from votes.domain.network import ip_network

TOOL = "6a3f2b9e-0000-4000-8000-000000000001"
NOON = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)

votes = st.sampled_from(["ship", "skip", "withdrawn"])
states = st.sampled_from(["counted", "held", "voided"])


@st.composite
def histories(draw: st.DrawFn) -> list[Cast]:
    """Everything that several voters ever did on one tool: each voter's versions rise by one."""
    casts = []
    for voter in range(draw(st.integers(1, 5))):
        for version in range(1, draw(st.integers(1, 4)) + 1):
            time = NOON + timedelta(seconds=draw(st.integers(0, 3600)))
            casts.append(Cast(TOOL, f"voter-{voter}", version, draw(votes), draw(states), None, time))
    return casts


def folded_in_batches(casts: list[Cast], sizes: list[int]) -> tuple[Head, list[tuple[Entry, str]]]:
    head, newest, log, rest = Head(), {}, [], list(casts)
    sizes = [*sizes, len(rest) + 1]
    while rest:
        size = sizes.pop(0)
        batch, rest = rest[:size], rest[size:]
        folding = fold(head, newest, batch)
        head, newest = folding.head, dict(folding.newest)
        log.extend(folding.entries)
    return head, log


@given(histories(), st.data())
def test_replays_and_reorderings_end_in_the_same_tally(history: list[Cast], data: st.DataObject) -> None:
    expected = folded_in_batches(history, [])[0].tally
    replayed = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=8))))
    sizes = data.draw(st.lists(st.integers(1, 6), max_size=10))
    assert folded_in_batches(list(replayed), sizes)[0].tally == expected


@given(histories())
def test_folding_a_history_twice_adds_no_entry(history: list[Cast]) -> None:
    once, log = folded_in_batches(history, [])
    twice, longer = folded_in_batches(history + history, [])
    assert (twice, longer) == (once, log)


@given(histories(), st.lists(st.integers(1, 4), max_size=6))
def test_the_log_alone_gives_tally_and_head(history: list[Cast], sizes: list[int]) -> None:
    head, log = folded_in_batches(history, sizes)
    assert recount(entry for entry, _ in log) == head.tally
    assert verify(log, tool_id=TOOL) == head.hash
    assert len(log) == head.length


@given(histories(), st.data())
def test_the_chain_shows_any_change(history: list[Cast], data: st.DataObject) -> None:
    head, log = folded_in_batches(history, [])
    at = data.draw(st.integers(0, len(log) - 1))
    entry, shown = log[at]
    change = data.draw(
        st.sampled_from(
            [
                {"vote": "skip" if entry.vote != "skip" else "ship"},
                {"state": "voided" if entry.state != "voided" else "counted"},
                {"voter": entry.voter + "x"},
                {"version": entry.version + 1},
                {"reason": "because"},
                {"time": entry.time + timedelta(minutes=1)},
                {"previous": "f" * 64},
                {"sequence": entry.sequence + 1},
                {"tool_id": TOOL[:-1] + "2"},
            ]
        )
    )
    forged = replace(entry, **change)
    with pytest.raises(BrokenChain):
        verify([*log[:at], (forged, shown), *log[at + 1 :]], tool_id=TOOL)
    if at < len(log) - 1:
        with pytest.raises(BrokenChain):
            verify([*log[:at], (forged, digest(forged)), *log[at + 1 :]], tool_id=TOOL)
        with pytest.raises(BrokenChain):
            verify([*log[:at], *log[at + 1 :]], tool_id=TOOL)
    else:
        assert digest(forged) != head.hash  # a forged last entry gives another head than the published one


def test_every_field_of_an_entry_is_hashed() -> None:
    entry = Entry(TOOL, 1, NOON, "v", 1, "ship", "counted", None, GENESIS)
    for field in fields(entry):
        assert f'"{field.name}":'.encode() in canonical(entry)


def test_the_canonical_encoding_is_the_documented_one() -> None:
    entry = Entry(TOOL, 1, NOON, "ab", 2, "ship", "held", "naïve", GENESIS)
    assert canonical(entry).decode() == (
        f'{{"previous":"{GENESIS}","reason":"naïve","sequence":1,"state":"held","time":"2026-11-20T12:00Z",'
        f'"tool_id":"{TOOL}","version":2,"vote":"ship","voter":"ab"}}'
    )


def test_the_log_tells_the_minute_and_not_the_second() -> None:
    folding = fold(Head(), {}, [Cast(TOOL, "v", 1, "ship", "counted", None, NOON)])
    assert folding.entries[0][0].time == NOON.replace(second=0)


def test_a_vote_cast_twice_counts_once() -> None:
    first = cast(None, "ship")
    assert first == Ballot("ship", "counted", None, 1)
    assert cast(first, "ship") is first


def test_a_stale_version_is_refused_with_the_current_state() -> None:
    current = Ballot("skip", "counted", None, 3)
    with pytest.raises(StaleVersion) as refused:
        cast(current, "ship", expected=1)
    assert refused.value.current == current


def test_repeating_the_request_that_made_the_current_version_is_no_conflict() -> None:
    first = cast(None, "ship", expected=0)
    second = cast(first, "skip", expected=1)
    assert cast(first, "ship", expected=0) is first
    assert cast(second, "skip", expected=1) is second


def test_withdrawing_keeps_the_version_so_that_a_late_request_changes_nothing() -> None:
    withdrawn = cast(Ballot("ship", "counted", None, 1), "withdrawn")
    assert withdrawn == Ballot("withdrawn", "counted", None, 2)
    with pytest.raises(StaleVersion):
        cast(withdrawn, "ship", expected=0)


def test_withdrawing_nothing_leaves_nothing() -> None:
    assert cast(None, "withdrawn") is None


@given(st.lists(votes, max_size=6))
def test_no_sequence_of_votes_leads_out_of_quarantine(choices: list[str]) -> None:
    ballot = cast(None, "ship", doubt=Doubt.NETWORK)
    for choice in choices:
        ballot = cast(ballot, choice)
        assert ballot is not None
        assert (ballot.state, ballot.reason) == ("held", Doubt.NETWORK)


def test_a_voter_who_was_voided_votes_into_quarantine() -> None:
    voided = void(Ballot("ship", "counted", None, 1), "bought")
    assert cast(voided, "skip") == Ballot("skip", "held", "voided before", 3)


def test_an_operator_releases_voids_and_holds_by_version() -> None:
    held = Ballot("ship", "held", "burst", 4)
    assert release(held, "looked at") == Ballot("ship", "counted", "looked at", 5)
    assert void(held, "stuffing") == Ballot("ship", "voided", "stuffing", 5)
    assert hold(Ballot("ship", "counted", None, 1), "burst") == Ballot("ship", "held", "burst", 2)
    with pytest.raises(NothingToDecide):
        release(Ballot("ship", "counted", None, 1), "again")
    with pytest.raises(NothingToDecide):
        void(Ballot("ship", "voided", "x", 2), "again")
    with pytest.raises(NothingToDecide):
        hold(held, "burst")


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_wilson_interval_holds_the_share_and_stays_within_zero_and_one(ship: int, skip: int) -> None:
    low, high = wilson(ship, ship + skip)
    assert 0 <= low <= high <= 1
    if ship + skip:
        assert low - 1e-12 <= ship / (ship + skip) <= high + 1e-12


def test_the_wilson_interval_equals_published_figures() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    for successes, trials, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_ninety_of_a_hundred_rank_above_three_of_three() -> None:
    assert wilson(90, 100)[0] > wilson(3, 3)[0]


def test_under_the_minimum_of_votes_there_is_no_share() -> None:
    assert share(Tally(ship=9, skip=0, held=50)) is None
    value, (low, high) = share(Tally(ship=5, skip=5)) or (0, (0, 0))
    assert value == 0.5
    assert low < 0.5 < high


def test_doubts_name_the_most_telling_reason() -> None:
    limits = Limits()
    assert doubt(Observation(), limits) is None
    assert doubt(Observation(speed_writes=limits.speed_writes + 1, network_voters=99), limits) is Doubt.SPEED
    assert doubt(Observation(network_voters=limits.network_voters), limits) is None
    assert doubt(Observation(network_voters=limits.network_voters + 1), limits) is Doubt.NETWORK
    assert doubt(Observation(network_voters_all=limits.network_voters_all + 1), limits) is Doubt.NETWORK
    assert doubt(Observation(signal_voters=limits.signal_voters + 1), limits) is Doubt.SIGNAL


def test_only_a_rate_above_the_limit_is_refused_and_says_how_long() -> None:
    limits, left = Limits(), timedelta(seconds=20)
    assert retry_after(Observation(voter_writes=limits.voter_writes, rate_left=left), limits) is None
    assert retry_after(Observation(voter_writes=limits.voter_writes + 1, rate_left=left), limits) == left
    assert retry_after(Observation(network_writes=limits.network_writes + 1), limits) == timedelta(seconds=1)


def test_only_the_prefix_of_an_address_is_used() -> None:
    assert network_prefix(client_address("203.0.113.77", [], [])) == "203.0.113.0/24"
    assert network_prefix(client_address("::ffff:203.0.113.77", [], [])) == "203.0.113.0/24"
    assert network_prefix(client_address("2001:db8:1:2::9", [], [])) == "2001:db8:1::/48"
    assert network_prefix(client_address(None, [], [])) == "unknown"


def test_forwarded_addresses_are_believed_from_trusted_proxies_only() -> None:
    proxies = [ip_network("10.0.0.0/8")]

    def seen(peer: str, *values: str) -> str:
        return str(client_address(peer, values, proxies))

    assert seen("198.51.100.1", "203.0.113.9") == "198.51.100.1"
    assert seen("10.0.0.1", "203.0.113.9") == "203.0.113.9"
    assert seen("10.0.0.1", "192.0.2.66, 203.0.113.9, 10.0.0.2") == "203.0.113.9"
    assert seen("10.0.0.1", "192.0.2.66", "203.0.113.9") == "203.0.113.9"
    assert seen("10.0.0.1", "rubbish") == "10.0.0.1"
    assert seen("10.0.0.1") == "10.0.0.1"
