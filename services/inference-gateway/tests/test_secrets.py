"""Planted secrets are nowhere but where they belong: not in logs, answers, traces, metrics, events, ledger, Redis or
the database."""

import contextlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from pydantic import SecretStr

from inference_gateway.store import credentials
from inference_gateway.store.tables import metadata
from inference_gateway.store.vault import Vault, new_key

from .conftest import KEY
from .test_credentials import AT
from .worldwide import service_account, start_everywhere

FAULTS = ("", "fault=500", "fault=reset", "fault=cut", "fault=malformed", "fault=429")
EDGE = "planted-edge-token"
SESSION = "planted-aws-session-token"
PROMPT = "planted-prompt"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What is traced."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


async def everything_kept(gateway: Any) -> str:
    """Every row of every table, and every key of Redis."""
    told = ""
    async with gateway.engine.connect() as connection:
        names = await connection.execute(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        tables = {row.tablename for row in names}
        assert set(metadata.tables) <= tables
        for table in tables:
            told += repr((await connection.execute(sa.text(f'SELECT * FROM "{table}"'))).all())  # noqa: S608
    for name in await gateway.pipe.call("KEYS", "*"):
        kind = await gateway.pipe.call("TYPE", name)
        read = {b"string": ["GET", name], b"hash": ["HGETALL", name], b"stream": ["XRANGE", name, "-", "+"]}.get(kind)
        told += repr(name) + (repr(await gateway.pipe.call(*read)) if read else "")
    return told


async def test_no_secret_and_no_prompt_leaves_the_request_path(
    start: Any,
    simulator: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spans: InMemorySpanExporter,
) -> None:
    printed, vault_key = io.StringIO(), new_key()
    account = (await service_account(simulator, tmp_path)).read_text()
    private_key = json.loads(account)["private_key"].split("\n")[1]
    aws = {"access_key_id": "AKIASIMULATED", "secret_access_key": "bedrock-secret-access-key", "region": "us-east-1"}
    entra = {"tenant_id": "jury", "client_id": "sim-app", "authority": f"{simulator}/azure"}
    stored = {
        "bedrock": aws | {"session_token": SESSION},
        "azure": entra | {"client_secret": "azure-client-secret"},
        "vertex": {"account": account},
        "groq": {"key": "planted-wrong-key"},
    }
    asked = [("sim-chat", fault) for fault in FAULTS]
    asked += [("llama-3.3-70b-instruct:bedrock", fault) for fault in FAULTS]
    asked += [(f"gpt-oss-120b:{name}", "") for name in ("groq", "cerebras", "vertex")] + [("gpt-4.1-mini:azure", "")]
    with caplog.at_level(logging.DEBUG), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path, credentials_keys=SecretStr(vault_key))
        for provider, values in stored.items():
            covered = {name: SecretStr(value) for name, value in values.items()}
            await gateway.change(credentials.put, Vault(SecretStr(vault_key)), provider, None, covered, at=AT)
        answers = [
            await gateway.chat(f"{PROMPT} {fault}", model=model, stream=stream, max_tokens=9)
            for model, fault in asked
            for stream in (False, True)
        ]
        answers.append(await gateway.chat(key=f"sk-sj-wrong-{PROMPT}"))
        rows = await gateway.ledger()
        explained = [await gateway.get(f"/v1/requests/{row['request_id']}") for row in rows]
        answers.append(await gateway.get("/v1/models"))
    assert {row["provider"] for row in rows} >= {"alpha", "bedrock", "azure", "vertex", "groq", "cerebras"}
    assert {row["outcome"] for row in rows if row["provider"] in ("azure", "vertex", "cerebras")} == {"ok"}
    assert {record.name for record in caplog.records} >= {"urllib3.connectionpool"}, "libraries have spoken at debug"
    assert spans.get_finished_spans()
    traced = "".join(span.to_json() for span in spans.get_finished_spans())
    told = printed.getvalue() + caplog.text + repr([record.__dict__ for record in caplog.records])
    told += repr(answers) + repr(rows) + repr(explained) + repr(gateway.settings) + repr(gateway.api) + traced
    told += repr(gateway._snapshots().current.accesses) + generate_latest().decode() + await everything_kept(gateway)
    planted = [f"{name}-secret" for name in ("alpha", "beta", "gamma", "cerebras", "azure", "mistral", "openai")]
    planted += [value for values in stored.values() for name, value in values.items() if "secret" in name]
    planted += [KEY, EDGE, SESSION, PROMPT, vault_key, private_key, "planted-wrong-key", "ya29."]
    assert [secret for secret in planted if secret in told] == []


async def test_an_edge_nodes_token_goes_to_the_node_and_nowhere_else(start: Any, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        gateway = await start(edge_token=SecretStr(EDGE))
        answer = await gateway.chat("hi", model="sim-chat")
        await gateway.ledger()
    told = caplog.text + repr(answer) + repr(gateway.settings) + repr(gateway.api) + await everything_kept(gateway)
    assert EDGE not in told
