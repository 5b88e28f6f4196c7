"""Embeddings by the real engine, for a model whose entry says that it makes them; and everybody else's refusal."""

import base64
import math
import struct
from collections.abc import Iterator

import openai
import pytest

from . import tiny
from .conftest import MODEL, RunningNode, start

pytestmark = pytest.mark.timeout(300)

TEXTS = ["The cat sleeps.", "A long day in the office", "7"]


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with one tiny model for embeddings."""
    folder = tmp_path_factory.mktemp("maker")
    own = tiny.model_list(folder, maker='embeddings = "mean"')
    settings = tiny.settings(folder, model_list=str(own), context_tokens="512")
    node = start(folder / "node", "maker", **settings)
    yield node
    node.stop()


@pytest.fixture
def client(maker: RunningNode) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=maker.base_url, api_key="-", max_retries=0) as made:
        yield made


def test_a_text_has_one_vector_of_length_one_the_same_each_time(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="maker", input=TEXTS, encoding_format="float")
    again = client.embeddings.create(model="maker", input=TEXTS[1], encoding_format="float")
    vectors = [one.embedding for one in answer.data]
    assert [one.index for one in answer.data] == [0, 1, 2]
    assert {len(vector) for vector in vectors} == {tiny.SHAPE.hidden}
    for vector in vectors:
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-3)
    assert again.data[0].embedding == pytest.approx(vectors[1], abs=1e-3)
    assert vectors[0] != pytest.approx(vectors[1], abs=1e-3)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 8


def test_base64_and_token_numbers_say_the_same(client: openai.OpenAI, maker: RunningNode) -> None:
    """The client's own default is base64, which it decodes itself."""
    plain = client.embeddings.create(model="maker", input=[[5, 6, 7]], encoding_format="float").data[0].embedding
    assert client.embeddings.create(model="maker", input=[5, 6, 7]).data[0].embedding == pytest.approx(plain, abs=1e-6)
    raw = maker.post("/embeddings", model="maker", input=[5, 6, 7], encoding_format="base64").json()
    written = base64.b64decode(raw["data"][0]["embedding"])
    assert struct.unpack(f"<{len(plain)}f", written) == pytest.approx(plain, abs=1e-6)


def test_a_text_longer_than_a_step_is_whole_and_one_longer_than_the_context_is_refused(maker: RunningNode) -> None:
    whole = maker.post("/embeddings", model="maker", input=[9] * 512)
    assert whole.status_code == 200, whole.text
    assert whole.json()["usage"]["prompt_tokens"] == 512
    for text in ([9] * 513, "word " * 4000):
        refused = maker.post("/embeddings", model="maker", input=text)
        assert refused.status_code == 413
        error = refused.json()["error"]
        assert (error["code"], error["param"], error["context_tokens"]) == ("context_length_exceeded", "input", 512)


def test_a_model_for_embeddings_says_so_and_writes_no_text(client: openai.OpenAI, maker: RunningNode) -> None:
    (told,) = client.models.list().data
    assert told.model_extra is not None
    assert told.model_extra["capabilities"] == ["embeddings"]
    for path, body in (("/completions", {"prompt": "x"}), ("/chat/completions", {"messages": [{"role": "user"}]})):
        refused = maker.post(path, model="maker", **body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_operation")
        assert refused.json()["error"]["message"] == "maker makes embeddings; it writes no text"


def test_a_model_that_writes_text_refuses_embeddings_and_says_why(node: RunningNode) -> None:
    refused = node.post("/embeddings", input="x")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_operation")
    assert refused.json()["error"]["message"] == f"{MODEL} generates text; it makes no embeddings"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": ""}, "invalid_parameter", None),
        ({"input": []}, "invalid_parameter", None),
        ({"input": ["x", ""]}, "invalid_parameter", None),
        ({"input": "x", "dimensions": 64}, "unsupported_parameter", "dimensions"),
        ({"input": "x", "encoding_format": "yaml"}, "unsupported_parameter", "encoding_format"),
        ({"input": "x", "colour": 1}, "unknown_parameter", "colour"),
    ],
)
def test_a_bad_request_is_refused_by_name(maker: RunningNode, body: dict[str, object], code: str, param: str) -> None:
    refused = maker.post("/embeddings", model="maker", **body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code), refused.text
    if param:
        assert refused.json()["error"]["param"] == param


def test_it_is_measured_like_every_other_request(maker: RunningNode) -> None:
    before = maker.metric('edge_requests_total{model="maker",operation="embeddings",outcome="ok"}')
    assert maker.post("/embeddings", model="maker", input="x").status_code == 200
    assert maker.metric('edge_requests_total{model="maker",operation="embeddings",outcome="ok"}') == before + 1
