"""Runs llama.cpp's server (from ``xllamacpp``) as a process of its own: a crash of the engine is not one of the runner.

``python -m edge_runner.engine_process --model FILE --port N ...``. It dies with its parent: whatever kills the runner,
no engine is left behind. The engine's key comes in ``ENGINE_KEY``, never on a command line.
"""

import argparse
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from typing import Any

PR_SET_PDEATHSIG = 1
EXIT_LOAD_FAILED = 70


def main() -> None:
    """Serve until a signal, or until the parent is gone."""
    options = _options()
    die_with_parent(options.parent)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner drains first
    if options.memory_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (options.memory_limit, options.memory_limit))
    server = _serve(options)
    sys.stderr.write(f"engine listens on {server.listening_address}\n")
    while True:
        signal.pause()


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent dies; where it cannot be asked, look every second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
        return
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _leave(*_: object) -> None:
    os._exit(0)  # the runner has drained; llama.cpp's own shutdown may hang on an open stream


def _serve(options: argparse.Namespace) -> Any:
    import xllamacpp as llama

    params = llama.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.api_keys = [os.environ["ENGINE_KEY"]]
    params.n_ctx = options.context * options.slots
    params.n_parallel = options.slots
    params.n_batch = options.batch
    params.n_ubatch = options.batch
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.cache_type_k = params.cache_type_v = _kv_types(llama)[options.kv_type]
    params.cache_ram_mib = options.cache_ram_mib
    params.cache_prompt = True
    params.n_ctx_checkpoints = 2  # of each slot, where layers have a sliding window; domain/fit.py counts them
    # Exact flags, no surprises: nothing is fitted, shifted or shown that was not asked for.
    params.fit_params = False
    params.ctx_shift = False
    params.ui = False
    params.endpoint_slots = True
    params.endpoint_metrics = True
    params.verbosity = options.verbosity
    if options.pooling:
        params.embedding = True
        params.pooling_type = _poolings(llama)[options.pooling]
    params.load_mode = {
        "none": llama.llama_load_mode.LLAMA_LOAD_MODE_NONE,
        "mmap": llama.llama_load_mode.LLAMA_LOAD_MODE_MMAP,
    }[options.load_mode]
    params.no_extra_bufts = options.load_mode == "mmap"  # else Q4_K weights lie in memory twice
    try:
        return llama.Server(params)
    except RuntimeError as error:
        sys.stderr.write(f"engine did not start: {error}\n")
        sys.stderr.flush()
        os._exit(EXIT_LOAD_FAILED)


def _kv_types(llama: Any) -> dict[str, Any]:
    return {"f16": llama.ggml_type.GGML_TYPE_F16, "q8_0": llama.ggml_type.GGML_TYPE_Q8_0}


def _poolings(llama: Any) -> dict[str, Any]:
    kinds = llama.llama_pooling_type
    return {
        "mean": kinds.LLAMA_POOLING_TYPE_MEAN,
        "cls": kinds.LLAMA_POOLING_TYPE_CLS,
        "last": kinds.LLAMA_POOLING_TYPE_LAST,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--alias", required=True, help="name that the engine answers under")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process that this one dies with")
    parser.add_argument("--context", type=int, required=True, help="tokens a slot")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--batch", type=int, default=256, help="most prompt tokens of one step; others wait for it")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--kv-type", choices=("f16", "q8_0"), default="f16")
    parser.add_argument("--pooling", choices=("mean", "cls", "last"), help="make embeddings, pooled so")
    parser.add_argument("--cache-ram-mib", type=int, default=64)
    parser.add_argument("--load-mode", choices=("none", "mmap"), default="none")
    parser.add_argument("--memory-limit", type=int, default=0, help="bytes of data the process may have; 0 for any")
    parser.add_argument("--verbosity", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
