"""A provider's stream is read strictly, however its bytes are cut into packets."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_gateway.api.sse import Malformed, Reader


def event(value: Any) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    """One chunk of a chat."""
    return {"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


USAGE = {"id": "x", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


@given(st.lists(st.text(), max_size=5), st.lists(st.integers(1, 200), max_size=20), st.booleans(), st.booleans())
def test_events_are_the_same_however_they_are_cut(texts: list[str], cuts: list[int], keep: bool, windows: bool) -> None:
    clean = [text.encode("utf-8", "ignore").decode() for text in texts]
    events = [event(chunk(text)) for text in clean] + [event(chunk("", "stop"))]
    raw = b": a comment\n\n" + b"".join(events) + event(USAGE) + b"data: [DONE]\n\n"
    if windows:
        raw = raw.replace(b"\n\n", b"\r\n\r\n")
    reader, got, at = Reader(keep_usage=keep), b"", 0
    for cut in [*cuts, len(raw)]:
        got += reader.feed(raw[at : at + cut])
        at += cut
    reader.finish()
    assert got == b": a comment\n\n" + b"".join(events) + (event(USAGE) if keep else b"")
    assert reader.tokens is not None
    assert (reader.tokens.input, reader.tokens.output) == (7, 2)


@pytest.mark.parametrize(
    "bad", [b"data: {\n\n", event([1]), event({"choices": [1]}), event({"choices": [{"index": [0]}]})]
)
def test_what_is_no_event_of_the_api_ends_the_stream_after_what_was_whole(bad: bytes) -> None:
    reader = Reader(keep_usage=False)
    assert reader.feed(event(chunk("a")) + bad + event(chunk("b"))) == event(chunk("a"))
    with pytest.raises(Malformed):
        reader.finish()


def test_an_end_without_done_or_without_a_finish_reason_is_none() -> None:
    cut = Reader(keep_usage=False)
    cut.feed(event(chunk("a", "stop")))
    with pytest.raises(Malformed, match="without"):
        cut.finish()
    stopped = Reader(keep_usage=False)
    stopped.feed(event(chunk("a")) + b"data: [DONE]\n\n")
    with pytest.raises(Malformed, match="finish_reason"):
        stopped.finish()
