"""Starting and stopping the whole: twice, by every signal, by force, on a taken port, as somebody who is not root."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from shipjury_standalone.driven import DidNotStart, Driven

pytestmark = pytest.mark.timeout(600)  # a bound, not a claim: a busy machine starts slowly

Standalone = Callable[..., Driven]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """One that runs, for tests that only look at it."""
    driven = Driven(tmp_path_factory.mktemp("standalone") / "data", "--no-edge")
    yield driven.start()
    driven.abandon()


def some_tool(driven: Driven) -> str:
    """The id of a tool of the starter catalog, once that is there."""
    with driven.operators() as operator:
        assert poll(lambda: bool(operator.get("/catalog/tools").json()))
        found = operator.get("/catalog/tools").json()
    return str((found if isinstance(found, list) else found["tools"])[0]["tool_id"])


def vote(driven: Driven, tool: str, verdict: str = "ship") -> None:
    """Cast a vote as soon as votes has heard of the tool."""
    with driven.readers() as reader:
        assert poll(lambda: reader.put(f"/votes/{tool}", json={"verdict": verdict}).status_code == 200)


def tally(driven: Driven, tool: str) -> tuple[int, int]:
    """Ships and skips, as every reader sees them."""
    with driven.readers() as reader:
        now = reader.get(f"/votes/{tool}").json()
        return now["ship"], now["skip"]


def poll(check: Callable[[], bool], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_site_answers_before_the_panel_is_through_and_both_origins_are_told(running: Driven) -> None:
    with running.readers() as reader, running.operators() as operator:
        assert reader.get("/").status_code == 200
        assert operator.get("/").status_code == 200
        assert running.state.readers in running.said
        assert running.state.operators in running.said
        for service in ("catalog", "panel", "votes", "gateway", "notifier"):
            assert poll(lambda service=service: operator.get(f"/{service}/readyz").status_code == 200), service


def test_operators_routes_are_not_on_the_readers_origin_and_need_the_key(running: Driven) -> None:
    with running.readers() as reader:
        assert reader.get("/gateway/metrics").status_code == 404
    assert httpx.get(f"{running.state.operators}/gateway/openapi.json", trust_env=False).status_code == 401
    assert httpx.get(f"{running.state.operators}/", trust_env=False).status_code == 401


def test_status_names_every_process_with_its_memory(running: Driven) -> None:
    said = running.command("status").stdout
    for part in ("services", "Postgres", "Redis", "The broker", "together"):
        assert part in said
    assert running.state.readers in said


def test_status_gives_the_operators_key_that_works(running: Driven) -> None:
    key = running.command("status", "--key").stdout.strip()
    assert httpx.get(f"{running.state.operators}/", auth=("anybody", key), trust_env=False).status_code == 200


def test_logs_are_there_for_every_part_and_an_unknown_part_is_named(running: Driven) -> None:
    assert "Ready to accept connections" in running.command("logs", "redis").stdout
    assert poll(lambda: "worker runs" in running.command("logs", "services", "-n", "500").stdout)
    unknown = running.command("logs", "kubernetes")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("shipjury: There is no log of kubernetes")


@pytest.mark.parametrize(
    "words",
    [
        "votes recount",
        "votes held",
        "events tail --from-beginning -n 1",
        "events dead",
        "digest preview",
        "tools list",
        "panel status",
        "digest status",
        "gateway projects list",
        "gateway keys list",
        "gateway budgets list",
        "gateway providers check",
        "gateway usage",
        "gateway anomalies list",
        "edge nodes",
    ],
)
def test_operators_commands_find_the_running_one_by_themselves(running: Driven, words: str) -> None:
    done = running.command(*words.split())
    assert done.returncode == 0, done.stderr


def test_no_secret_stands_in_a_log_or_on_a_command_line(running: Driven) -> None:
    secrets = [
        value for name, value in running.state.environment.items() if name.endswith(("_KEY", "_TOKEN")) and value
    ]
    assert len(secrets) >= 5
    logs = "".join(path.read_text(errors="replace") for path in running.folder.logs.iterdir())
    commands = " ".join(" ".join(process.cmdline()) for process in running.family())
    for secret in [*secrets, (running.folder.path / "postgres" / "password").read_text()]:
        assert secret not in logs
        assert secret not in commands
        assert secret not in running.said


def test_a_second_start_in_the_same_folder_says_where_the_first_one_answers(running: Driven) -> None:
    second = Driven(running.folder.path, "--no-edge")
    second.output = running.output.with_name("second.output")
    with pytest.raises(DidNotStart, match="status 6"):
        second.start()
    assert f"Shipjury runs already and answers at {running.state.readers}" in second.said


def test_reset_refuses_while_it_runs(running: Driven) -> None:
    refused = running.command("reset", "--yes")
    assert refused.returncode == 6
    assert "shipjury down" in refused.stderr
    assert running.folder.ours


def test_a_port_in_use_is_one_sentence_that_names_the_option(standalone: Standalone, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        driven = standalone(tmp_path / "data", "--no-edge", "--operator-port", str(port))
        with pytest.raises(DidNotStart, match="status 5"):
            driven.start()
    assert driven.said.strip().splitlines() == [
        f"shipjury: Port {port} on 127.0.0.1 is in use or not ours (Address already in use); "
        f"choose another one with --operator-port."
    ]


def test_reset_asks_first_and_then_removes_everything(standalone: Standalone, tmp_path: Path) -> None:
    driven = standalone(tmp_path / "data", "--no-edge").start()
    stopped = driven.command("down")
    assert stopped.stdout == "Stopped.\n", stopped.stderr
    assert driven.command("down").stdout == "Nothing is running.\n"
    asked = driven.command("reset")
    assert asked.returncode != 0
    assert "can't be undone" in asked.stdout + asked.stderr
    assert driven.folder.ours
    assert driven.command("reset", "--yes").returncode == 0
    assert not driven.folder.path.exists()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_and_nothing_is_left(
    standalone: Standalone, tmp_path: Path, by: signal.Signals
) -> None:
    driven = standalone(tmp_path / "data", "--no-edge").start()
    family = driven.family()
    assert driven.stop(by) == 0
    assert [process for process in family if process.is_running()] == []
    assert driven.folder.state() is None
    assert "Traceback" not in driven.said


def test_kill_9_leaves_no_orphan_and_the_next_start_has_the_vote(standalone: Standalone, tmp_path: Path) -> None:
    driven = standalone(tmp_path / "data").start()
    tool = some_tool(driven)
    vote(driven, tool)
    assert driven.kill() == []
    again = standalone(tmp_path / "data", "--no-edge").start()
    assert poll(lambda: tally(again, tool) == (1, 0))
    assert again.folder.secret("operators' key") == driven.folder.secret("operators' key")


@pytest.mark.parametrize("part", ["Postgres", "Redis", "The broker"])
def test_a_part_that_is_killed_comes_back_and_nothing_is_lost(
    standalone: Standalone, tmp_path: Path, part: str
) -> None:
    driven = standalone(tmp_path / "data", "--no-edge").start()
    tool = some_tool(driven)
    vote(driven, tool)
    assert poll(lambda: tally(driven, tool) == (1, 0))
    psutil.Process(driven.state.children[part]).kill()
    assert poll(lambda: f"{part} is back" in driven.said)
    assert f"{part} ended (SIGKILL); it starts again in 0.5 s" in driven.said
    vote(driven, tool, "skip")  # another reader: the cookie of the first one is not sent
    assert poll(lambda: tally(driven, tool) == (1, 1))


def test_it_starts_as_somebody_who_is_not_root(tmp_path: Path) -> None:
    driven = Driven(tmp_path / "data", "--no-edge")
    if os.geteuid() == 0:
        tmp_path.chmod(0o777)
        # it may read the environment in our home folder, and write nowhere but in its own place
        read_only = (
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=+dac_read_search",
            "--bounding-set=-all,+dac_read_search",
        )
        driven.runner = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *read_only, "--"]
    try:
        driven.start()
        owner = (tmp_path / "data" / "postgres" / "data").stat().st_uid
        assert owner == (65534 if os.geteuid() == 0 else os.geteuid())
        assert psutil.Process(driven.state.children["Postgres"]).uids().real == owner
        assert driven.stop() == 0
    finally:
        driven.abandon()


def test_doctor_finds_what_up_needs_on_this_machine() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "shipjury_standalone", "doctor"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout
    assert "(PostgreSQL) 18" in said.stdout


def test_doctor_says_how_to_get_a_redis_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from shipjury_standalone import doctor
    from shipjury_standalone.embedded import redis

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(redis.importlib.util, "find_spec", lambda _: None)
    redis.program.cache_clear()
    try:
        finding = next(one for one in doctor.examine(tmp_path) if one.what == "Redis")
    finally:
        redis.program.cache_clear()
    assert not finding.fine
    assert finding.needed
    assert "apt install redis-server" in finding.says
