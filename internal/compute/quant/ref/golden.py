#!/usr/bin/env python3
"""Writes ../testdata/decode.golden, decode-iq.golden, encode.golden and all.golden with the Python package gguf (pip install gguf numpy).

A file is a line of text that names its maker, then records: a line "NAME rows weights bytes", the stored bytes and the
weights as little endian float32. In decode.golden the bytes are random (scales finite) and gguf decoded them; in
encode.golden the weights are given and gguf encoded them. A line of all.golden is NAME BLOCKS SHA256: the hash of what gguf
decodes from so many blocks of bytes of SHAKE256(NAME) with scales of 1, which meet every entry of the tables.
"""
import hashlib
import os
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T, quants

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "..", "testdata")
rng = np.random.default_rng(20261124)
decode = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL".split()
# those of decode-iq.golden
decode_iq = "IQ4_XS IQ3_S IQ3_XXS IQ2_S IQ2_XS IQ2_XXS IQ1_S IQ1_M TQ1_0 TQ2_0 MXFP4".split()
encode = "F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0".split()
# where the float16 scales of a block lie
scales = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
          **{k: [0] for k in "IQ4_XS IQ3_S IQ3_XXS IQ2_S IQ2_XS IQ2_XXS IQ1_S".split()}, "TQ1_0": [52], "TQ2_0": [64], "IQ1_M": [49]}


def record(f, name, raw, floats):
    f.write(f"{name} {floats.size} {raw.size}\n".encode())
    f.write(raw.tobytes())
    f.write(floats.astype("<f4").tobytes())


def put_scale(name, raw, at, d):
    bits = d.astype(np.float16).view(np.uint16)
    if name != "IQ1_M":
        raw[:, at:at + 2] = bits.view(np.uint8).reshape(-1, 2)
        return
    for q in range(4):  # four bits of it in every other byte
        raw[:, at + 2 * q] = raw[:, at + 2 * q] & 15 | ((bits >> (4 * q)) & 15).astype(np.uint8) << 4


def decode_records(path, names, blocks, rng):
    with open(os.path.join(out, path), "wb") as f:
        f.write(b"made by ref/golden.py with gguf " + getattr(gguf, "__version__", "of PyPI").encode() + b"\n")
        for name in names:
            t = T[name]
            block, size = gguf.GGML_QUANT_SIZES[t]
            n = blocks if block == 256 else 1024 // block
            raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
            if block == 1:
                # all kinds of numbers, NaN left out: its payload is nobody's business
                raw = rng.normal(size=n).astype(np.float32)
                raw[:8] = [0, -0.0, 1, -1, 65504, 6e-8, 1e-5, -3e-5]
                raw = (raw if name == "F32" else quants.quantize(raw.reshape(1, -1), t)).view(np.uint8).reshape(n, size)
            if name == "MXFP4":
                raw[:4, 0] = [0, 1, 2, 255]
            for at in scales.get(name, []):
                # normal, subnormal, negative and zero scales
                d = (rng.normal(size=n) * 0.02).astype(np.float16)
                d[0], d[1] = 3e-7, -0.25
                d[2] = 0
                put_scale(name, raw, at, d)
            with np.errstate(all="ignore"):
                floats = quants.dequantize(raw.reshape(1, -1), t).ravel()
            record(f, name, raw.ravel(), floats)


decode_records("decode.golden", decode, 4, rng)

with open(os.path.join(out, "encode.golden"), "wb") as f:
    f.write(b"made by ref/golden.py with gguf " + getattr(gguf, "__version__", "of PyPI").encode() + b"\n")
    x = rng.normal(size=(16, 32)).astype(np.float32) * np.exp(rng.normal(size=(16, 1)) * 3).astype(np.float32)
    x[3] = 0
    x[4] = np.abs(x[4])
    x[5, 7] = 1000
    for name in encode:
        with np.errstate(all="ignore"):
            raw = quants.quantize(x.reshape(1, -1), T[name])
        record(f, name, raw.view(np.uint8).ravel(), x.ravel())

decode_records("decode-iq.golden", decode_iq, 4, np.random.default_rng(20261128))

with open(os.path.join(out, "all.golden"), "w") as f:
    f.write("made by ref/golden.py with gguf " + getattr(gguf, "__version__", "of PyPI") + "\n")
    for name in decode[3:] + decode_iq:
        block, size = gguf.GGML_QUANT_SIZES[T[name]]
        n = 1024 * 256 // block
        raw = np.frombuffer(hashlib.shake_256(name.encode()).digest(n * size), dtype=np.uint8).reshape(n, size).copy()
        for at in scales.get(name, []):
            put_scale(name, raw, at, np.ones(n))
        with np.errstate(all="ignore"):
            floats = quants.dequantize(raw.reshape(1, -1), T[name])
        f.write(f"{name} {n} {hashlib.sha256(floats.astype('<f4').tobytes()).hexdigest()}\n")
