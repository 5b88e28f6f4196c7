"""The command line, as an operator types it; and that what it reads from the environment is documented."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from edge_runner.cli import commands
from edge_runner.settings import EdgeSettings
from shipjury_schemas import EdgeBenchmarked, decode

from .conftest import MODEL, RunningNode

pytestmark = pytest.mark.timeout(300)

README = Path(__file__).parents[1] / "README.md"


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "edge_runner", *arguments],
        env=os.environ | {f"EDGE_{name.upper()}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_a_dry_run_shows_the_engines_exact_command_and_starts_nothing() -> None:
    shown = run("serve", "--dry-run", context_tokens="1024", slots="3")
    assert shown.returncode == 0
    assert "-m edge_runner.engine_process" in shown.stdout
    assert "--context 1024 --slots 3" in shown.stdout


def test_fit_tells_a_4_gib_device_what_it_can_hold() -> None:
    lines = run("fit", "--memory", "4GiB", "--context", "4096").stdout.splitlines()
    verdicts = {line.split()[0]: line for line in lines[2:]}
    assert "fits, up to" in verdicts["ministral-3-3b-instruct-2512"]
    assert "does not fit" in verdicts["mistral-7b-instruct-v0.3"]
    assert "licence: Qwen-Research" in verdicts["qwen2.5-3b-instruct"]


def test_status_shows_the_node_and_says_where_it_looked_when_there_is_none(node: RunningNode) -> None:
    shown = run("status", operator_port=str(node.operator_port), node_id="node-1")
    assert shown.stdout.startswith("node-1: ready")
    assert f"{MODEL}: ready" in shown.stdout
    nobody = run("status", operator_port="1")
    assert nobody.returncode != 0
    assert "no node answers at http://127.0.0.1:1/edge/readyz" in nobody.stderr


def test_a_wrong_setting_is_named() -> None:
    assert "EDGE_SLOTS" in run("fit", slots="none").stderr
    assert "no engine 'steam'" in run("serve", "--engine", "steam").stderr
    assert "is no size" in run("fit", "--memory", "much").stderr


async def test_a_bench_is_measured_and_told_to_the_fleet(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(EdgeBenchmarked.topic.name, 1, 1)])
    await admin.close()
    consumer = AIOKafkaConsumer(EdgeBenchmarked.topic.name, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        shown = run("bench", "--rounds", "1", kafka_bootstrap_servers=kafka, node_id="node-1")
        assert shown.returncode == 0, shown.stderr
        told = decode(EdgeBenchmarked, (record := await consumer.getone()).value, record.headers).data
    finally:
        await consumer.stop()
    measured = json.loads(shown.stdout[shown.stdout.index("{") :])
    assert told.benchmark_id == measured["benchmark_id"] == f"node-1:{MODEL}"
    assert told.decode_tokens_per_second > 0
    assert told.prefill_tokens_per_second > 0
    assert told.resident_bytes > 100_000_000


def test_operators_commands_are_there_for_the_shipjury_command() -> None:
    assert {command.callback.__name__ for command in commands.registered_commands if command.callback} >= {
        "fit",
        "models",
        "status",
    }


def test_every_setting_is_documented_and_described() -> None:
    text = README.read_text()
    for name, setting in EdgeSettings.model_fields.items():
        assert f"`EDGE_{name.upper()}`" in text, f"EDGE_{name.upper()} is not in the README"
        assert setting.description, f"EDGE_{name.upper()} has no description"
