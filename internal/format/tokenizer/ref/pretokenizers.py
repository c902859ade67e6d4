"""How llama.cpp cuts words: ids of texts under each tokenizer.ggml.pre, with a vocabulary in which every two bytes merge, so
that ids show where words end.

    python pretokenizers.py SCRATCH > ../testdata/pre.json

SCRATCH is a folder with the npm package node-llama-cpp 3.22.1 (llama.cpp v0.5.0, shared/oracle/README.md); needs PyPI gguf.
"""
import json
import os
import subprocess
import sys
import tempfile
import gguf

here = os.path.dirname(os.path.abspath(__file__))
NAMES = sys.argv[2:] or ["kimi-k2", "seed-coder", "superbpe", "bailingmoe", "bloom", "viking", "minicpm5", "ufakzeka", "laguna", "jais-2", "exaone-moe"]
alphabet, n = [], 256
for b in range(256):
    plain = not (b < 0x21 or 0x7E < b < 0xA1 or b == 0xAD)
    alphabet.append(chr(b if plain else n))
    n += not plain
texts = json.load(open(os.path.join(here, "../testdata/random.json")))[:28] + [
    "1 12 123 1234 12345 123456 1234567 12345678", "12²345", "²12345", "٣٤٥١٢٣456", "x1y22z333a4444", "1035698٣٤٥", "123٣456789٣12", "3.14159, 1,234,567!", "1234567890123456789012345678901",
    "你好世界hello世界WORLD", "我's 们'LL they'LL", "'s 'S 'll don't DON'T 'tis", "Ünïcödé ÜBER e\u0301a\u0308 \u0301a", "人々〆𠀀豈", "a𠀀b", "！？。，你好、hello",
    "Hello world foo bar  baz\tqux", "one two\u0301 three 4 five", "end .\n\n next ;\r\n\r\n x", "a/b // c\n/d", "()[]{}|.,!?…।", "a (b|c)d, e. f!g", "  lead  and trail   ",
    "\n\n\n", " \n \n x", "\t\t x\u00a0\u00a0y\u3000z", " " * 700 + "x", "a" + " " * 41, "\t" * 9 + "\n" + " " * 5 + "y", "x = y+1; // ok\n", "\u0085a\u2028b", "İstanbul'da Ankara'ya",
    "한국어 텍스트 하나", "हिन्दी में पाठ", "שלום עולם", "\x00\x01 \x7f\u200b\u0378", "👩‍👩‍👧 🇩🇪❤️ ok", "—“quoted”—", "a_b__c", "ſ 'ſ I'ſ",
]
ids = {}
with tempfile.TemporaryDirectory() as tmp:
    cases = os.path.join(tmp, "texts.json")
    json.dump(texts, open(cases, "w"))
    script = os.path.join(sys.argv[1], "pretokenizers_ids.mjs")
    open(script, "w").write(open(os.path.join(here, "llamacpp_ids.mjs")).read())
    for name in NAMES:
        path = os.path.join(tmp, name + ".gguf")
        w = gguf.GGUFWriter(path, "llama")
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre(name)
        w.add_token_list(alphabet + [a + b for a in alphabet for b in alphabet])
        w.add_token_types([1] * (256 + 65536))
        w.add_token_merges([a + " " + b for a in alphabet for b in alphabet])
        w.add_add_bos_token(False)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()
        subprocess.run(["node", script, path, cases, path + ".ids"], check=True)
        ids[name] = [[int(i) for i in line.split()] for line in open(path + ".ids").read().removesuffix("\n").split("\n")[1:]]
    os.remove(script)
json.dump({"made by": "ref/pretokenizers.py (llama.cpp v0.5.0)", "texts": texts, "ids": ids}, sys.stdout, separators=(",", ":"))
