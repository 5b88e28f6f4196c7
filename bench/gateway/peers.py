"""The peers that a package registry has, each installed once into a folder of its own: LiteLLM's proxy and Portkey."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LITELLM = "litellm[proxy]"  # the newest whose helper packages the registry has too; the table says which
PORTKEY = "1.15.2"
OLDER_HONO = "1.3.3"
"""Portkey's web server, the oldest that it allows. On the one that npm gives it by default (1.19.19 when this was
written) its streams answer 500 ("immutable" headers), so that both are measured."""


@dataclass(frozen=True)
class Peer:
    """How to start a peer, and what a client adds to its requests."""

    name: str
    version: str
    command: list[str]
    environment: dict[str, str]
    headers: dict[str, str]


def cache() -> Path:
    """Where peers are installed: `SHIPJURY_BENCH_CACHE`, else the user's cache folder."""
    given = os.environ.get("SHIPJURY_BENCH_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "shipjury-bench"


def litellm(port: int, upstream: int, key: str, folder: Path) -> Peer:
    """LiteLLM's proxy: one worker, a master key, no database, telemetry and logs off."""
    place = cache() / "litellm"
    python = place / "bin" / "python"
    if not (place / "bin" / "litellm").exists():
        uv = [str(Path(sys.executable).parent / "uv")]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), LITELLM], check=True)
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: none\n"
        f"general_settings:\n  master_key: {key}\n"
        "litellm_settings:\n  telemetry: false\n  num_retries: 0\n"
    )
    environment = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    command = [str(place / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return Peer("LiteLLM", _version(python), [*command, "--num_workers", "1"], environment, {})


def portkey(port: int, upstream: int, *, older: bool) -> Peer:
    """Portkey's gateway as npm installs it, or on its older web server: one Node process; provider and address are
    headers of each request."""
    wanted: dict[str, object] = {"dependencies": {"@portkey-ai/gateway": PORTKEY}}
    if older:
        wanted["overrides"] = {"@hono/node-server": OLDER_HONO}
    place = cache() / f"portkey-{PORTKEY}{'-older' if older else ''}"
    modules = place / "node_modules"
    script = modules / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not script.exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text(json.dumps(wanted))
        npm = shutil.which("npm") or "npm"
        subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(place)], check=True)
    node = shutil.which("node") or "node"
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
    environment = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    server = json.loads((modules / "@hono" / "node-server" / "package.json").read_text())["version"]
    version = f"{PORTKEY}, node-server {server}"
    return Peer("Portkey", version, [node, str(script), "--headless", f"--port={port}"], environment, headers)


def _version(python: Path) -> str:
    ask = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
    return subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
