"""vLLM's server, from a virtual environment of its own, as a child process; on a GPU, or on the CPU with its CPU build.

Flags, dialect and messages are those of vLLM 0.32; ``tests/vllm`` has what it really said.
"""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..domain import fit
from ..domain.logprobs import ScoredToken, TokenLogprob
from ..domain.models import Model
from ..safetensors import read_folder
from ..weights import LocalWeights, WeightsMissing, remembered_sha256
from .adapter import Command, EngineFailure, ServeSpec
from .vllm_tokens import vocabulary

_NO_MEMORY = (
    "out of memory",
    "outofmemory",
    "cannot allocate memory",
    "can't allocate memory",
    "memoryerror",
    "bad_alloc",
    "no available memory for the cache blocks",
    "is less than desired gpu memory utilization",
    "larger than the available kv cache memory",
    "not enough memory",
)
_BAD_WEIGHTS = (
    "safetensorerror",
    "metadataincompletebuffer",
    "headertoolarge",
    "no supported config format",
    "invalid repository id",
    "are not supported for now",
    "does not recognize this architecture",
    "weights were not initialized",
    "size of tensor",
    "shape mismatch",
)
_EXCEPTION = re.compile(r"(?:^|\] )((?:\w+\.)*\w*(?:Error|Exception)(?:: .*)?)$")
_KV_USE = re.compile(r"^vllm:kv_cache_usage_perc\{[^}]*\} (\S+)$", re.MULTILINE)
_STEP_TOKENS = 512
_LONG_PROMPT_TOKENS = 256


class Vllm:
    """Adapter of vLLM. ``command`` is its executable: a path, or a name on the PATH."""

    name = "vllm"
    FOLDER = "safetensors"
    max_logprobs = 1000
    capabilities: tuple[str, ...] = ("chat", "completions", "json_schema", "logprobs", "tools")
    kv_page = "/metrics"

    def __init__(self, command: str = "vllm") -> None:
        found = shutil.which(command)
        if found is None:
            raise ValueError(f"no vLLM at {command!r}: install it, and say where with EDGE_VLLM (see the how-to)")
        self._command = Path(found).absolute()

    def build(self) -> str:
        """The version that its environment's metadata names; importing it would take seconds."""
        library = self._command.parent.parent / "lib"
        found = sorted(library.glob("python*/site-packages/vllm-*.dist-info"))
        return f"vllm {found[0].name.removeprefix('vllm-').removesuffix('.dist-info')}" if found else "vllm"

    def find_weights(self, model: Model, models_dir: Path) -> LocalWeights:
        """The model's folder below ``models_dir``. Raises ``WeightsMissing``, ``NotAModelFolder``."""
        path = models_dir / model.id / self.FOLDER
        if not path.is_dir():
            raise WeightsMissing(
                f"{model.id}: vLLM serves a folder of safetensors, and there is none at {path} (see the how-to)"
            )
        folder = read_folder(path)
        return LocalWeights(path, folder.quantization, folder.sha256(remembered_sha256), folder)

    def command(self, spec: ServeSpec, port: int, key: str) -> Command:
        """Exact flags; ``serve --dry-run`` prints them. The KV cache gets what ``fit`` counts, to the byte."""
        shape = read_folder(spec.path).architecture()
        flags = {
            "--host": "127.0.0.1",
            "--port": port,
            "--served-model-name": spec.model,
            "--max-model-len": spec.context,
            "--max-num-seqs": spec.slots,
            "--max-num-batched-tokens": max(_STEP_TOKENS, spec.slots),
            "--long-prefill-token-threshold": _LONG_PROMPT_TOKENS,
            "--kv-cache-memory-bytes": fit.kv_cache_bytes(shape, spec.context, spec.slots, engine=self.name),
            "--max-logprobs": self.max_logprobs,
            "--generation-config": "vllm",
            "--structured-outputs-config": json.dumps({"backend": "guidance", "disable_any_whitespace": True}),
        }
        argv = [sys.executable, "-m", "edge_runner.leash", "--parent", str(os.getpid()), "--port", str(port)]
        if spec.folder is not None:
            argv += ["--folder", str(spec.folder)]
        argv += ["--memory-limit", str(spec.memory_limit or 0), "--", str(self._command), "serve", str(spec.path)]
        argv += [part for flag, value in flags.items() for part in (flag, str(value))]
        argv += ["--enable-prefix-caching", "--disable-uvicorn-access-log"]
        env = {"VLLM_API_KEY": key, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        if not has_gpu():
            argv += ["--enforce-eager"]  # compiling takes minutes and wins nothing on a CPU
            env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(spec.threads)}
        return Command(tuple(argv), env)

    def why_it_ended(self, exit_code: int, last_lines: Sequence[str], oom_killed: bool) -> EngineFailure:
        """A process that the kernel killed, or an allocation that failed, is memory; a refused folder the weights.

        The runner sees the exit code of the leash: 128 + the signal's number where a signal ended the engine.
        """
        starved = _first(last_lines, _NO_MEMORY)
        if oom_killed or starved:
            return EngineFailure("out_of_memory", starved or "killed by the kernel: out of memory")
        if refused := _first(last_lines, _BAD_WEIGHTS):
            return EngineFailure("bad_weights", refused)
        number = -exit_code if exit_code < 0 else exit_code - 128
        how = signal.Signals(number).name if number in set(signal.Signals) else f"exit code {exit_code}"
        said = _root_cause(last_lines) or _first(reversed(last_lines), ("error", "died", "failed"))
        said = said or "\n".join(last_lines)[-300:]
        return EngineFailure("crash", f"{how}: {said}" if said else how)

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Tokens of a completion by number: by text, some would be lost."""
        if "prompt" in body and "logprobs" in body:
            return body | {"return_tokens_as_token_ids": True}
        return body

    def in_slot(self, body: dict[str, Any], slot: int) -> dict[str, Any]:
        """It shares prefixes between all requests, and takes long prompts in pieces."""
        return body

    def choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A choice of a chat without what only vLLM knows."""
        plain: dict[str, Any] = {
            key: choice[key] for key in ("index", "delta", "logprobs", "finish_reason") if key in choice
        }
        if "message" in choice:
            plain["message"] = {"role": "assistant", "content": choice["message"].get("content")}
        return plain

    def completion_logprobs(self, choice: Mapping[str, Any], spec: ServeSpec) -> Sequence[ScoredToken]:
        """The legacy shape, with tokens by number; their bytes are in the model's folder."""
        scored = choice.get("logprobs") or {}
        words = vocabulary(spec.path)
        tokens, chosen = scored.get("tokens") or (), scored.get("token_logprobs") or ()
        tops = scored.get("top_logprobs") or [None] * len(tokens)
        return [
            ScoredToken(
                TokenLogprob(words[_number(token)], logprob),
                tuple(TokenLogprob(words[_number(other)], value) for other, value in (top or {}).items()),
            )
            for token, logprob, top in zip(tokens, chosen, tops, strict=True)
        ]

    def kv_use(self, page: str) -> float | None:
        """Its own gauge, 0 to 1."""
        found = _KV_USE.search(page)
        return float(found[1]) if found else None

    def prompt_to_count(self, prompt: str) -> tuple[str, dict[str, Any]]:
        """``add_special_tokens`` counts what the engine itself adds in front."""
        return "/tokenize", {"prompt": prompt, "add_special_tokens": True}

    def chat_to_count(self, chat: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Renders the model's template and tokenizes it."""
        return "/tokenize", {"messages": chat["messages"], "add_generation_prompt": True}


def has_gpu() -> bool:
    """Whether this host has a GPU that vLLM uses."""
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd"))


def _root_cause(lines: Sequence[str]) -> str | None:
    """The exception that ended an inner process: what comes after it only points there."""
    found = (match[1] for line in reversed(lines) if (match := _EXCEPTION.search(line)))
    return next((one for one in found if "above" not in one), None)


def _first(lines: Any, signs: Sequence[str]) -> str | None:
    return next((line for line in lines if any(sign in line.lower() for sign in signs)), None)


def _number(token: str) -> int:
    return int(token.removeprefix("token_id:"))
