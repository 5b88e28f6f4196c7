"""The protocol's face: every version that is offered can be answered, and no field of an answer is misspelt."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kio.index import load_response_schema
from kio.schema.errors import ErrorCode

from shipjury_broker import Broker
from shipjury_broker.protocol import VERSIONS, Request, encode


@pytest.mark.parametrize("api_key", VERSIONS)
def test_every_version_that_is_offered_exists_in_both_directions(api_key: int) -> None:
    _, oldest, newest = VERSIONS[api_key]
    for version in range(oldest, newest + 1):
        assert load_response_schema(api_key, version).__version__ == version


async def test_every_offered_version_of_the_plain_requests_is_answered(
    broker: Broker, connect: Callable[[str], Any]
) -> None:
    asked: dict[int, dict[str, Any]] = {
        3: {
            "topics": (),
            "allow_auto_topic_creation": False,
            "include_cluster_authorized_operations": False,
            "include_topic_authorized_operations": False,
        },
        10: {"key": "g", "key_type": 0},
        15: {"groups": ("g",), "include_authorized_operations": False},
        16: {},
        18: {"client_software_name": "raw", "client_software_version": "1"},
    }
    async with connect(broker.address) as client:
        for api_key, fields in asked.items():
            for version in range(VERSIONS[api_key][1], VERSIONS[api_key][2] + 1):
                answer = await client.ask(api_key, version, **fields)
                assert getattr(answer, "error_code", ErrorCode.none) == ErrorCode.none


async def test_a_client_from_the_future_learns_what_there_is(broker: Broker, connect: Callable[[str], Any]) -> None:
    async with connect(broker.address) as client:
        frame = bytes.fromhex("0012 0063 00000007 ffff 00")
        client.writer.write(len(frame).to_bytes(4, "big") + frame)
        answer = await asyncio.wait_for(client.receive(18, 0), 10)
        assert answer.error_code == ErrorCode.unsupported_version
        assert {key.api_key for key in answer.api_keys} == set(VERSIONS)


async def test_what_is_not_offered_ends_the_connection(broker: Broker, connect: Callable[[str], Any]) -> None:
    for api_key, version in [(24, 0), (0, 2), (1, 17), (999, 0)]:
        async with connect(broker.address) as client:
            frame = api_key.to_bytes(2, "big") + version.to_bytes(2, "big") + bytes(8)
            client.writer.write(len(frame).to_bytes(4, "big") + frame)
            assert await asyncio.wait_for(client.reader.read(), 10) == b""


def test_a_field_that_no_version_has_is_a_mistake() -> None:
    request = Request("heartbeat", 2, 12, 1, "c", None)
    with pytest.raises(KeyError, match="throttle_tme"):
        encode(request, {"throttle_tme": 0, "error_code": ErrorCode.none})
