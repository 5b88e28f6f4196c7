"""A chat completion's stream as events of OpenAI's Responses API. Pure.

The order of events and their fields are those of `openai.types.responses.ResponseStreamEvent` (3.52). A stream that
breaks ends with `response.failed`, which has what came, and `error`, which clients raise.
"""

from collections.abc import Iterator
from typing import Any

from .responses_answer import call_item, ending, error, message_item, opening, refusal_part, text_part, usage
from .translation import begins, malformed, text_of

Event = dict[str, Any]
_TEXT, _REFUSAL = "output_text", "refusal"


class Events:
    """Turns chunks of a chat completion into events, numbered and in order. One for each stream."""

    def __init__(self, repeated: dict[str, Any], response_id: str) -> None:
        self._id = response_id
        self._repeated = repeated
        self._response: dict[str, Any] = opening(repeated, response_id, None, None)
        self._begun = False
        self._number = -1
        self._part: str | None = None
        self._call: int | None = None
        """Which call of the chat completion is open."""
        self._finish: Any = None
        self._usage: Any = None

    def chunk(self, chunk: dict[str, Any]) -> Iterator[Event]:
        """The events of one chunk. Raises ``provider_malformed``."""
        if not self._begun and begins(chunk):
            yield from self._begin(chunk)
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            text = text_of(delta.get("content"))
            if text:
                yield from self._say(_TEXT, text)
            if delta.get("refusal"):
                yield from self._say(_REFUSAL, delta["refusal"])
            for call in delta.get("tool_calls") or ():
                yield from self._called(call)
            if choice.get("finish_reason") is not None:
                self._finish = choice["finish_reason"]
                yield from self._close(ending(self._finish)[0])

    def done(self) -> Iterator[Event]:
        """The end of a stream that is whole."""
        status, why = ending(self._finish)
        yield from self._close(status)
        self._response |= {
            "status": status,
            "incomplete_details": None if why is None else {"reason": why},
            "usage": usage(self._usage),
        }
        yield self._event(f"response.{status}", response=self._response)

    def failed(self, body: Any, _status: int, _request_id: str | None) -> Iterator[Event]:
        """The end of a stream that is not."""
        told = error(body)["error"]
        yield from self._close("incomplete")
        code = "rate_limit_exceeded" if told.get("code") == "rate_limit_exceeded" else "server_error"
        said = {"code": code, "message": told.get("message")}
        self._response |= {"status": "failed", "error": said, "usage": usage(self._usage)}
        yield self._event("response.failed", response=self._response)
        plain = {name: told.get(name) for name in ("code", "message", "param")}
        yield self._event("error", **plain, error=told)

    def _begin(self, chunk: dict[str, Any]) -> Iterator[Event]:
        self._begun = True
        self._response = opening(self._repeated, self._id, chunk.get("model"), chunk.get("created"))
        yield self._event("response.created", response=self._response)
        yield self._event("response.in_progress", response=self._response)

    def _say(self, kind: str, text: str) -> Iterator[Event]:
        if self._part != kind:
            if self._part is None:
                yield from self._close("completed")
                item = message_item(self._id, len(self._output), [], "in_progress")
                yield from self._add(item)
            else:
                yield from self._close_part()
            self._part = kind
            part = text_part("") if kind == _TEXT else refusal_part("")
            self._item["content"].append(part)
            yield self._event("response.content_part.added", **self._at_part(), part=dict(part))
        part = self._item["content"][-1]
        part["text" if kind == _TEXT else "refusal"] += text
        more: dict[str, Any] = {"logprobs": []} if kind == _TEXT else {}
        yield self._event(f"response.{kind}.delta", **self._at_part(), delta=text, **more)

    def _called(self, call: Any) -> Iterator[Event]:
        number = call.get("index", 0) if isinstance(call, dict) else None
        function = call.get("function") or {} if isinstance(call, dict) else {}
        if not isinstance(number, int) or not isinstance(function, dict):
            raise malformed("a piece of a tool call has no index")
        if number != self._call:
            name, call_id = function.get("name"), call.get("id")
            if not isinstance(name, str) or not isinstance(call_id, str):
                raise malformed("a tool call begins without id and name")
            yield from self._close("completed")
            self._call = number
            yield from self._add(call_item(self._id, len(self._output), call_id, name, "", "in_progress"))
        arguments = function.get("arguments")
        if arguments:
            self._item["arguments"] += arguments
            yield self._event("response.function_call_arguments.delta", **self._at(), delta=arguments)

    def _add(self, item: dict[str, Any]) -> Iterator[Event]:
        self._output.append(item)
        shown = {**item, "content": []} if item["type"] == "message" else dict(item)
        yield self._event("response.output_item.added", output_index=len(self._output) - 1, item=shown)

    def _close(self, status: str) -> Iterator[Event]:
        """End the item that is open, if one is."""
        if self._part is not None:
            yield from self._close_part()
            self._part = None
        elif self._call is not None:
            self._call = None
            arguments = self._item["arguments"]
            yield self._event("response.function_call_arguments.done", **self._at(), arguments=arguments)
        else:
            return
        self._item["status"] = status
        yield self._event("response.output_item.done", output_index=len(self._output) - 1, item=self._item)

    def _close_part(self) -> Iterator[Event]:
        part = self._item["content"][-1]
        if part["type"] == _TEXT:
            yield self._event("response.output_text.done", **self._at_part(), text=part["text"], logprobs=[])
        else:
            yield self._event("response.refusal.done", **self._at_part(), refusal=part["refusal"])
        yield self._event("response.content_part.done", **self._at_part(), part=part)

    @property
    def _output(self) -> list[dict[str, Any]]:
        output: list[dict[str, Any]] = self._response["output"]
        return output

    @property
    def _item(self) -> dict[str, Any]:
        return self._output[-1]

    def _at(self) -> dict[str, Any]:
        return {"output_index": len(self._output) - 1, "item_id": self._item["id"]}

    def _at_part(self) -> dict[str, Any]:
        return {**self._at(), "content_index": len(self._item["content"]) - 1}

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}
