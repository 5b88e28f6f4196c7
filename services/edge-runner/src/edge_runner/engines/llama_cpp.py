"""llama.cpp's server, from the ``xllamacpp`` wheel, as a child process."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..domain.logprobs import ScoredToken, TokenLogprob
from ..domain.models import Model
from ..engine_process import EXIT_LOAD_FAILED
from ..weights import LocalWeights, find_weights
from .adapter import Command, EngineFailure, ServeSpec

# Each of llama.cpp's HTTP threads would keep a heap of its own, as large as the largest answer that it ever wrote: an
# engine grew from 349 to 453 MiB in a quarter of an hour. With one heap it is as large as after its first answers.
# Blocks of the host cache go back to the system when they go; smaller ones are not worth asking the system for.
_ONE_HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "4194304"}

_NO_MEMORY = ("failed to allocate", "bad_alloc", "cannot allocate memory", "out of memory", "mmap: 12")


class LlamaCpp:
    """Adapter of llama.cpp."""

    name = "llama.cpp"
    max_logprobs = 1000
    capabilities: tuple[str, ...] = ("chat", "completions", "json_schema", "logprobs", "tools")

    kv_page = "/slots"

    def __init__(self) -> None:
        self._build = f"llama.cpp (xllamacpp {version('xllamacpp')})"

    def build(self) -> str:
        """The wheel's version is its build: the wheel carries no other number."""
        return self._build

    def command(self, spec: ServeSpec, port: int, key: str) -> Command:
        """Exact flags; ``serve --dry-run`` prints them."""
        flags = {
            "--model": str(spec.path),
            "--alias": spec.model,
            "--port": port,
            "--parent": os.getpid(),
            "--context": spec.context,
            "--slots": spec.slots,
            "--threads": spec.threads,
            "--kv-type": spec.kv_type,
            "--cache-ram-mib": spec.cache_ram_mib,
            "--memory-limit": spec.memory_limit or 0,
        }
        if spec.pooling:
            flags |= {"--pooling": spec.pooling, "--batch": spec.context}  # a text is pooled over one step
        argv = [sys.executable, "-m", "edge_runner.engine_process"]
        return Command(
            tuple(argv + [part for flag, value in flags.items() for part in (flag, str(value))]),
            _ONE_HEAP | {"ENGINE_KEY": key},
        )

    def why_it_ended(self, exit_code: int, last_lines: Sequence[str], oom_killed: bool) -> EngineFailure:
        """The kernel's SIGKILL or a failed allocation is memory; a refused file is the weights; the rest a crash."""
        text = "\n".join(last_lines)
        starved = [line for line in last_lines if any(sign in line.lower() for sign in _NO_MEMORY)]
        if oom_killed or starved:
            return EngineFailure("out_of_memory", starved[-1] if starved else "killed by the kernel: out of memory")
        if exit_code == EXIT_LOAD_FAILED:
            said = next((line for line in last_lines if "error" in line.lower() or "fail" in line.lower()), text[-300:])
            return EngineFailure("bad_weights", said)
        how = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
        return EngineFailure("crash", f"{how}: {text[-300:]}" if text else how)

    def find_weights(self, model: Model, models_dir: Path) -> LocalWeights:
        """The first GGUF file of the list that is here, verified."""
        return find_weights(model, models_dir)

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's is its own. Every stream tells its tokens: they are counted whether the client wants them or not."""
        return body | {"stream_options": {"include_usage": True}} if body.get("stream") else body

    def in_slot(self, body: dict[str, Any], slot: int) -> dict[str, Any]:
        """A busy slot makes the request wait for it."""
        return body | {"id_slot": slot}

    def choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        """It adds nothing to a choice."""
        return choice

    def completion_logprobs(self, choice: Mapping[str, Any], spec: ServeSpec) -> Sequence[ScoredToken]:
        """Its completions carry log-probabilities in the shape of chat completions."""
        content = (choice.get("logprobs") or {}).get("content") or ()
        return [
            ScoredToken(_token(entry), tuple(_token(other) for other in entry.get("top_logprobs", ())))
            for entry in content
        ]

    def kv_use(self, page: str) -> float | None:
        """A slot tells how many tokens it holds; those of idle slots are prefixes that may go."""
        slots = json.loads(page)
        room = sum(slot["n_ctx"] for slot in slots)
        return sum(slot["n_prompt_tokens"] for slot in slots if slot["is_processing"]) / room if room else None

    def prompt_to_count(self, prompt: str) -> tuple[str, dict[str, Any]]:
        """``add_special`` counts what the engine itself adds in front."""
        return "/tokenize", {"content": prompt, "add_special": True, "parse_special": True}

    def chat_to_count(self, chat: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Renders the model's template; the text is then tokenized."""
        return "/apply-template", {key: chat[key] for key in ("messages", "tools", "tool_choice") if chat.get(key)}


def _token(entry: Mapping[str, Any]) -> TokenLogprob:
    return TokenLogprob(bytes(entry["bytes"]), entry["logprob"])
