"""The bytes of each token of a model, from its ``tokenizer.json``: vLLM names tokens of a completion by number.

By text, two tokens with the same text (or with none of their own: half a character) would be one entry in its answer.
Source of the byte alphabet: GPT-2's ``bytes_to_unicode``; of ``<0x0A>`` and the block for a space: SentencePiece.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_BLOCK = "\u2581"


@lru_cache(maxsize=8)
def vocabulary(folder: Path) -> Mapping[int, bytes]:
    """Each token's bytes, by number. Read once a folder."""
    document = json.loads((folder / "tokenizer.json").read_text())
    vocab = document["model"]["vocab"]
    numbered = {number: text for text, number in vocab.items()} if isinstance(vocab, dict) else dict(enumerate(vocab))
    alphabet = _alphabet() if _is_byte_level(document) else None
    found = {int(number): _raw(text, alphabet) for number, text in numbered.items()}
    return found | {added["id"]: added["content"].encode() for added in document.get("added_tokens", ())}


def _raw(text: Any, alphabet: Mapping[str, int] | None) -> bytes:
    text = text if isinstance(text, str) else text[0]  # a unigram's entry has its score beside it
    if alphabet is not None:
        return (
            bytes(alphabet[letter] for letter in text) if all(letter in alphabet for letter in text) else text.encode()
        )
    byte = _BYTE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else text.replace(_BLOCK, " ").encode()


def _is_byte_level(document: Mapping[str, Any]) -> bool:
    decoder = document.get("decoder") or {}
    return any(part.get("type") == "ByteLevel" for part in (decoder, *decoder.get("decoders", ())))


@lru_cache(maxsize=1)
def _alphabet() -> Mapping[str, int]:
    """GPT-2's letter for each byte: printable ones stand for themselves, the others follow from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
