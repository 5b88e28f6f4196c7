"""The delivery suite, which runs on the embedded broker and Postgres, on Kafka and Postgres in containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import engine

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(suite: str, environment: dict[str, str]) -> None:
    """Run a suite in a process of its own; what it prints goes through. It fails where a test fails or is skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", suite],
        cwd=ROOT,
        env=os.environ | environment | {"CI": "true"},
        check=False,
        timeout=880,
    )
    assert done.returncode == 0


def test_delivery_holds_on_kafka_and_postgres() -> None:
    kafka = engine.kafka()
    postgres = engine.postgres()
    try:
        run(
            "libs/delivery/tests/faults",
            {
                "DELIVERY_KAFKA_BOOTSTRAP": kafka.bootstrap,
                "DELIVERY_DATABASE_URL": postgres.get_connection_url(),
                "DELIVERY_BROKER_STOP": f"docker kill {kafka.id}",
                "DELIVERY_BROKER_START": f"{sys.executable} {HERE / 'engine.py'} {kafka.id} {kafka.bootstrap}",
            },
        )
    finally:
        postgres.stop()
        kafka.container.stop()
