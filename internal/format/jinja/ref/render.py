#!/usr/bin/env python3
"""Renders chat templates with Jinja2 set up as transformers does (chat_template_utils.py), for the golden files
of the package: ref/render.py SHARED MODELS > testdata/golden.json; ref/render.py --cases > new; mv new testdata/cases.json,
which keeps the file's templates and variables and fills in their results.

Needs jinja2 alone. Two things differ from transformers, both so that templates which llama.cpp ships render: tojson
takes a generator as a list, and from_json is a filter. strftime_now tells a fixed date.
"""
import datetime
import glob
import json
import os
import struct
import sys
import types

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = datetime.datetime(2025, 3, 4, 5, 6, 7)
HERE = os.path.dirname(os.path.abspath(__file__))


class Generation(jinja2.ext.Extension):
    """The generation tag, whose words pass through."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_words"), [], [], body).set_lineno(line)

    def _words(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def generators(v):
        if isinstance(v, types.GeneratorType):
            return list(v)
        raise TypeError(f"Object of type {type(v).__name__} is not JSON serializable")

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys,
                          default=generators)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def gguf_template(path):
    """The value of tokenizer.chat_template, or None."""
    with open(path, "rb") as f:
        def read(fmt):
            return struct.unpack("<" + fmt, f.read(struct.calcsize("<" + fmt)))[0]

        def value(kind):
            if kind == 8:
                return f.read(read("Q"))
            if kind == 9:
                inner, n = read("I"), read("Q")
                return [value(inner) for _ in range(n)]
            return read({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])

        read("Q")
        read("Q")
        for _ in range(read("Q")):
            key = f.read(read("Q"))
            got = value(read("I"))
            if key == b"tokenizer.chat_template":
                return got.decode()
    return None


def templates(shared, models):
    for path in sorted(glob.glob(f"{shared}/data/templates/*.jinja")):
        yield "templates/" + os.path.basename(path), open(path, encoding="utf-8", newline="").read()
    for path in sorted(glob.glob(f"{shared}/data/tokenizers/*/tokenizer_config.json")):
        yield "tokenizers/" + path.split("/")[-2], json.load(open(path, encoding="utf-8"))["chat_template"]
    for path in sorted(glob.glob(f"{models}/*.gguf")):
        if text := gguf_template(path):
            yield "models/" + os.path.basename(path)[:-5], text


def render(env, source, variables):
    try:
        return {"text": env.from_string(source).render(**variables)}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}


def main():
    env = environment()
    if sys.argv[1] == "--cases":
        out = json.load(open(f"{HERE}/../testdata/cases.json", encoding="utf-8"))
        out["made_by"] = "ref/render.py with jinja2 " + jinja2.__version__
        out["cases"] = [{"template": c["template"], **render(env, c["template"], out["vars"])} for c in out["cases"]]
    else:
        chats = json.load(open(f"{HERE}/../testdata/conversations.json", encoding="utf-8"))
        results = {}
        for name, source in templates(sys.argv[1], sys.argv[2]):
            results[name] = {}
            for chat in chats:
                got = render(env, source, chat["vars"])
                results[name][chat["name"]] = got
        out = {"made_by": "ref/render.py with jinja2 " + jinja2.__version__, "results": results}
    print(json.dumps(out, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
