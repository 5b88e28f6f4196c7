"""What the translated APIs share: fields of a request are taken by name, and what is left over is refused by name.

A translation reads an object of the client's request field by field. A field that it has no counterpart for is an
error, never dropped, unless the client itself names it as something that may be lost (`X-Shipjury-Drop`).
"""

from collections.abc import Iterator
from typing import Any

from .errors import GatewayError

DROP_HEADER = "X-Shipjury-Drop"
Drop = frozenset[str]
NOTHING: Drop = frozenset()


def untranslatable(path: str, why: str, *, drop: str | None = None) -> GatewayError:
    """The refusal of a field that the translation cannot carry. ``drop`` is the name that would let it be lost."""
    hint = f"; to go on without it, send the header `{DROP_HEADER}: {drop}`" if drop else ""
    return GatewayError("untranslatable_field", f"`{path}`: {why}{hint}", param=path)


def invalid(path: str, expected: str) -> GatewayError:
    """The refusal of a value that the client's own API would refuse."""
    return GatewayError("invalid_parameter", f"`{path}` is {expected}", param=path)


def malformed(what: str) -> GatewayError:
    """The refusal of a provider's answer that has no counterpart in the client's API."""
    return GatewayError("provider_malformed", f"the provider's answer cannot be translated: {what}")


class Fields:
    """The fields of one object of a request. ``path`` says where it stands, such as ``messages[1].content[0]``."""

    def __init__(self, value: Any, path: str, drop: Drop) -> None:
        if not isinstance(value, dict):
            raise invalid(path or "the body", "an object")
        self._left: dict[str, Any] = dict(value)
        self._path = path
        self.drop = drop

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str) -> Any:
        """The field's value; ``None`` where it is absent or null."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str:
        """A required string."""
        value = self.take(name)
        if not isinstance(value, str):
            raise invalid(self.at(name), "a string") if value is not None else self.missing(name)
        return value

    def optional(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        """A field of a type, or ``None``. Raises ``invalid_parameter`` for other types."""
        value = self.take(name)
        if value is not None and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
            raise invalid(self.at(name), expected)
        return value

    def only(self, name: str, allowed: tuple[Any, ...], why: str, *, droppable: bool = True) -> None:
        """Take a field that changes nothing where it has one of these values, and is refused otherwise."""
        value = self.take(name)
        if value is not None and value not in allowed:
            self._lost(name, why, droppable=droppable)

    def object(self, name: str) -> "Fields | None":
        """A field that is an object itself, or ``None``."""
        value = self.take(name)
        return None if value is None else Fields(value, self.at(name), self.drop)

    def each(self, name: str) -> Iterator["Fields"]:
        """The objects of a field that is a list."""
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            raise invalid(self.at(name), "a list")
        return (Fields(item, f"{self.at(name)}[{index}]", self.drop) for index, item in enumerate(value or ()))

    def missing(self, name: str) -> GatewayError:
        """The error of a required field that is not there."""
        path = self.at(name)
        return GatewayError("missing_parameter", f"`{path}` is missing", param=path)

    def refuse(self, name: str, why: str) -> GatewayError:
        """The refusal of one field."""
        return untranslatable(self.at(name), why)

    def end(self) -> None:
        """Refuse what nobody has taken. Null is the same as absent."""
        for name, value in self._left.items():
            if value is not None:
                self._lost(name, "the providers' API has no counterpart for this field")

    def _lost(self, name: str, why: str, *, droppable: bool = True) -> None:
        if name not in self.drop or not droppable:
            raise untranslatable(self.at(name), why, drop=name if droppable else None)


def drop_of(header: bytes | None) -> Drop:
    """The names that a client says may be lost, of the header's value."""
    if header is None:
        return NOTHING
    return frozenset(name.strip() for name in header.decode("latin-1").split(",") if name.strip())


def details(usage: Any, group: str, name: str) -> int:
    """A number of a usage object's details (`prompt_tokens_details.cached_tokens`); 0 where it is not told."""
    inner = usage.get(group) if isinstance(usage, dict) else None
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def begins(chunk: dict[str, Any]) -> bool:
    """Whether an answer begins with this chunk. Azure sends one before it, about its content filter."""
    return bool(chunk.get("choices") or chunk.get("model"))


def only_choice(answer: Any) -> dict[str, Any]:
    """The single choice of a chat answer. Raises ``provider_malformed``."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise malformed("it does not have exactly one choice")
    return choices[0]


def text_of(content: Any) -> str:
    """The text of a message's content, which some providers send in parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "".join(text for text in texts if isinstance(text, str))
    raise malformed("a message's content is no text")


def tool_calls_of(message: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Id, name and arguments (JSON text) of each call of a function in a message. Raises ``provider_malformed``."""
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise malformed("a tool call names no function")
        arguments = function.get("arguments")
        if not isinstance(call.get("id"), str) or not isinstance(arguments, str):
            raise malformed("a tool call has no id or no arguments")
        yield call["id"], function["name"], arguments
