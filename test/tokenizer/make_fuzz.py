"""Writes what `tokenizers` makes of random text, for fuzz.test.ts.

    python make_fuzz.py OUT [--each 300] [--seed 1]

Reads every OUT/NAME.json, a tokenizer.json (write-tokenizers.ts puts them there), and writes
OUT/NAME.cases.jsonl: random strings with their ids, and ids with their text. Needs tokenizers 0.23.
The folder random holds 12 cases (--seed 5) of every tokenizer that is trained here.
"""

import argparse
import json
import random
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer

SPACES = " \t\n\r\v\f\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u061c\u200e\u202e\ufe0f\ufe0e\u034f"
CONTROL = "".join(chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)])
COMBINING = "\u0300\u0301\u0308\u0327\u0338\u20dd\u0e31\u094d\u1161\u11a8\u3099\U0001d165\u0345\u0f71"
ODD = "ﬁİıßẞſΣςǅ½①㎏Ⅷ\ufffd\ufffe\U0010ffff\ue000𝔘𝟙😀👩🏽🇩🇪한글각ｶﾞ\u0958\u2126\u212b\u0340\u0dcfאَ"
PIECES = ["'s", "'LL", "n't", "12345", "3.14", "▁", "▁▁", "Ġ", "##", "</w>", "<0x41>", "<0xE4>", "<0x0A>",
          "http://a.b/c?d=e", "x" * 40, "def f(x):\n\treturn x", "你好", "Привет", "مرحبا", "é", "e\u0301"]


def blocks():
    """Assigned characters of every block, some per block, none of them surrogates."""
    by_block = {}
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000 or unicodedata.category(chr(c)) in ("Cn", "Co"):
            continue
        by_block.setdefault(c >> 7, []).append(chr(c))
    return list(by_block.values())


class Text:
    def __init__(self, r, known, special):
        self.r, self.known, self.special, self.blocks = r, known, special, blocks()

    def lookalike(self):
        """A special token, or what nearly is one."""
        r = self.r
        token = r.choice(self.special or ["<s>", "<|endoftext|>"])
        at = r.randrange(len(token) + 1)
        return r.choice([token, token, token * 2, token[:at], token[at:], token[:at] + " " + token[at:],
                         token.upper(), " " + token + " ", token[:at] + "\u200b" + token[at:]])

    def piece(self):
        r = self.r
        kind = r.randrange(12)
        if kind == 0:
            return "".join(r.choice(SPACES) for _ in range(r.randint(1, 6)))
        if kind == 1:
            return r.choice(SPACES + "\n ") * r.choice([2, 3, 8, 33, 200])
        if kind == 2:
            return self.lookalike()
        if kind == 3:
            return r.choice(CONTROL + UNSEEN)
        if kind == 4:
            return r.choice("aeoAnkかᄀ𝔘 ") + "".join(r.choice(COMBINING) for _ in range(r.randint(1, 5)))
        if kind == 5:
            block = r.choice(self.blocks)
            return "".join(r.choice(block) for _ in range(r.randint(1, 8)))
        if kind == 6:
            return r.choice(ODD)
        if kind == 7:
            return r.choice(["a", "ab", "1", "=", "é", "😀", "-", "\u0301", "'"]) * r.choice([2, 5, 17, 130, 1000])
        if kind == 8:
            return r.choice(PIECES)
        if kind == 9:
            # Not what Unicode may have given a meaning since the reference was built: the planes
            # from the fourth on have none.
            c = r.choice([r.randrange(0xD800), r.randrange(0xE000, 0x40000), r.randrange(0x40000, 0x110000)])
            return chr(c) if c >= 0x40000 or unicodedata.category(chr(c)) != "Cn" else "\U000e0041"
        return r.choice(self.known)

    def text(self):
        return "".join(self.piece() for _ in range(self.r.choice([0, 1, 1, 2, 3, 5, 8, 20])))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--each", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    for path in sorted(given.out.glob("*.json")):
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        r = random.Random(f"{given.seed} {path.stem}")
        vocab = sorted(tokenizer.get_vocab().values())
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        known = sorted(tokenizer.get_vocab())
        source = Text(r, [t.replace("▁", " ").replace("Ġ", " ") for t in known], special)
        with open(path.with_suffix(".cases.jsonl"), "w", encoding="utf-8") as out:
            for _ in range(given.each):
                text = source.text()
                got = tokenizer.encode(text)
                tokenizer.encode_special_tokens = True
                plain = tokenizer.encode(text, add_special_tokens=False)
                tokenizer.encode_special_tokens = False
                shown = r.choice([got.ids, [r.choice(vocab) for _ in range(r.randint(0, 12))]])
                out.write(json.dumps({
                    "text": text, "ids": got.ids, "plain": plain.ids, "shown": shown,
                    "whole": tokenizer.decode(shown, skip_special_tokens=False),
                    "without": tokenizer.decode(shown)}, ensure_ascii=False) + "\n")
        print(path.stem, given.each, flush=True)


if __name__ == "__main__":
    main()
