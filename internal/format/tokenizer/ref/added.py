"""How HF tokenizers (PyPI tokenizers 0.23.3) finds added tokens: random sets of them over one tiny vocabulary, with texts.

    python added.py > ../testdata/added.json

The tokens are over few letters, so that they overlap, with all flags, and with normalizers that make them or unmake them.
"""
import json
import random
import sys
import tokenizers

rng = random.Random(14)
alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
vocab = {c: i for i, c in enumerate(alphabet)}
for word in ["th", "the", "Ġth", "Ġthe", "ui"]:
    vocab[word] = len(vocab)
base = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "post_processor": None, "decoder": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": ["t h", "th e", "Ġ th", "Ġ the", "u i"]}}
NORMALIZERS = [None, None, {"type": "Lowercase"}, {"type": "NFC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"},
               {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "a"}, {"type": "Lowercase"}]}]
POOL = ["the", "The", "the q", "e quick", "q", "quick", "ic", " ", "  ", "\n", "a", "ab", "b", "_", "A B", "é", "e\u0301", "E\u0301", "<x>", "<|y|>", "ß", "_t", "th", "ck a", "aa"]
WORDS = ["the", "The", " ", " ", "  ", "quick", "q", "e quick", "a", "b", "A", "_", "é", "e\u0301", "<x>", "<|y|>", "ß", "\n", "\u3000", "1", ".", "ick", "THE", "\u200d", "Ⅷ"]


def token(content, **flags):
    names = ["single_word", "lstrip", "rstrip", "normalized", "special"]
    return {"id": None, "content": content} | {n: flags.get(n, False) for n in names}


def case(added, normalizer, texts):
    next_id = len(vocab)
    for t in added:  # as HF numbers them, whatever the file says
        t["id"] = vocab.get(t["content"], next_id)
        next_id += t["id"] == next_id
    file = base | {"added_tokens": added, "normalizer": normalizer}
    tok = tokenizers.Tokenizer.from_str(json.dumps(file))
    seen = [(t["normalized"], tok.normalizer.normalize_str(t["content"]) if t["normalized"] and normalizer else t["content"]) for t in added]
    if len(set(seen)) < len(seen):
        return None  # two tokens of one text: HF takes either, by the order of a hash map
    return {"added_tokens": added, "normalizer": normalizer, "texts": texts, "ids": [tok.encode(t, add_special_tokens=False).ids for t in texts]}


cases = [
    # Two passes also where nothing is normalized, and where a word of its own stands beside another token.
    case([token("the q", normalized=True), token("e quick")], None, ["the quick", "the q e quick", "e quicthe q"]),
    case([token("the", single_word=True), token("<x>")], None, ["<x>the", "the<x>the the", "<x>_the"]),
    case([token("the", single_word=True, normalized=True), token("a")], None, ["athe", "athea", "the a the_"]),
    case([token("the", normalized=True), token("The", special=True), token("THE Q", normalized=True)], {"type": "Lowercase"},
         ["the The THE tHE", "THEThe", "the Q"]),
]
for n in range(30):
    contents = rng.sample(POOL, rng.randint(2, 7))
    added = []
    for c in contents:
        flags = {f: rng.random() < p for f, p in [("single_word", 0.35), ("lstrip", 0.25), ("rstrip", 0.25), ("normalized", 0.5), ("special", 0.4)]}
        flags["special"] = flags["special"] and c not in vocab  # no text of others becomes a control token here
        added.append(token(c, **flags))
    texts = ["".join(rng.choice(WORDS + contents * 2) for _ in range(rng.randint(1, 8))) for _ in range(16)]
    cases.append(case(added, NORMALIZERS[n % len(NORMALIZERS)], texts))
json.dump({"made by": f"ref/added.py (tokenizers {tokenizers.__version__})", "tokenizer": base, "cases": [c for c in cases if c]}, sys.stdout, ensure_ascii=True, separators=(",", ":"))
