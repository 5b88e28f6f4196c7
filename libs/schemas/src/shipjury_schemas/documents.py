"""Documents made from the contracts: JSON Schemas, golden examples, one AsyncAPI 3 document."""

import json
from datetime import timedelta
from typing import Any

from .contract import Contract
from .envelope import encode
from .registry import CONTRACTS
from .testing import event, examples
from .topic import Topic

Document = dict[str, Any]

HEADERS: Document = {
    "type": "object",
    "required": ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"],
    "properties": {
        "content-type": {"type": "string", "const": "application/json"},
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "UUIDv7; consumers apply an id once."},
        "ce_source": {"type": "string", "description": "`/shipjury/<service>`."},
        "ce_type": {"type": "string", "description": "`shipjury.` and the topic without its version."},
        "ce_subject": {"type": "string", "description": "The aggregate's id; the message key too."},
        "ce_time": {"type": "string", "format": "date-time", "description": "RFC 3339 in UTC."},
        "ce_dataschema": {"type": "string", "description": "Names the contract with its minor version."},
        "traceparent": {"type": "string", "description": "W3C trace context of the span that wrote the event."},
    },
}


def json_schema(contract: type[Contract]) -> Document:
    """The JSON Schema (2020-12) of an event's data, as it is written: optional fields may be absent when read."""
    schema = contract.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": contract.topic.dataschema,
        **schema,
    }


def golden_example(data: Contract) -> Document:
    """A message as it lies in Kafka, readable: key, headers, value."""
    message = encode(event(data))
    return {
        "topic": data.topic.name,
        "key": message.key.decode(),
        "headers": {name: text.decode() for name, text in message.headers},
        "value": json.loads(message.value),
    }


def asyncapi() -> Document:
    """The whole system's events as one AsyncAPI 3.0 document."""
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    schemas: Document = {}
    for contract, example in zip(CONTRACTS, examples(), strict=True):
        topic, name = contract.topic, contract.__name__
        schema = contract.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[name] = schema
        golden = golden_example(example)
        messages[name] = {
            "name": topic.event_type,
            "title": _summary(contract),
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "bindings": {
                "kafka": {"key": {"type": "string", "description": f"`{topic.key}`"}, "bindingVersion": "0.5.0"}
            },
            "examples": [{"name": name, "headers": golden["headers"], "payload": golden["value"]}],
        }
        channels[topic.name] = {
            "address": topic.name,
            "description": _summary(contract),
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": _topic_configuration(topic)}},
        }
        operations[f"{topic.producer}.send.{topic.name}"] = _operation("send", topic, topic.producer)
        for consumer in topic.consumers:
            operations[f"{consumer}.receive.{topic.name}"] = _operation("receive", topic, consumer)
    schemas["CloudEventHeaders"] = HEADERS
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Shipjury events",
            "version": "1",
            "description": "CloudEvents 1.0 on Kafka, binary mode. Delivery is at least once; an event's id is "
            "applied once, and an `aggregate_version` that is not newer is ignored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "pathname": "/",
                "protocol": "kafka",
                "description": "The standalone's broker; elsewhere, your own Kafka.",
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _operation(action: str, topic: Topic, service: str) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{service} {'publishes' if action == 'send' else 'consumes'} {topic.name}",
        "tags": [{"name": service}],
    }


def _topic_configuration(topic: Topic) -> Document:
    if topic.retention == "compacted":
        return {"cleanup.policy": ["compact"]}
    if isinstance(topic.retention, timedelta):
        return {
            "cleanup.policy": ["delete"],
            "retention.ms": int(topic.retention.total_seconds() * 1000),
        }
    return {"cleanup.policy": ["delete"], "retention.ms": -1}


def _summary(contract: type[Contract]) -> str:
    return (contract.__doc__ or "").strip().splitlines()[0]
