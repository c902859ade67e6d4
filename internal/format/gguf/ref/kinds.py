# Makes ../testdata/kinds.gguf with llama.cpp's gguf-py: every kind of metadata value, arrays of every kind, an array of
# arrays, and tensors of four formats.   pip install gguf==0.19.0 && python kinds.py
import pathlib
import numpy as np
from gguf import GGUFWriter, GGUFValueType as V, GGMLQuantizationType as Q

out = pathlib.Path(__file__).parent.parent / "testdata" / "kinds.gguf"
w = GGUFWriter(str(out), "kinds")
limits = {
    V.UINT8: (0, 255), V.INT8: (-128, 127), V.UINT16: (0, 65535), V.INT16: (-32768, 32767),
    V.UINT32: (0, 2**32 - 1), V.INT32: (-2**31, 2**31 - 1), V.UINT64: (0, 2**64 - 1), V.INT64: (-2**63, 2**63 - 1),
    V.FLOAT32: (-1.5, 3.4028234663852886e38), V.FLOAT64: (-1.5, 1.7976931348623157e308),
    V.BOOL: (False, True), V.STRING: ("", "naïve 鍵 \U0001f511"),
}
for kind, (low, high) in limits.items():
    w.add_key_value("one." + kind.name.lower(), high, kind)
for kind, (low, high) in limits.items():
    w.add_key_value("many." + kind.name.lower(), [low, high, high], V.ARRAY, kind)
w.add_key_value("nested", [[1, 2], [3]], V.ARRAY)
w.add_tensor("f32", np.arange(6, dtype=np.float32).reshape(2, 3))
w.add_tensor("f16", np.arange(5, dtype=np.float16))
w.add_tensor("i8", np.arange(24, dtype=np.int8).reshape(2, 3, 4))
w.add_tensor("q8_0", np.arange(3 * 68, dtype=np.uint8).reshape(3, 68), raw_dtype=Q.Q8_0)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
