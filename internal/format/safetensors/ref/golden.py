# Makes the files in ../testdata with the reference library.   pip install safetensors==0.8.0 && python golden.py
#   dtypes.safetensors   a tensor of every dtype that we know, a scalar, an empty tensor, a name with escapes
#   sharded/             two shards and their index
import ctypes
import json
import pathlib
from safetensors import TensorSpec, serialize

testdata = pathlib.Path(__file__).parent.parent / "testdata"


def save(path, tensors, metadata):
    """tensors: name -> (dtype, shape, bytes)"""
    kept = {name: ctypes.create_string_buffer(data, max(1, len(data))) for name, (_, _, data) in tensors.items()}
    specs = {
        name: TensorSpec(dtype=dtype, shape=shape, data_ptr=ctypes.addressof(kept[name]), data_len=len(data))
        for name, (dtype, shape, data) in tensors.items()
    }
    path.write_bytes(serialize(specs, metadata))


def count(n, start=0):
    return bytes((start + i) % 256 for i in range(n))


sizes = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e8m0fnu": 1,
}
tensors = {dtype: (dtype, [2, 3], count(6 * size)) for dtype, size in sizes.items()}
tensors["bool"] = ("bool", [2], b"\0\1")
tensors["scalar"] = ("float32", [], count(4))
tensors["empty"] = ("float32", [0, 7], b"")
tensors['escaped "\u00e9\u9375\\/\n'] = ("uint8", [1, 1, 1, 1], b"\7")
save(testdata / "dtypes.safetensors", tensors, {"format": "pt"})

(testdata / "sharded").mkdir(exist_ok=True)
shards = [
    {"model.b": ("float32", [4, 2], count(32)), "model.a": ("bfloat16", [4], count(8, 100))},
    {"lm_head": ("float32", [5, 2], count(40, 50))},
]
index = {"metadata": {"total_size": 80}, "weight_map": {}}
for i, shard in enumerate(shards):
    name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
    save(testdata / "sharded" / name, shard, {"format": "pt"})
    index["weight_map"] |= {tensor: name for tensor in shard}
text = json.dumps(index, indent=2, sort_keys=True) + "\n"
(testdata / "sharded" / "model.safetensors.index.json").write_text(text)
