"""Make the secrets of a Compose installation, once: one folder a service, so that each sees its own and no other's.

Run by the `secrets` service of docker-compose.yml. What is there already is kept, so that a second start changes
nothing. Nothing is printed but names.
"""

import os
import secrets
from pathlib import Path

ROOT = Path("/secrets")
JOURNAL = Path("/journal/gateway")
"""The gateway's volume for what only its processes know; a new volume belongs to root."""
READER = 10001
"""The user of our images; Postgres, Redis and the rest read as root before they give that up."""
DATABASES = ("catalog", "panel", "votes", "gateway", "notifier")


def secret(folder: str, name: str) -> str:
    """A secret, made at the first start."""
    path = ROOT / folder / name
    if not path.exists():
        write(folder, name, secrets.token_urlsafe(32))
    return path.read_text()


def write(folder: str, name: str, text: str) -> None:
    """Write a file that its service can read and nobody else."""
    path = ROOT / folder / name
    part = path.with_name(f".{name}.part")
    part.touch(mode=0o400)
    part.write_text(text)
    os.chown(part, READER, READER)
    # Only Postgres mounts its folder, under a user that differs from image to image.
    part.chmod(0o444 if folder == "postgres" else 0o440)
    part.replace(path)
    print(f"{folder}/{name}")


def main() -> None:
    secret("postgres", "superuser")
    roles = {name: secret(name, "database_password") for name in DATABASES}
    write("postgres", "roles", "".join(f"{name} {password}\n" for name, password in roles.items()))
    redis = secret("redis", "password")
    edge_token, panel_key = secret("gateway", "gateway_edge_token"), "sk-" + secret("panel", "key_of_the_panel")
    for name in DATABASES:
        write(name, f"{name}_database_url", f"postgresql+asyncpg://{name}:{roles[name]}@postgres:5432/{name}")
        secret(name, f"{name}_operator_key")
    for number, name in enumerate(("gateway", "votes")):
        write(name, f"{name}_redis_url", f"redis://:{redis}@redis:6379/{number}")
    write("gateway", "gateway_bootstrap_key", panel_key)
    write("panel", "panel_gateway_key", panel_key)
    write("edge-runner", "edge_token", edge_token)
    secret("edge-runner", "edge_operator_key")
    secret("notifier", "notifier_token_key")
    os.chown(JOURNAL, READER, READER)
    JOURNAL.chmod(0o700)


if __name__ == "__main__":
    main()
