#!/usr/bin/env python3
"""Writes ../testdata/real.golden: hashes of what the Python package gguf decodes from tensors of real models.

A line is MODEL TENSOR TYPE OFFSET BYTES SHA256: the tensor's first BYTES bytes at OFFSET of the file, and the hash of their
weights as little endian float32. Weights themselves are not committed. Models lie in ~/.cache/retort-models.
"""
import hashlib
import os
import gguf
from gguf import quants

here = os.path.dirname(os.path.abspath(__file__))
models = os.environ.get("RETORT_MODELS", os.path.expanduser("~/.cache/retort-models"))
with open(os.path.join(here, "..", "testdata", "real.golden"), "w") as f:
    f.write("made by ref/real.py with gguf of PyPI\n")
    for name in ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]:
        seen = set()
        for t in gguf.GGUFReader(os.path.join(models, name + ".gguf")).tensors:
            kind = t.tensor_type
            if kind.name in seen:
                continue
            seen.add(kind.name)
            block, size = gguf.GGML_QUANT_SIZES[kind]
            raw = t.data.view("uint8").ravel()
            raw = raw[:min(raw.size, 4096 * size)]
            floats = quants.dequantize(raw.reshape(1, -1), kind)
            f.write(f"{name} {t.name} {kind.name} {t.data_offset} {raw.size} {hashlib.sha256(floats.astype('<f4').tobytes()).hexdigest()}\n")
