#!/usr/bin/env python3
"""Makes testdata/tools.json: conversations with tools, calls and results as jinja2 renders the published templates of
them, set up as transformers does. Usage: ref/tools.py SHARED > testdata/tools.json. Needs jinja2.

Messages are OpenAI's. What a template wants otherwise stands in WANTS, found by reading it: the package must find the
same by asking. Where words of a conversation are not in the rendered text, the result is what is hidden.
"""
import copy
import glob
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../format/jinja/ref"))
import jinja2  # noqa: E402
import render  # noqa: E402

# text: arguments stay a string; null: no content is None; apart: what is said and what is called are two messages;
# system: a developer is called system.
WANTS = {
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": {"text", "null", "apart", "system"},
    "llama-cpp-deepseek-r1": {"apart", "system"},
    "meta-llama-Llama-3.1-8B-Instruct": {"apart"},
    "deepseek-ai-DeepSeek-V4": set(),
    "moonshotai-Kimi-K2": set(),
}
OTHERS = {"system"}

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city: <now> & \"later\"", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "城市名"}, "days": {"type": "integer", "minimum": 1, "default": 3}},
        "required": ["city"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"name": "not_called"}},
]


def call(n, name, **arguments):
    return {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}


ONE = [
    {"role": "system", "content": "Use tools."},
    {"role": "user", "content": "Weather in 北京?"},
    {"role": "assistant", "content": "", "tool_calls": [call(0, "get_weather", zcity="北京", days=2, x=[1, 2.5, None, True, {"k": "v\"\\\n<b>"}])]},
    {"role": "tool", "content": "{\"temp\": 21, \"note\": \"晴\"}", "tool_call_id": "call_0", "name": "get_weather"},
]
CHATS = {
    "question": ONE[:2],
    "one": ONE,
    "answered": ONE + [{"role": "assistant", "content": "21 degrees."}, {"role": "user", "content": "Thanks"}],
    "no arguments": [ONE[1], {"role": "assistant", "content": "", "tool_calls": [call(0, "now")]}, {"role": "tool", "content": "noon", "tool_call_id": "call_0"}],
    "said": [ONE[1], {**ONE[2], "content": "I shall look."}, ONE[3]],
    "two": [
        {"role": "user", "content": "Both"},
        {"role": "assistant", "content": "", "reasoning_content": "Two calls.", "tool_calls": [call(0, "get_weather", city="A"), call(1, "now")]},
        {"role": "tool", "content": "result1", "tool_call_id": "call_0"},
        {"role": "tool", "content": "result2", "tool_call_id": "call_1"},
    ],
    "developer": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
}


def shaped(messages, wants):
    """The messages as a template wants them."""
    out = []
    for m in copy.deepcopy(messages):
        if m["role"] == "developer" and "system" in wants:
            m["role"] = "system"
        calls = m.get("tool_calls")
        if calls and m["content"] and "apart" in wants:
            out.append({k: v for k, v in m.items() if k != "tool_calls"})
            m["content"] = ""
        if calls and not m["content"] and "null" in wants:
            m["content"] = None
        for c in calls or []:
            if "text" not in wants:
                c["function"]["arguments"] = json.loads(c["function"]["arguments"])
        out.append(m)
    return out


def words(messages, tools):
    """What the text must hold, as far as it can be told without knowing how a template escapes."""
    for m in messages:
        yield m["content"].split('"')[0].strip("{ ")
        for c in m.get("tool_calls", []):
            yield c["function"]["name"]
            yield from json.loads(c["function"]["arguments"])
    for t in tools or []:
        yield t["function"]["name"]


def main():
    env = render.environment()
    config = json.load(open(f"{sys.argv[1]}/data/tokenizers/deepseek-v3/tokenizer_config.json", encoding="utf-8"))
    tokens = {k: config[k]["content"] for k in ("bos_token", "eos_token", "pad_token") if isinstance(config.get(k), dict)}
    results = {}
    for path in sorted(glob.glob(f"{sys.argv[1]}/data/templates/*.jinja")):
        name = os.path.basename(path)[:-6]
        source = open(path, encoding="utf-8", newline="").read()
        results[name] = {}
        for chat, messages in CHATS.items():
            for tools in (None,) if chat in ("answered", "developer") else (None, TOOLS):
                got = render.render(env, source, {"messages": shaped(messages, WANTS.get(name, OTHERS)), "tools": tools, "documents": None,
                                                  "add_generation_prompt": True, **tokens})
                hidden = [w for w in words(messages, tools) if "text" in got and w not in got["text"]]
                results[name][chat + ("/tools" if tools else "")] = {"hidden": hidden} if hidden else got
    print(json.dumps({"made_by": "ref/tools.py with jinja2 " + jinja2.__version__, "tools": TOOLS, "chats": CHATS, "results": results},
                     ensure_ascii=False))


if __name__ == "__main__":
    main()
