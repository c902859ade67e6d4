"""Random texts that are hard for tokenizers, as a JSON array of strings.

    python random_texts.py COUNT SEED > TEXTS.json

Pieces: words of many scripts, runs of spaces and line ends, digits of several kinds, punctuation, contractions in odd
case, emoji with joiners, combining marks, controls, private and unassigned code points, snippets of code and markup.
"""
import json
import random
import sys

count, seed = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
RANGES = [(0x20, 0x7E)] * 6 + [
    (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x2AF), (0x2B0, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xE00, 0xE7F), (0x1000, 0x109F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1C80, 0x1CBF), (0x1D00, 0x1DBF), (0x1E00, 0x1FFF),
    (0x2000, 0x206F), (0x2070, 0x209F), (0x20A0, 0x20CF), (0x2100, 0x218F), (0x2190, 0x22FF), (0x2460, 0x24FF),
    (0x2600, 0x27BF), (0x2C00, 0x2DFF), (0x3000, 0x303F), (0x3040, 0x30FF), (0x3100, 0x318F), (0x3200, 0x33FF),
    (0x4E00, 0x9FFF), (0x4E00, 0x9FFF), (0xA640, 0xA7FF), (0xAB30, 0xABBF), (0xAC00, 0xD7FF), (0xE000, 0xE0FF),
    (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFFFF), (0x10000, 0x100FF), (0x10400, 0x104FF), (0x1D400, 0x1D7FF),
    (0x1E900, 0x1E95F), (0x1F100, 0x1F1FF), (0x1F300, 0x1F6FF), (0x1F900, 0x1F9FF), (0x20000, 0x20100), (0xE0100, 0xE01EF),
]
SPACES = [" ", "  ", "   ", "    ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\t\n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\x85", "\x0b", "\x0c", "\u200b"]
FIXED = [
    "'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "'\u017f", "\u2019s", "don't", "I'M", "we'LL", "it's",
    "the", " the", "Hello", "HELLO", "helloWorld", "DeepSeek", " token", "2024-11-23", "3.14159", "1,234,567", "0x1F", "１２３",
    "٣٤٥", "½", "②", "Ⅷ", "x²", "你好", "世界", "。", "，", "「", "」", "？！", "ひらがな", "カタカナ", "한국어", "ประเทศ", "हिन्दी", "שלום",
    "مرحبا", "Ünïcödé", "e\u0301", "a\u0308\u0323", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️", "~", "~~", " ~", "~a", "`", "```go\n", "```\n", "$x$", "\\frac{a}{b}",
    "//", "/*", "*/", "==", "!=", "->", "=>", "<br>", "</p>", "<|x|>", "[INST]", "{\"a\": 1}", "http://a.b/c?d=e&f=g", "user@example.com",
    "\x00", "\x01\x02", "\x7f", "\u200d", "\ufeff", "\ufffd", "\u0378", "_", "__init__", "...", "…", "--", "—", "#", "##", "@", "%", "^", "+", "|",
]


def piece():
    kind = rng.random()
    if kind < 0.30:
        return rng.choice(FIXED)
    if kind < 0.50:
        return "".join(rng.choice(SPACES[:8] if rng.random() < 0.7 else SPACES) for _ in range(rng.choice([1, 1, 1, 2, 3])))
    if kind < 0.60:
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 8)))
    if kind < 0.75:
        word = "".join(rng.choice("etaoinshrdlucmfwypvbgkjqxz") for _ in range(rng.randint(1, 9)))
        return rng.choice([word, word.upper(), word.capitalize()])
    low, high = rng.choice(RANGES)
    return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5)))


texts = ["".join(piece() for _ in range(rng.randint(1, 14))) for _ in range(count)]
json.dump([t for t in texts], sys.stdout, ensure_ascii=True, indent=0)
