"""Ids that HF tokenizers (PyPI tokenizers 0.23.3) gives for llama.cpp's test texts, one line a text, without BOS.

    python hf_ids.py TOKENIZER.json CASES.inp > ../testdata/NAME.ids
"""
import sys
import tokenizers

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
end = "\n__ggml_vocab_test__\n"
text = open(sys.argv[2], encoding="utf-8", newline="").read()
print(f"# ref/hf_ids.py (tokenizers {tokenizers.__version__})")
for case in text.removesuffix(end).split(end):
    print(*tokenizer.encode(case, add_special_tokens=False).ids)
