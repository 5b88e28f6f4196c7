"""Credentials of providers: from files and the database, for everybody or one project, changed while requests run."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from typer.testing import CliRunner

from inference_gateway.cli import commands
from inference_gateway.store import accounts, credentials
from inference_gateway.store.vault import NoKey, Unreadable, Vault, new_key

from .worldwide import service_account, start_everywhere

OLD, NEW = new_key(), new_key()
AT = datetime(2026, 11, 21, tzinfo=UTC)


def secret(**values: str) -> dict[str, SecretStr]:
    """Values, covered."""
    return {name: SecretStr(value) for name, value in values.items()}


def test_what_is_sealed_opens_with_any_of_the_keys_and_only_for_whom_it_was_sealed() -> None:
    sealed = Vault(SecretStr(OLD)).seal("groq", "p1", secret(key="planted"))
    assert b"planted" not in sealed
    both = Vault(SecretStr(f"{NEW}, {OLD}"))
    assert both.open("groq", "p1", sealed)["key"].get_secret_value() == "planted"
    for provider, project in (("groq", "p2"), ("groq", None), ("openai", "p1")):
        with pytest.raises(Unreadable):
            both.open(provider, project, sealed)
    for vault in (Vault(SecretStr(NEW)), Vault(None)):
        with pytest.raises(Unreadable):
            vault.open("groq", "p1", sealed)
    with pytest.raises(NoKey, match="not set"):
        Vault(None).seal("groq", None, secret(key="x"))
    with pytest.raises(NoKey) as no_key:
        Vault(SecretStr("planted-no-key"))
    assert "planted" not in str(no_key.value)


async def put(gateway: Any, provider: str, project: str | None = None, keys: str = OLD, **values: str) -> str:
    """Store credentials."""
    vault = Vault(SecretStr(keys))
    return str(await gateway.change(credentials.put, vault, provider, project, secret(**values), at=AT))


async def who_answers(gateway: Any, key: str | None = None) -> tuple[int, str | None]:
    """Status and error code of a chat with alpha."""
    status, answer, _ = await gateway.chat("hi", **({} if key is None else {"key": key}))
    return status, None if status == 200 else answer["error"]["code"]


async def test_a_mounted_secret_is_used_and_a_changed_one_without_a_restart(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start(credentials_dir=tmp_path)
    monkeypatch.delenv("ALPHA_KEY")
    await gateway.refresh()
    assert await who_answers(gateway) == (503, "no_provider_available")
    (tmp_path / "ALPHA_KEY").write_text("alpha-secret\n")
    await gateway.refresh()
    assert await who_answers(gateway) == (200, None)
    (tmp_path / "ALPHA_KEY").write_text("wrong")
    await gateway.refresh()
    assert await who_answers(gateway) == (502, "provider_failed")
    (tmp_path / "named").write_text("alpha-secret")
    monkeypatch.setenv("ALPHA_KEY_FILE", str(tmp_path / "named"))
    gateway.api.public._requests.health.clear()
    await gateway.refresh()
    assert await who_answers(gateway) == (200, None)


async def test_stored_credentials_serve_everybody_and_are_replaced_without_a_failed_request(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start(credentials_keys=SecretStr(OLD))
    monkeypatch.delenv("ALPHA_KEY")
    await gateway.refresh()
    assert await who_answers(gateway) == (503, "no_provider_available")
    first = await put(gateway, "alpha", key="alpha-secret")
    running = [asyncio.create_task(who_answers(gateway)) for _ in range(8)]
    second = await put(gateway, "alpha", key="alpha-secret")
    running += [asyncio.create_task(who_answers(gateway)) for _ in range(8)]
    assert await asyncio.gather(*running) == [(200, None)] * 16
    assert first == second, "one set of credentials for each provider and project"
    assert await gateway.change(credentials.remove, first)
    assert await who_answers(gateway) == (503, "no_provider_available")


async def test_a_project_calls_with_its_own_account_and_its_troubles_are_its_own(start: Any) -> None:
    gateway = await start(credentials_keys=SecretStr(OLD))
    await gateway.change(accounts.make_project, "own")
    _, key = await gateway.change(accounts.make_key, "own", "key")
    await put(gateway, "alpha", "own", key="a-key-that-alpha-does-not-know")
    for _ in range(8):
        status, answer, _ = await gateway.chat("hi", key=key)
        assert status in (502, 503), answer
    assert await who_answers(gateway) == (200, None), "the circuit of the others is closed"
    await put(gateway, "alpha", "own", key="alpha-secret")
    gateway.api.public._requests.health.clear()
    assert await who_answers(gateway, key) == (200, None)


async def test_a_provider_that_only_one_project_has_credentials_for_is_that_projects_alone(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start(credentials_keys=SecretStr(OLD))
    monkeypatch.delenv("ALPHA_KEY")
    await gateway.change(accounts.make_project, "own")
    _, key = await gateway.change(accounts.make_key, "own", "key")
    await put(gateway, "alpha", "own", key="alpha-secret")
    assert await who_answers(gateway, key) == (200, None)
    assert await who_answers(gateway) == (503, "no_provider_available")


async def test_keys_of_the_vault_are_rotated_and_what_no_key_opens_is_said(start: Any) -> None:
    gateway = await start(credentials_keys=SecretStr(f"{NEW},{OLD}"))
    await put(gateway, "alpha", key="alpha-secret", keys=OLD)
    assert await who_answers(gateway) == (200, None)
    assert await gateway.change(credentials.seal_again, Vault(SecretStr(f"{NEW},{OLD}"))) == (1, 0)
    async with gateway.engine.connect() as connection:
        [opened] = await credentials.opened(connection, Vault(SecretStr(NEW)))
        assert opened.values is not None
        [closed] = await credentials.opened(connection, Vault(SecretStr(OLD)))
        assert closed.values is None
    await put(gateway, "alpha", key="alpha-secret", keys=new_key())
    status, answer, _ = await gateway.chat("hi")
    assert status == 503
    assert "credentials_unreadable" in answer["error"]["message"]


async def test_every_manner_of_authenticating_works_from_the_database(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path, credentials_keys=SecretStr(OLD))
    for name in ("AZURE_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name)
    entra = {"tenant_id": "jury", "client_id": "sim-app", "authority": f"{simulator}/azure"}
    await put(gateway, "azure", client_secret="azure-client-secret", **entra)
    aws = {"access_key_id": "AKIASIMULATED", "region": "us-east-1"}
    await put(gateway, "bedrock", secret_access_key="bedrock-secret-access-key", **aws)
    await put(gateway, "vertex", account=(await service_account(simulator, tmp_path)).read_text())
    for model in (
        "gpt-4.1-mini:azure",
        "gpt-oss-120b:bedrock",
        "llama-3.3-70b-instruct:bedrock",
        "gpt-oss-120b:vertex",
    ):
        for stream in (False, True):
            status, answer, _ = await gateway.chat("words=3", model=model, stream=stream, max_tokens=9)
            assert status == 200, (model, answer)


async def test_a_signature_or_a_token_of_a_wrong_secret_is_told_as_refused(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path, credentials_keys=SecretStr(OLD))
    aws = {"access_key_id": "AKIASIMULATED", "region": "us-east-1"}
    await put(gateway, "bedrock", secret_access_key="not-it", **aws)
    await put(gateway, "fireworks", key="not-it")
    for model in ("gpt-oss-120b:bedrock", "gpt-oss-120b:fireworks"):
        status, answer, _ = await gateway.chat(model=model)
        assert (status, answer["error"]["provider_status"] in (401, 403)) == (502, True), answer
        assert "not-it" not in repr(answer)


async def test_a_token_that_a_provider_has_forgotten_is_replaced_within_the_request(
    start: Any, simulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = await start_everywhere(start, simulator, monkeypatch, tmp_path)
    model = "gpt-oss-120b:vertex"
    assert (await gateway.chat(model=model))[2]["x-shipjury-attempts"] == "1"

    async def forget() -> None:
        async with gateway.session.post(f"{simulator}/_sim/tokens", json={"forget": True}) as response:
            assert response.status == 200

    await forget()
    status, answer, _ = await gateway.chat(model=model)
    assert (status, answer["error"]["provider_status"]) == (502, 401), "a token of a moment ago: the account is wrong"
    assert len(answer["error"]["attempts"]) == 1
    assert (await gateway.chat(model=model))[0] == 200
    monkeypatch.setattr("inference_gateway.adapters.access._JUST_BOUGHT_S", -1.0)
    for stream in (False, True):
        await forget()
        status, _, headers = await gateway.chat(model=model, stream=stream)
        assert (status, headers["x-shipjury-attempts"]) == (200, "2"), "an old one: the next is bought and sent"
    assert [row["outcome"] for row in await gateway.ledger()] == ["ok", "error", "ok", "error", "ok", "error", "ok"]


async def test_operators_store_and_list_credentials_and_never_see_them_again(start: Any) -> None:
    gateway = await start(credentials_keys=SecretStr(OLD))
    app: FastAPI = gateway.api.operator
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://operators") as client:
        path = "/gateway/admin/credentials"
        stored = await client.put(path, json={"provider": "alpha", "values": {"key": "planted-1"}})
        assert stored.status_code == 200, stored.text
        listed = await client.get(path)
        assert [(row["provider"], row["project"], row["fields"]) for row in listed.json()] == [("alpha", None, ["key"])]
        answers = [
            await client.put(path, json={"provider": "alpha", "values": {"kee": "planted-2"}}),
            await client.put(path, json={"provider": "alpha", "values": {"key": {"deep": "planted-3"}}}),
            await client.put(path, json={"provider": "nobody", "values": {"key": "planted-4"}}),
            await client.put(path, json={"provider": "alpha", "project": "none", "values": {"key": "planted-5"}}),
        ]
        assert [one.status_code for one in answers] == [422, 422, 404, 404]
        assert "alpha needs key" in answers[0].json()["detail"]
        assert "planted" not in listed.text + "".join(one.text for one in answers)
        assert (await client.delete(f"{path}/{stored.json()['id']}")).status_code == 200
        assert (await client.get(path)).json() == []


async def test_commands_take_credentials_from_a_file_or_standard_input_and_print_none(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start(credentials_keys=SecretStr(OLD))
    for name in ("database_url", "redis_url", "operator_key"):
        monkeypatch.setenv(f"GATEWAY_{name.upper()}", getattr(gateway.settings, name).get_secret_value())
    monkeypatch.setenv("GATEWAY_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_CREDENTIALS_KEYS", OLD)

    async def typed(*words: str, given: str | None = None) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, commands, ["credentials", *words], input=given)
        assert result.exit_code == 0, result.output
        return result.output

    credential_id = (await typed("set", "groq", "--file", "-", given=json.dumps({"key": "planted"}))).strip()
    told = await typed("list") + await typed("set", "openai", given="planted\n") + await typed("seal-again")
    assert "2 sealed again" in told
    assert "planted" not in told
    await typed("remove", credential_id)
    assert len((await typed("new-key")).strip()) == 44
    async with gateway.engine.connect() as connection:
        rows = (await connection.execute(sa.select(credentials.credentials))).all()
    assert [row.provider for row in rows] == ["openai"]
    assert "planted" not in repr(rows)
