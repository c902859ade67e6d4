"""How HF tokenizers (PyPI tokenizers 0.23.3) cuts words by expressions of published files, as ref/pretokenizers.py shows it.

    python pretokenizers_hf.py > ../testdata/pre_hf.json
"""
import json
import os
import sys
import tokenizers

here = os.path.dirname(os.path.abspath(__file__))
texts = json.load(open(os.path.join(here, "../testdata/pre.json")))["texts"]
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
REGEXES = {
    "seed-coder": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + SPACES,
    "bailingmoe": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "bloom": " ?[^(\\s|[.,!?…。，、।۔،])]+",
}
alphabet, n = [], 256
for b in range(256):
    plain = not (b < 0x21 or 0x7E < b < 0xA1 or b == 0xAD)
    alphabet.append(chr(b if plain else n))
    n += not plain
pairs = [(a, b) for a in alphabet for b in alphabet]
vocab = {text: i for i, text in enumerate(alphabet + [a + b for a, b in pairs])}
ids = {}
for name, regex in REGEXES.items():
    tok = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=pairs))
    tok.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([tokenizers.pre_tokenizers.Split(tokenizers.Regex(regex), "isolated"),
                                                            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    ids[name] = [tok.encode(t, add_special_tokens=False).ids for t in texts]
json.dump({"made by": f"ref/pretokenizers_hf.py (tokenizers {tokenizers.__version__})", "regexes": REGEXES, "ids": ids}, sys.stdout, separators=(",", ":"))
