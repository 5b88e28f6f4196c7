"""The most that a request can use, known before anything is sent.

Input: every token of a byte-level vocabulary covers at least a byte, and the JSON text of a prompt is never shorter
than its UTF-8 bytes, so the body's length bounds the prompt; what chat templates add, and images, come on top.
Output: `max_tokens` for each choice, else the model's own maximum.
"""

from dataclasses import dataclass
from typing import Any

from .money import Tokens

TEMPLATE_TOKENS = 512
"""What a chat template may add by itself: dates, a default system message, instructions for tools."""
TEMPLATE_TOKENS_PER_MESSAGE = 16
IMAGE_TOKENS = 16_384
"""More than any listed provider counts for one image in full detail, unless its manifest says otherwise."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a request's body says about its size."""

    body_bytes: int
    messages: int
    images: int
    choices: int
    max_output: int | None
    """Output tokens a choice that the client allows, or ``None``."""


def measure(body: dict[str, Any], body_bytes: int, *, images: int) -> Size:
    """Size of a parsed chat, completion or embedding body."""
    messages = body.get("messages")
    prompts = body.get("prompt")
    many = len(prompts) if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else 1
    choices = max(_count(body.get("n")), _count(body.get("best_of")))
    limit = body.get("max_completion_tokens")
    if limit is None:
        limit = body.get("max_tokens")
    if messages is None and prompts is None:
        limit = 0  # Embeddings have no output.
    return Size(
        body_bytes=body_bytes,
        messages=len(messages) if isinstance(messages, list) else 1,
        images=images,
        choices=choices * many,
        max_output=limit if isinstance(limit, int) and not isinstance(limit, bool) else None,
    )


def bound(size: Size, max_output_tokens: int | None, *, image_tokens: int = IMAGE_TOKENS) -> Tokens | None:
    """Most tokens that the request can use at a model; ``None`` where its output has no bound."""
    per_choice = size.max_output if size.max_output is not None else max_output_tokens
    if per_choice is None:
        return None
    template = TEMPLATE_TOKENS + TEMPLATE_TOKENS_PER_MESSAGE * size.messages
    return Tokens(
        input=size.body_bytes + template + size.images * image_tokens,
        output=per_choice * size.choices,
    )


def expected(size: Size, max_output_tokens: int | None) -> Tokens:
    """A guess for ordering by price, never for admission: four bytes a token, half of the output limit."""
    limit = size.max_output or max_output_tokens or 512
    return Tokens(input=size.body_bytes // 4 + size.images * 1024, output=max(1, limit // 2) * size.choices)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
