"""The journey of a tool on docker-compose.yml: real Kafka, Postgres, Redis, SMTP; a process a role."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shipjury_standalone.ports import free_port
from tests.journey.quillbase import TOOL_FILE

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]


class Product:
    """The running composition, as its users and operators see it."""

    def __init__(self, project: str, port: int, mail_port: int) -> None:
        self.site = f"http://127.0.0.1:{port}"
        self.mail = f"http://127.0.0.1:{mail_port}"
        self._project = project
        self._environment = os.environ | {
            "SHIPJURY_PORT": str(port),
            "SHIPJURY_MAIL_PORT": str(mail_port),
            "SHIPJURY_URL": self.site,
            "SHIPJURY_EXAM_AGAIN": "false",
            "DOCKER_BUILDKIT": "1",
            "BUILDKIT_PROGRESS": "plain",
        }

    def compose(self, *words: str, stdin: str | None = None, seconds: int = 600) -> str:
        """Run a command of Compose; what it printed. Fails with its last words."""
        done = subprocess.run(
            ["docker", "compose", "-p", self._project, *words],
            cwd=ROOT,
            env=self._environment,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


def until(what: str, found: Callable[[], Any], seconds: float = 120) -> Any:
    """Poll until something is there; what it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if result := found():
                return result
        except httpx.HTTPError:
            pass  # a service that is being started again
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """Everything, built and started by the command of the README; gone with its volumes afterwards."""
    running = Product("shipjury-journey", free_port(), free_port())
    try:
        running.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "600", seconds=1200)
        yield running
    finally:
        logs = running.compose("logs", "--no-color", "--tail", "40")
        Path(os.environ.get("SHIPJURY_CONTAINER_LOGS", "/tmp/shipjury-containers.log")).write_text(logs)
        running.compose("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def reader(product: Product) -> Iterator[httpx.Client]:
    """Somebody with a browser's cookies."""
    with httpx.Client(base_url=product.site, timeout=20, follow_redirects=True) as client:
        yield client


def test_the_site_answers_and_the_starter_catalog_is_there(product: Product, reader: httpx.Client) -> None:
    until("the home page", lambda: reader.get("/").status_code == 200)
    until("the starter catalog", lambda: reader.get("/tools/litellm").status_code == 200)


def test_a_published_tool_gets_a_verdict_though_the_panel_is_killed(product: Product, reader: httpx.Client) -> None:
    product.compose(
        "exec",
        "-T",
        "catalog-worker",
        "sh",
        "-c",
        "cat > /tmp/quillbase.yaml && python -m catalog publish /tmp/quillbase.yaml",
        stdin=TOOL_FILE,
    )
    product.compose("kill", "panel-worker")
    product.compose("up", "--detach", "panel-worker")
    until("the tool's page", lambda: reader.get("/tools/quillbase").status_code == 200)
    page = until(
        "the verdict",
        lambda: (
            (page := reader.get("/tools/quillbase.json")).status_code == 200 and page.json().get("verdict") and page
        ),
        seconds=900,
    )
    assert page.json()["verdict"]["level"] == "tone_reader"


def test_a_vote_survives_the_kill_of_kafka_and_of_its_worker(product: Product, reader: httpx.Client) -> None:
    tool_id = reader.get("/tools/quillbase.json").json()["tool"]["tool_id"]
    product.compose("kill", "kafka", "votes-worker")
    answer = reader.put(f"/votes/{tool_id}", json={"verdict": "ship"})
    assert answer.status_code == 200, answer.text
    assert reader.get(f"/votes/{tool_id}").json()["my_vote"]["vote"] == "ship"
    product.compose("up", "--detach", "--wait", "kafka", "votes-worker")
    tally = until(
        "the tally", lambda: (now := reader.get(f"/votes/{tool_id}").json()) and now["ship"] == 1 and now, seconds=180
    )
    assert (tally["ship"], tally["skip"]) == (1, 0)
    entries = reader.get(f"/votes/{tool_id}/log").json()
    assert len(entries["entries"]) == 1


def test_the_digest_reaches_the_mailbox_and_one_click_ends_it(product: Product, reader: httpx.Client) -> None:
    assert reader.post("/subscriptions", json={"email": "ada@example.org"}).status_code == 202
    mailbox = httpx.Client(base_url=product.mail, timeout=10)

    def newest(subject: str) -> dict[str, Any] | None:
        found = mailbox.get("/api/v1/search", params={"query": f'to:ada@example.org subject:"{subject}"'}).json()
        return found["messages"][0] if found["messages"] else None

    confirmation = until("the confirmation mail", lambda: newest("Confirm"))
    text = mailbox.get(f"/api/v1/message/{confirmation['ID']}").json()["Text"]
    link = re.search(r"(/subscriptions/confirm\?token=\S+)", text)
    assert link is not None
    assert reader.post(link[1]).status_code == 200

    until(
        "a verdict in the digest",
        lambda: "Quillbase" in product.compose("exec", "-T", "notifier-worker", "python", "-m", "notifier", "preview"),
    )
    product.compose("exec", "-T", "notifier-worker", "python", "-m", "notifier", "send")
    digest = until("the digest", lambda: newest("Weekly AI Tool Verdicts,"))
    message = mailbox.get(f"/api/v1/message/{digest['ID']}").json()
    assert "Quillbase" in message["Text"]
    headers = mailbox.get(f"/api/v1/message/{digest['ID']}/headers").json()
    leave = re.search(r"(/subscriptions/unsubscribe\?token=[^>]+)", headers["List-Unsubscribe"][0])
    assert leave is not None
    one_click = httpx.post(product.site + leave[1], data={"List-Unsubscribe": "One-Click"}, timeout=10)
    assert one_click.status_code == 200
    until("the archived issue", lambda: "Weekly AI Tool Verdicts" in reader.get("/digests").text)


def test_the_model_calls_are_in_the_ledger(product: Product) -> None:
    rows = product.compose(
        "exec",
        "-T",
        "postgres",
        "psql",
        "-U",
        "postgres",
        "-d",
        "gateway",
        "-tA",
        "-c",
        "SELECT count(*) FROM outbox WHERE topic = 'inference.usage.v1'",
    )
    assert int(rows.strip()) > 10


def test_no_container_runs_as_root_or_writes_to_its_image(product: Product) -> None:
    ids = product.compose("ps", "--quiet").split()
    described = json.loads(
        subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True, text=True).stdout
    )
    for one in described:
        service = one["Config"]["Labels"]["com.docker.compose.service"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in one["HostConfig"]["SecurityOpt"], service
        if service.endswith(("-api", "-worker", "-runner")):
            assert one["HostConfig"]["ReadonlyRootfs"], service
            assert one["Config"]["User"] == "10001:10001", service


def test_the_gateways_journal_is_on_a_volume_that_it_can_write(product: Product) -> None:
    lying_there = product.compose("exec", "-T", "gateway-api", "sh", "-c", "ls /var/lib/shipjury/journal")
    assert re.search(r"\.journal$", lying_there, re.MULTILINE)


def test_no_secret_is_in_any_log(product: Product) -> None:
    secrets = product.compose(
        "run",
        "--rm",
        "--no-deps",
        "-T",
        "secrets",
        "sh",
        "-c",
        "cat /secrets/*/*password /secrets/*/*key /secrets/*/*token",
    )
    logs = product.compose("logs", "--no-color")
    planted = re.findall(r"[\w-]{40,}", secrets)
    assert planted
    for secret in planted:
        assert secret not in logs
