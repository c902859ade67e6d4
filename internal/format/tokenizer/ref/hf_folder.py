"""Holds the tokenizers that TestToJSON keeps (RETORT_KEEP=DIR go test -run TestToJSON$) to golden ids.

    python hf_folder.py DIR TEXTS NAME=IDS...

TEXTS is a file of llama.cpp's test texts, or random.json. Each DIR/NAME is read by PyPI tokenizers (0.23.3), and by AutoTokenizer of transformers (5.24, no torch needed): ids without
special tokens, text back, what is added to a text, names of special tokens, the chat template.
"""
import json
import os
import sys
import tokenizers
from transformers import AutoTokenizer

end = "\n__ggml_vocab_test__\n"
text = open(sys.argv[2], encoding="utf-8", newline="").read()
texts = json.loads(text) if sys.argv[2].endswith(".json") else text.removesuffix(end).split(end)
failed = False
for pair in sys.argv[3:]:
    name, path = pair.split("=", 1)
    folder = os.path.join(sys.argv[1], name)
    want = [[int(i) for i in line.split()] for line in open(path).read().removesuffix("\n").split("\n") if not line.startswith("#")]
    assert len(want) == len(texts), (name, len(want), len(texts))
    config = json.load(open(folder + "/tokenizer_config.json"))
    fast = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
    auto = AutoTokenizer.from_pretrained(folder)
    bad = [0, 0, 0]
    for text, ids in zip(texts, want):
        if (got := fast.encode(text, add_special_tokens=False).ids) != ids:
            bad[0] += 1
            if bad[0] < 4:
                print(f"{name}: {text!r} became {got}, want {ids}")
        bad[1] += auto.encode(text, add_special_tokens=False) != ids
        bad[2] += auto.decode(ids) != text
    added = auto.encode("a")
    ends = not config["add_bos_token"] or added[0] == auto.convert_tokens_to_ids(config["bos_token"])
    ends = ends and (not config["add_eos_token"] or added[-1] == auto.convert_tokens_to_ids(config["eos_token"]))
    ends = ends and len(added) == len(auto.encode("a", add_special_tokens=False)) + config["add_bos_token"] + config["add_eos_token"]
    names = all(getattr(auto, k) == config[k] for k in ("bos_token", "eos_token", "pad_token", "unk_token"))
    chat = auto.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == (config["bos_token"] or "") + "<b>"
    print(f"{name}: {len(texts)} texts; {bad[0]} differ in tokenizers, {bad[1]} in {type(auto).__name__}, {bad[2]} come back otherwise; "
          f"added {ends}, names {names}, chat {chat}")
    failed = failed or any(bad[:2]) or not (ends and names and chat)
sys.exit(failed)
