# Prints ../testdata/blocks.txt: number, name, elements and bytes of a block of every tensor type, as ggml itself says.
#   python blocks.py .../libggml-base.so > ../testdata/blocks.txt     (from the npm package node-llama-cpp 3.22.1: llama.cpp v0.5.0)
import ctypes
import sys

ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_type_name.restype = ctypes.c_char_p
ggml.ggml_blck_size.restype = ctypes.c_int64
ggml.ggml_type_size.restype = ctypes.c_size_t
for number in range(43):  # GGML_TYPE_COUNT
    if ggml.ggml_blck_size(number):
        print(number, ggml.ggml_type_name(number).decode().upper(), ggml.ggml_blck_size(number), ggml.ggml_type_size(number))
