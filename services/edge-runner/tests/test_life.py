"""A node's life: engines that fall, runners that stop, clients that leave, crowds that come."""

import asyncio
import signal
import threading
from collections.abc import Callable

import httpx
import openai
import psutil
import pytest

from .conftest import MODEL, RunningNode, StartNode, wait_for

# Generous: engines share the machine with whatever else is tested on it.
pytestmark = pytest.mark.timeout(300)

LONG = {"model": MODEL, "messages": [{"role": "user", "content": "Tell a very long story."}], "max_tokens": 1500}


class Streaming(threading.Thread):
    """A client in a thread that reads a long stream and remembers how it ended."""

    def __init__(self, node: RunningNode) -> None:
        super().__init__(daemon=True)
        self.node, self.pieces, self.error = node, 0, None
        self.finish: str | None = None
        self.begun = threading.Event()
        self.start()

    def run(self) -> None:
        client = openai.OpenAI(base_url=self.node.base_url, api_key="a-token", max_retries=0)
        try:
            for chunk in client.chat.completions.create(**LONG, stream=True, temperature=0):
                self.pieces += 1
                self.finish = chunk.choices[0].finish_reason or self.finish
                if self.pieces > 2:
                    self.begun.set()
        except (openai.APIError, httpx.TransportError) as error:
            self.error: Exception | None = error


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
def test_a_killed_engine_is_an_error_for_its_client_and_comes_back_under_the_same_runner(
    start_node: StartNode, whole: bool
) -> None:
    node = start_node()
    (engine,) = node.engines()
    if whole:
        threading.Timer(0.5, engine.kill).start()
        answer = node.post("/chat/completions", messages=LONG["messages"], max_tokens=1500)
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "engine_stopped"
    else:
        reader = Streaming(node)
        assert reader.begun.wait(30)
        engine.kill()
        reader.join(30)
        assert reader.finish is None
        assert isinstance(reader.error, openai.APIError)
        assert reader.error.code == "engine_stopped"
    wait_for(lambda: node.model()["restarts"] == 1 and node.readyz().status_code == 200, 60, node)
    (again,) = node.engines()
    assert again.pid != engine.pid
    assert node.post("/completions", prompt="Hello", max_tokens=1).status_code == 200


def test_a_stream_that_sigterm_to_the_engine_cuts_does_not_look_finished(start_node: StartNode) -> None:
    node = start_node()
    reader = Streaming(node)
    assert reader.begun.wait(30)
    node.engines()[0].terminate()
    reader.join(30)
    assert reader.finish is None
    assert isinstance(reader.error, openai.APIError)


def test_kill_9_of_the_runner_leaves_no_engine(start_node: StartNode) -> None:
    node = start_node()
    (engine,) = node.engines()
    node.process.kill()
    node.process.wait()
    psutil.wait_procs([engine], timeout=5)
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


def test_sigterm_lets_running_streams_finish_and_refuses_new_requests(start_node: StartNode) -> None:
    node = start_node(drain_seconds="60", context_tokens="256")
    client = openai.OpenAI(base_url=node.base_url, api_key="-", max_retries=0)
    stream = client.completions.create(
        model=MODEL, prompt="One two three", max_tokens=60, stream=True, temperature=0, logit_bias={"2": -100}
    )
    next(stream)
    node.process.send_signal(signal.SIGTERM)
    wait_for(lambda: node.readyz().json()["state"] == "draining", 30, node)
    refused = node.post("/completions", prompt="Hello", max_tokens=1)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "node_draining"
    assert int(refused.headers["Retry-After"]) >= 1
    rest = [chunk.choices[0].finish_reason for chunk in stream]
    assert rest[-1] is not None
    assert node.process.wait(60) == 0


def test_a_stream_that_outlasts_the_deadline_is_cut_with_an_error(start_node: StartNode) -> None:
    node = start_node(drain_seconds="0.2")
    reader = Streaming(node)
    assert reader.begun.wait(30)
    assert node.stop() == 0
    reader.join(30)
    assert reader.finish is None
    assert reader.error is not None


async def test_a_client_that_leaves_frees_its_slot_and_is_no_error(
    node: RunningNode, until: Callable[..., object]
) -> None:
    said = len(node.log.read_text())
    for stream in (True, False):
        async with httpx.AsyncClient(headers=node.headers) as client:
            asked = asyncio.create_task(
                client.post(node.base_url + "/chat/completions", json=LONG | {"stream": stream})
            )
            await until(lambda: node.metric("edge_slots_busy") == 1, seconds=30)  # type: ignore[misc]
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: node.metric("edge_slots_busy") == 0, seconds=30)  # type: ignore[misc]
    assert "Traceback" not in node.log.read_text()[said:]


async def test_beyond_slots_and_queue_there_is_429_with_when_to_come_back(
    node: RunningNode, until: Callable[..., object]
) -> None:
    async with httpx.AsyncClient(headers=node.headers, timeout=60) as client:
        crowd = [asyncio.create_task(client.post(node.base_url + "/chat/completions", json=LONG)) for _ in range(4)]
        try:
            await until(lambda: node.metric("edge_queue_waiting") == 2, seconds=30)  # type: ignore[misc]
            fifth = await client.post(node.base_url + "/chat/completions", json=LONG)
            assert fifth.status_code == 429
            assert fifth.json()["error"]["code"] == "queue_full"
            assert int(fifth.headers["Retry-After"]) >= 1
        finally:
            for one in crowd:
                one.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)
    await until(lambda: node.metric("edge_slots_busy") == 0, seconds=30)  # type: ignore[misc]


def test_a_model_that_cannot_fit_is_refused_with_what_fits_before_it_is_loaded(start_node: StartNode) -> None:
    node = start_node(ready=False, memory="600MiB", slots="4", context_tokens="4096")
    assert node.process.wait(60) != 0
    assert "EDGE_CONTEXT_TOKENS=" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()


def test_a_node_that_others_can_reach_needs_a_token(start_node: StartNode) -> None:
    node = start_node(ready=False, public_host="0.0.0.0")
    assert node.process.wait(60) != 0
    assert "EDGE_TOKEN" in node.log.read_text()


def test_a_port_in_use_is_one_clear_sentence(start_node: StartNode, node: RunningNode) -> None:
    second = start_node(ready=False, public_port=str(node.port))
    assert second.process.wait(60) != 0
    assert f"cannot listen on 127.0.0.1:{node.port}" in second.log.read_text()
    assert "Traceback" not in second.log.read_text()


def test_an_unknown_model_is_one_clear_sentence(start_node: StartNode) -> None:
    second = start_node("gpt-9", ready=False)
    assert second.process.wait(60) != 0
    assert "no model 'gpt-9' in the list" in second.log.read_text()
