"""LangChain's OpenAI chat model and embeddings, on a gateway: prints as JSON what it got. Usage: URL KEY."""

import json
import sys
from importlib.metadata import version
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import APIError, BadRequestError, NotFoundError
from pydantic import BaseModel


class Verdict(BaseModel):
    """A verdict on a tool."""

    tool: str
    score: int


@tool
def forecast(city: str, days: int) -> str:
    """The weather of some days."""
    return f"rain in {city} for {days}"


def run(url: str, key: str) -> dict[str, Any]:
    """Everything that the model does."""

    def model(name: str = "sim-chat", **more: Any) -> ChatOpenAI:
        return ChatOpenAI(model=name, base_url=url, api_key=key, max_retries=0, **more)

    told: dict[str, Any] = {"versions": {name: version(name) for name in ("langchain-openai", "openai")}}
    told["chat"] = model().invoke("words=4").content
    pieces = list(model(stream_usage=True).stream("words=4"))
    told["stream"] = "".join(str(piece.content) for piece in pieces)
    told["stream_usage"] = [dict(piece.usage_metadata) for piece in pieces if piece.usage_metadata]
    question = HumanMessage("weather")
    answer = model().bind_tools([forecast]).invoke([question])
    told["tools"] = answer.tool_calls[0]["args"]
    result = ToolMessage(forecast.invoke(answer.tool_calls[0]["args"]), tool_call_id=answer.tool_calls[0]["id"])
    told["after_tool"] = model().bind_tools([forecast]).invoke([question, answer, result]).content
    told["structured"] = model().with_structured_output(Verdict).invoke("judge").model_dump()
    embedding = OpenAIEmbeddings(model="sim-chat", base_url=url, api_key=key, check_embedding_ctx_length=False)
    told["embeddings"] = [len(vector) for vector in embedding.embed_documents(["hello", "there"])]
    told["responses_api"] = model(use_responses_api=True).invoke("words=4").text
    told["responses_stream"] = "".join(piece.text for piece in model(use_responses_api=True).stream("words=4"))
    told["errors"] = {
        "unknown_model": _error(NotFoundError, lambda: model("gpt-9").invoke("hi")),
        "parameter": _error(BadRequestError, lambda: model("sim-chat:beta", n=2).invoke("hi")),
        "broken_stream": _error(APIError, lambda: list(model("sim-chat:alpha").stream("fault=cut"))),
    }
    return told


def _error(kind: type[APIError], call: Any) -> str | None:
    try:
        call()
    except kind as error:
        return str(error.code)
    return None


print(json.dumps(run(*sys.argv[1:3])))  # noqa: T201
