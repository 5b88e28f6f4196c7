#!/usr/bin/env python3
"""Make the folder that vLLM serves from a GGUF file: bf16 safetensors, tokenizer, config. vLLM reads no GGUF on a CPU.

``VENV/bin/python gguf_to_safetensors.py FILE FOLDER``, in the environment that ``install-cpu.sh`` makes. It takes the
memory of the weights in bf16. What the quantization has lost stays lost.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(source: Path, folder: str) -> None:
    """Read, spread out, write."""
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
