"""A tool's journey through all services on one machine: real weights, real events, kill -9 three times in between."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .story import Journey, plain

pytestmark = pytest.mark.timeout(1500)

SUBSCRIBER = Path(__file__).parents[2] / "docs" / "how-to" / "subscribe.py"


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The whole way, once; the tests look at what it left behind."""
    way = Journey(tmp_path_factory.mktemp("journey") / "data")
    try:
        way.publish()
        way.read_page_before()
        way.let_the_panel_read()
        way.kill_the_edge_runner()
        way.cut_the_power()
        way.read_page()
        way.vote()
        way.subscribe()
        way.send_digest()
        way.unsubscribe()
        yield way
    finally:
        way.shipjury.abandon()


@pytest.fixture(scope="module")
def spans(journey: Journey) -> dict[str, dict[str, Any]]:
    """Every span of the journey, by id; stopping the standalone writes out the last ones."""
    journey.shipjury.stop()
    lines = journey.shipjury.folder.traces.read_text().splitlines()
    return {span["span_id"]: span for span in map(json.loads, lines)}


def test_publishing_again_changes_nothing(journey: Journey) -> None:
    first, again = journey.seen["published"], journey.seen["published again"]
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert first.stdout.split()[0] == "new"
    assert first.stdout.split()[2:] == again.stdout.split()[2:]


def test_a_page_says_under_review_until_the_verdict_is_there(journey: Journey) -> None:
    assert "Quillbase" in journey.seen["page before"]
    assert "under review" in journey.seen["page before"].lower()
    assert "under review" not in journey.seen["page"].lower()


def test_the_verdict_survives_kills_of_edge_runner_and_panel_and_tells_who_judged(journey: Journey) -> None:
    verdict = journey.seen["record"]["verdict"]
    assert verdict["level"] == "tone_reader"
    assert verdict["verdict"] in {"ship", "skip", "undecided", "abstain"}
    assert len(verdict["reviews"]) == 5


def test_operators_see_the_node_and_no_alarm_over_what_the_panel_asked_of_it(journey: Journey) -> None:
    fleet, node, alarms = (
        journey.shipjury.command(*words.split()) for words in ("edge nodes", "edge status", "gateway anomalies list")
    )
    for seen in (fleet, node):
        assert seen.returncode == 0, seen.stderr
        assert "embedded" in seen.stdout
        assert "smollm2-135m-instruct" in seen.stdout
    assert (alarms.returncode, alarms.stdout) == (0, "")


def test_the_subscriber_of_the_documentation_prints_the_verdict(journey: Journey) -> None:
    state = journey.shipjury.folder.state()
    assert state is not None
    subscriber = subprocess.Popen(
        [sys.executable, SUBSCRIBER, state.environment["PANEL_KAFKA_BOOTSTRAP_SERVERS"]],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert subscriber.stdout is not None
        printed = next((line for line in subscriber.stdout if line.startswith("Quillbase: ")), None)
    finally:
        subscriber.kill()
        subscriber.wait(10)
    assert printed is not None
    assert "tone_reader" in printed


def test_a_vote_that_was_answered_counts_once_after_a_kill(journey: Journey) -> None:
    assert journey.seen["vote"]["my_vote"]["vote"] == "ship"
    assert (journey.seen["tally"]["ship"], journey.seen["tally"]["skip"]) == (1, 0)
    assert journey.seen["tally"]["my_vote"]["vote"] == "ship"


def test_the_digest_carries_the_verdict_and_its_level(journey: Journey) -> None:
    assert journey.seen["confirmed"] == 200
    mail = journey.seen["digest"]
    assert "Quillbase" in plain(mail)
    assert "tone" in plain(mail).lower()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_the_digest_comes_once_though_the_sender_was_killed(journey: Journey) -> None:
    assert len({mail["Message-ID"] for mail in journey.mails("Weekly AI Tool Verdicts,")}) == 1


def test_one_click_ends_the_subscription(journey: Journey) -> None:
    assert journey.seen["unsubscribed"] == 200
    assert journey.seen["subscribers"].get("unsubscribed") == 1, journey.seen["subscribers"]


def test_no_process_outlives_its_parent(journey: Journey) -> None:
    assert journey.left_over == []


def test_a_chain_of_traces_leads_from_the_mail_back_to_the_publishing(spans: dict[str, dict[str, Any]]) -> None:
    mail = next(span for span in spans.values() if span["name"] == "send digest")
    way = causes(spans, mail["span_id"])
    for step in (
        "compose digest",
        "publish verdicts.issued.v1",
        "judge tool",
        "process tools.published.v1",
        "publish tools.published.v1",
        "tools publish",
    ):
        assert step in way, f"{step} is missing; the chain is {way}"


def causes(spans: dict[str, dict[str, Any]], start: str) -> list[str]:
    """Names of all spans that led to one, by parents and links, nearest first."""
    names, waiting, known = [], [start], {start}
    while waiting:
        span = spans.get(waiting.pop(0))
        if span is None:
            continue
        names.append(span["name"])
        before = [span["parent_id"], *(link["span_id"] for link in span["links"])]
        new = [one for one in before if one and one not in known]
        known.update(new)
        waiting += new
    return names
