#!/usr/bin/env python3
"""Writes ../grids.bin: the tables of ggml's IQ formats, as the Python package gguf has them (pip install gguf numpy).

They are ggml-common.h's iq2xxs_grid, iq2xs_grid, iq2s_grid, iq3xxs_grid, iq3s_grid and iq1s_grid, in this order. An
entry is 16 bits, little endian, that number the values of its eight weights (two bits each) or four (four bits each) out of
the format's few, the first weight in the lowest bits.
"""
import os
from gguf import quants

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "..", "grids.bin"), "wb") as f:
    for name in "IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ1_S".split():
        kind = getattr(quants, name)
        packed = bytes.fromhex(kind.grid_hex.decode())
        assert len(packed) == 2 * kind.grid_shape[0], name
        f.write(packed)
