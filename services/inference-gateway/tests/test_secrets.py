"""Planted secrets are nowhere but where they belong: not in logs, answers, events, ledger, Redis or the database."""

import contextlib
import io
import logging
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from inference_gateway.store.tables import metadata

from .conftest import KEY

PLANTED = ["alpha-secret", "beta-secret", "gamma-secret", KEY, "planted-edge-token", "planted-prompt"]


async def test_no_secret_and_no_prompt_leaves_the_request_path(start: Any, caplog: Any) -> None:
    printed = io.StringIO()
    with caplog.at_level(logging.DEBUG), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        gateway = await start(edge_token=SecretStr("planted-edge-token"))
        answers = [
            await gateway.chat(f"planted-prompt {fault}", model="sim-chat", stream=stream)
            for stream in (False, True)
            for fault in ("", "fault=500", "fault=reset", "fault=cut", "fault=malformed", "fault=429")
        ]
        answers.append(await gateway.chat(key="sk-sj-wrong-planted-prompt"))
        rows = await gateway.ledger()
    assert rows
    told = printed.getvalue() + caplog.text + repr(answers) + repr(rows) + repr(gateway.settings) + repr(gateway.api)
    async with gateway.engine.connect() as connection:
        for table in metadata.tables:
            told += repr((await connection.execute(sa.text(f"SELECT * FROM {table}"))).all())  # noqa: S608
        told += repr((await connection.execute(sa.text("SELECT value, headers FROM outbox"))).all())
    for name in await gateway.pipe.call("KEYS", "*"):
        kind = await gateway.pipe.call("TYPE", name)
        read = {b"string": ["GET", name], b"hash": ["HGETALL", name], b"stream": ["XRANGE", name, "-", "+"]}.get(kind)
        told += repr(name) + (repr(await gateway.pipe.call(*read)) if read else "")
    assert [secret for secret in PLANTED if secret in told] == []
