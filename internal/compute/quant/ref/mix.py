#!/usr/bin/env python3
"""Writes ../testdata/mix.golden: how published Q4_K_M files store their tensors.

A line is LAYERS NAME COLUMNS TYPE. Models lie in ~/.cache/retort-models; ones whose output is tied have no output.weight.
"""
import os
import re
import gguf

here = os.path.dirname(os.path.abspath(__file__))
models = os.environ.get("RETORT_MODELS", os.path.expanduser("~/.cache/retort-models"))
with open(os.path.join(here, "..", "testdata", "mix.golden"), "w") as f:
    f.write("made by ref/mix.py with gguf of PyPI\n")
    for name in ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]:
        tensors = gguf.GGUFReader(os.path.join(models, name + ".gguf")).tensors
        layers = 1 + max(int(m[1]) for t in tensors if (m := re.match(r"blk\.(\d+)\.", t.name)))
        for t in tensors:
            f.write(f"{layers} {t.name} {t.shape[0]} {t.tensor_type.name}\n")
