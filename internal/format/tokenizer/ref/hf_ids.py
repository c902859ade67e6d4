"""Ids that HF tokenizers (PyPI tokenizers 0.23.3) gives, one line a text, without BOS.

    python hf_ids.py TOKENIZER.json CASES.inp  > ../testdata/NAME.ids
    python hf_ids.py TOKENIZER.json TEXTS.json > ../testdata/random-NAME.ids

CASES.inp is a file of llama.cpp's test texts, TEXTS.json an array of strings from random_texts.py.
"""
import json
import sys
import tokenizers

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
end = "\n__ggml_vocab_test__\n"
text = open(sys.argv[2], encoding="utf-8", newline="").read()
texts = json.loads(text) if sys.argv[2].endswith(".json") else text.removesuffix(end).split(end)
print(f"# ref/hf_ids.py (tokenizers {tokenizers.__version__})")
for text in texts:
    print(*tokenizer.encode(text, add_special_tokens=False).ids)
