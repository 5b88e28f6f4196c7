"""The services' settings: the same environment variables that containers get, with the embedded parts' addresses."""

import os
from dataclasses import dataclass

from .folder import DataFolder
from .services import GATEWAY, SERVICES

EMBEDDED_MODEL = "smollm2-135m-instruct"
"""Judges where no other model is named. A provider's key in the environment makes its models routable, and named ones
judge; it does not choose the judge (docs/decisions/0015)."""
EMBEDDED_NODE = "embedded"


@dataclass(frozen=True)
class Addresses:
    """Where the embedded parts listen."""

    postgres: str
    """``host:port``"""
    redis_url: str
    kafka: str
    readers: str
    """``http://host:port``"""
    operators: str
    edge: str
    """``http://host:port`` of the edge runner's API"""


def database_password(folder: DataFolder, package: str) -> str:
    """The password of a service's database role."""
    return folder.secret(f"database of {package}")


def services_environment(folder: DataFolder, where: Addresses, model: str) -> dict[str, str]:
    """Every service's settings. Secrets are made once and kept in the data folder."""
    settings: dict[str, str] = {
        "SHIPJURY_TRACES_FILE": str(folder.traces),
        "SHIPJURY_KAFKA_BOOTSTRAP_SERVERS": where.kafka,
    }
    for service in SERVICES:
        prefix, package = service.settings_prefix, service.package
        password = database_password(folder, package)
        settings |= {
            f"{prefix}DATABASE_URL": f"postgresql+asyncpg://{package}:{password}@{where.postgres}/{package}",
            f"{prefix}KAFKA_BOOTSTRAP_SERVERS": where.kafka,
            f"{prefix}OPERATOR_KEY": folder.secret("operators' key"),
            f"{prefix}TOPIC_PARTITIONS": "2",
        }
        if service.redis:
            settings[f"{prefix}REDIS_URL"] = where.redis_url
    gateway_key = "sk-" + folder.secret("gateway key of the panel")
    return settings | {
        "GATEWAY_BOOTSTRAP_KEY": gateway_key,
        "GATEWAY_EDGE_TOKEN": folder.secret("edge token"),
        "GATEWAY_JOURNAL_DIR": str(folder.path / "journal"),
        "EDGE_GATEWAY_OPERATOR_URL": where.operators,
        "EDGE_GATEWAY_OPERATOR_KEY": folder.secret("operators' key"),
        "PANEL_GATEWAY_URL": f"{where.readers}/{GATEWAY.prefixes[0]}",
        "PANEL_GATEWAY_KEY": gateway_key,
        "PANEL_MODEL": model,
        "NOTIFIER_PUBLIC_BASE_URL": where.readers,
        "NOTIFIER_TOKEN_KEY": folder.secret("links in mails"),
        "NOTIFIER_MAIL_FOLDER": str(folder.mail),
    }


def edge_environment(folder: DataFolder, where: Addresses, operators_port: int, model: str) -> dict[str, str]:
    """The edge runner's environment: our own without the services' secrets, and its settings."""
    port = where.edge.rpartition(":")[2]
    return {
        **{name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN", "_URL"))},
        "EDGE_NODE_ID": EMBEDDED_NODE,
        "EDGE_MODEL": model,
        "EDGE_PUBLIC_PORT": port,
        "EDGE_OPERATOR_PORT": str(operators_port),
        "EDGE_OPERATOR_KEY": folder.secret("operators' key"),
        "EDGE_BASE_URL": f"{where.edge}/v1",
        "EDGE_TOKEN": folder.secret("edge token"),
        "EDGE_KAFKA_BOOTSTRAP_SERVERS": where.kafka,
        "EDGE_DRAIN_SECONDS": "1",
        "EDGE_STATE_DIR": str(folder.path / "edge"),
        "SHIPJURY_TRACES_FILE": str(folder.traces),
    }
