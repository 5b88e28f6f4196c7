"""Contracts of the events: golden examples, JSON Schemas, AsyncAPI, compatibility over all minor versions."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft202012Validator

from shipjury_schemas import (
    CONTRACTS,
    Contract,
    EventTooLarge,
    MalformedEvent,
    ToolPublished,
    VoteCast,
    decode,
    encode,
)
from shipjury_schemas.compatibility import breaks
from shipjury_schemas.documents import asyncapi, json_schema
from shipjury_schemas.testing import event, examples, fact, tool_published, vote_cast

CONTRACT_FILES = Path(__file__).parents[2] / "libs" / "schemas" / "contracts"
PAIRS = list(zip(CONTRACTS, examples(), strict=True))
by_topic = pytest.mark.parametrize(("contract", "example"), PAIRS, ids=[contract.topic.name for contract in CONTRACTS])


def message_headers(golden: dict[str, Any]) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in golden["headers"].items()]


@by_topic
def test_an_event_survives_the_way_through_kafka(contract: type[Contract], example: Contract) -> None:
    sent = event(example)
    message = encode(sent)
    assert decode(contract, message.value, message.headers) == sent


@by_topic
def test_today_s_reader_reads_the_golden_examples_of_every_minor_version(
    contract: type[Contract], example: Contract
) -> None:
    goldens = sorted((CONTRACT_FILES / contract.topic.name).glob("*.example.json"))
    assert goldens
    for path in goldens:
        golden = json.loads(path.read_text())
        read = decode(contract, json.dumps(golden["value"]).encode(), message_headers(golden))
        assert read.data.key == golden["key"]


@by_topic
def test_today_s_event_is_valid_under_the_schema_of_every_minor_version(
    contract: type[Contract], example: Contract
) -> None:
    value = json.loads(encode(event(example)).value)
    for path in sorted((CONTRACT_FILES / contract.topic.name).glob("*.schema.json")):
        Draft202012Validator(json.loads(path.read_text())).validate(value)


@by_topic
def test_no_change_breaks_an_earlier_minor_version(contract: type[Contract], example: Contract) -> None:
    for path in (CONTRACT_FILES / contract.topic.name).glob("*.schema.json"):
        assert breaks(json.loads(path.read_text()), json_schema(contract)) == []


@by_topic
def test_every_field_is_described(contract: type[Contract], example: Contract) -> None:
    schema = json_schema(contract)
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), f"{part['title']}.{name} has no description"


def test_asyncapi_names_every_topic_with_producer_and_consumers() -> None:
    document = asyncapi()
    ApplicationSchema.model_validate(document)
    for contract in CONTRACTS:
        topic = contract.topic
        assert topic.name in document["channels"]
        assert f"{topic.producer}.send.{topic.name}" in document["operations"]
        for consumer in topic.consumers:
            assert f"{consumer}.receive.{topic.name}" in document["operations"]


def test_every_reference_in_asyncapi_leads_somewhere() -> None:
    document = asyncapi()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place: Any = document
        for step in reference.split("/"):
            place = place[step]


# What the gate lets through, and what it stops.


def changed(change: Any) -> list[str]:
    old = json_schema(VoteCast)
    new = copy.deepcopy(old)
    change(new)
    return breaks(old, new)


def test_an_optional_field_may_be_added() -> None:
    assert changed(lambda new: new["properties"].update(channel={"type": "string", "default": "site"})) == []


def test_words_may_change() -> None:
    assert changed(lambda new: new["properties"]["vote"].update(description="Other words.")) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda new: new["required"].append("channel"), "is required now"),
        (lambda new: new["required"].remove("voter"), "no longer required"),
        (lambda new: new["properties"].pop("reason"), "was removed"),
        (lambda new: new["properties"]["voter"].update(type="integer"), "type changed"),
        (lambda new: new["properties"]["vote"]["enum"].append("maybe"), "enum changed"),
        (lambda new: new["properties"]["vote"]["enum"].remove("skip"), "enum changed"),
        (lambda new: new["properties"]["aggregate_version"].update(minimum=0), "minimum changed"),
        (lambda new: new["properties"]["reason"]["anyOf"].append({"type": "integer"}), "kinds of values"),
    ],
)
def test_a_change_that_breaks_a_reader_is_stopped(change: Any, told: str) -> None:
    sentences = changed(change)
    assert any(told in sentence for sentence in sentences), sentences


def test_a_change_deep_inside_a_part_is_stopped() -> None:
    old = json_schema(ToolPublished)
    new = copy.deepcopy(old)
    new["$defs"]["Fact"]["properties"]["statement"]["type"] = "integer"
    assert any(".facts[].statement" in sentence for sentence in breaks(old, new))


# What decode refuses, and how it says so.


def test_unknown_fields_of_a_newer_minor_version_are_ignored() -> None:
    message = encode(event(vote_cast()))
    value = json.loads(message.value) | {"channel": "kiosk"}
    headers = [*message.headers, ("ce_dataschema", b"urn:shipjury:votes.cast.v1.7")]
    assert decode(VoteCast, json.dumps(value).encode(), headers).data == vote_cast()


def test_structured_mode_is_accepted() -> None:
    sent = event(vote_cast())
    value = {
        "specversion": "1.0",
        "id": sent.id,
        "source": sent.source,
        "type": VoteCast.topic.event_type,
        "subject": sent.subject,
        "time": sent.time.isoformat(),
        "traceparent": sent.traceparent,
        "data": json.loads(sent.data.model_dump_json()),
    }
    headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    assert decode(VoteCast, json.dumps(value).encode(), headers) == sent


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type", "ce_specversion"])
def test_a_missing_header_is_named(missing: str) -> None:
    message = encode(event(vote_cast()))
    headers = [(name, text) for name, text in message.headers if name != missing]
    with pytest.raises(MalformedEvent, match=missing):
        decode(VoteCast, message.value, headers)


def test_an_event_of_another_type_is_refused() -> None:
    message = encode(event(tool_published()))
    with pytest.raises(MalformedEvent, match=r"ce_type is 'shipjury\.tools\.published'"):
        decode(VoteCast, message.value, message.headers)


def test_a_wrong_field_is_named_with_its_place() -> None:
    message = encode(event(tool_published()))
    value = json.loads(message.value)
    value["facts"][2]["kind"] = "rumour"
    with pytest.raises(MalformedEvent, match=r"facts\.2\.kind"):
        decode(ToolPublished, json.dumps(value).encode(), message.headers)


@pytest.mark.parametrize("value", [None, b"", b"not json", b"[]", b"\xff\xfe"])
def test_what_is_no_event_is_refused(value: bytes | None) -> None:
    headers = encode(event(vote_cast())).headers
    with pytest.raises(MalformedEvent):
        decode(VoteCast, value, headers)


@pytest.mark.parametrize("value", [b"[1]", b"{}", b"7", b"null", b'{"data": 3, "specversion": "1.0"}'])
def test_what_is_no_structured_event_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(VoteCast, value, [("content-type", b"application/cloudevents+json")])


def test_a_header_that_is_not_text_is_refused() -> None:
    message = encode(event(vote_cast()))
    with pytest.raises(MalformedEvent, match="not UTF-8"):
        decode(VoteCast, message.value, [*message.headers, ("ce_id", b"\xff\xfe")])


def test_an_event_over_the_limit_is_refused_with_the_numbers() -> None:
    long = tool_published(facts=tuple(fact(number, statement="x" * 1000) for number in range(600)))
    with pytest.raises(EventTooLarge, match="at most 524288"):
        encode(event(long))
