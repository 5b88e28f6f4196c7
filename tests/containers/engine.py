"""Real parts as containers: Kafka in KRaft mode, Postgres, Redis, on ports of the loopback."""

import asyncio
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.container import DockerContainer

from shipjury_standalone.ports import free_port

KAFKA = "apache/kafka:4.1.0"
POSTGRES = "postgres:17"
REDIS = "redis:7-alpine"
HERE = Path(__file__).parent


@dataclass
class Kafka:
    """A broker that can be killed and started again on the same port, with its data."""

    container: DockerContainer
    port: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def id(self) -> str:
        return str(self.container.get_wrapped_container().id)


def kafka() -> Kafka:
    """A Kafka that advertises the loopback."""
    port = free_port()
    container = DockerContainer(KAFKA).with_bind_ports(9092, port)
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_LOG_DIRS": "/tmp/kraft-data",
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": "2000",
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
    }.items():
        container = container.with_env(name, value)
    container.start()
    started = Kafka(container, port)
    wait_for_kafka(started.bootstrap)
    return started


def wait_for_kafka(bootstrap: str, seconds: int = 90) -> None:
    """Return when the broker answers a request for its topics; raise ``TimeoutError`` otherwise."""

    async def answered() -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3000)
        try:
            await admin.start()
            await admin.list_topics()
        except Exception:  # noqa: BLE001 - whatever it is, the broker is not there yet
            return False
        finally:
            await admin.close()
        return True

    async def wait() -> None:
        async with asyncio.timeout(seconds):
            while not await answered():  # noqa: ASYNC110 - a broker in a container tells nobody
                await asyncio.sleep(0.5)

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every try
    asyncio.run(wait())


def postgres() -> PostgresContainer:
    """A Postgres with a superuser."""
    return PostgresContainer(POSTGRES, driver="asyncpg").start()


def redis() -> RedisContainer:
    """A Redis with a password, keeping what it is told to keep."""
    return RedisContainer(REDIS, password="of-a-test").start()


def start_again(container_id: str, bootstrap: str) -> None:
    """Start a killed broker; returns when it answers."""
    subprocess.run(["docker", "start", container_id], check=True, capture_output=True, timeout=60)
    wait_for_kafka(bootstrap)


if __name__ == "__main__":
    start_again(sys.argv[1], sys.argv[2])
