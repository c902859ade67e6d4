"""Writes ../testdata/loose.json: what Python says of loose comparison and of json.dumps. Run: python3 ref/loose.py"""
import json, os, re
values = ["LOT 3, JALAN PELABUR 23/1,\n40300 SHAH ALAM.", "  A__B  ", "ÉCOLE №5", "RM 616.60", "", "…", "東京（株）", "a\tb\"c\\d", "\u0001x\u007f", "½ kg²", "Straße", "x\u0301", "😀 ok", "Ⅳ/IV", "</script>&"]
out = [{"value": v, "loose": re.sub(r"[\W_]+", " ", v.lower()).strip(), "json": json.dumps({"company": v, "total": ""}, ensure_ascii=False)} for v in values]
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testdata", "loose.json")
with open(path, "w") as f:
    json.dump({"by": "ref/loose.py", "cases": out}, f, ensure_ascii=False, indent=1)
