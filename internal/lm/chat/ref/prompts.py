#!/usr/bin/env python3
"""Makes testdata/prompts.json: conversations as transformers' apply_chat_template encodes them, by jinja2 and HF
tokenizers. Usage: ref/prompts.py SHARED > testdata/prompts.json. Needs jinja2 and tokenizers.

The content of the conversations holds no special token: there our prompts differ on purpose.
"""
import json
import os
import sys

import tokenizers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../format/jinja/ref"))
import render  # noqa: E402

CHATS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Name  three colours.\n\n"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": " \n"}],
    [
        {"role": "user", "content": "写一首诗 🌸 12345"},
        {"role": "assistant", "content": "床前明月光，\n疑是地上霜。", "reasoning_content": "李白\n静夜思"},
        {"role": "user", "content": "\tdef f(x):\n        return x < 3 and '<div>' "},
    ],
    [{"role": "user", "content": "e\u0301 ﬁ \u00a0\u3000 ｜ ▁ ありがとう 😀😀 <|im"}, {"role": "assistant", "content": "x"}],
]


def main():
    env = render.environment()
    out = {}
    for name in ("deepseek-v3", "minimind"):
        folder = f"{sys.argv[1]}/data/tokenizers/{name}"
        tok = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
        config = json.load(open(folder + "/tokenizer_config.json", encoding="utf-8"))
        variables = {"tools": None, "documents": None}
        for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
            value = config.get(key)
            if value is not None:
                variables[key] = value["content"] if isinstance(value, dict) else value
        template = env.from_string(config["chat_template"])
        out[name] = []
        for chat in CHATS:
            for finished in (False, True):
                text = template.render(messages=chat, add_generation_prompt=not finished, **variables)
                out[name].append({"messages": chat, "finished": finished, "ids": tok.encode(text, add_special_tokens=False).ids})
    made_by = f"ref/prompts.py with tokenizers {tokenizers.__version__}"
    print(json.dumps({"made_by": made_by, "prompts": out}, ensure_ascii=False))


if __name__ == "__main__":
    main()
