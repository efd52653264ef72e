"""Writes reference.json: small tokenizers of every kind, and what `tokenizers` makes of odd texts.

Needs tokenizers 0.23. The tokenizers are trained here, on the sentences below.
"""

import json
import random
import unicodedata
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SENTENCES = [
    "The heads add two numbers, and the number after the equals sign is their sum.",
    "12 + 34 = 46; 7 * 8 = 56. What is 345 plus 678? It's 1023, isn't it?",
    "She'll say that they're wrong, but I'd say we've done it: naïve café, ÅNGSTRÖM.",
    "Привет, мир! 你好，世界。 こんにちは 안녕하세요 नमस्ते مرحبا 😀 👩‍👩‍👧 ½ ① ﬁ",
    "def add(a, b):\n\treturn a + b  # the sum\n\n\nfor i in range(10): print(add(i, i))",
] * 4
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = [f"<0x{i:02X}>" for i in range(256)]


def train(model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(SENTENCES, trainer(show_progress=False))
    return tokenizer


def bpe(size, special, **more):
    return lambda **k: trainers.BpeTrainer(vocab_size=size, special_tokens=special, **more, **k)


def byte_level(pre_tokenizer, normalizer=None, special=("<|end|>",)):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return train(
        models.BPE(),
        bpe(380, list(special), initial_alphabet=alphabet),
        pre_tokenizer=pre_tokenizer,
        normalizer=normalizer,
        decoder=decoders.ByteLevel(),
    )


def with_split(behavior, pattern, invert=False):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior, invert),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def sentencepiece(normalizer, pre_tokenizer, **model):
    return train(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True, **model),
        bpe(420, ["<unk>", "<s>", "</s>", *BYTES], limit_alphabet=60),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        decoder=decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        ),
        post_processor=processors.TemplateProcessing(
            single="<s> $A", pair=None, special_tokens=[("<s>", 1)]
        ),
    )


def tokenizers():
    gpt2 = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    gpt2.add_tokens(
        [
            AddedToken("<left>", lstrip=True),
            AddedToken("<right>", rstrip=True),
            AddedToken("<both>", lstrip=True, rstrip=True),
            AddedToken("sum", single_word=True),
            AddedToken("  "),
            AddedToken("<left><right>", special=True),
        ]
    )
    yield "byte-level, added tokens", gpt2
    yield "byte-level, GPT-4's pattern, NFC", byte_level(with_split("isolated", GPT4), normalizers.NFC())
    yield (
        "byte-level without all bytes",
        train(
            models.BPE(),
            bpe(200, []),
            pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoder=decoders.ByteLevel(),
        ),
    )
    for behavior in ("removed", "contiguous", "merged_with_previous", "merged_with_next"):
        yield f"split, {behavior}", byte_level(with_split(behavior, r"\w+"))
    yield (
        "split, classes within classes",
        byte_level(with_split("isolated", r" ?[^(\s|[.,!?…。，])]+|[a-z&&[^aeiou]]+|(?>a|ab)c|\p{L}++")),
    )
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    llama = sentencepiece(prepend, None)
    llama.add_tokens([AddedToken("[INST]", normalized=True), AddedToken("<raw>", normalized=False)])
    yield "byte fallback, prepended", llama
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    yield "byte fallback, metaspace", sentencepiece(normalizers.NFKC(), metaspace)
    yield (
        "some bytes, unknown tokens",
        train(
            models.BPE(unk_token="<unk>", fuse_unk=False, byte_fallback=True),
            bpe(300, ["<unk>", *(b for i, b in enumerate(BYTES) if i % 7)], limit_alphabet=40),
            pre_tokenizer=pre_tokenizers.Metaspace(),
            decoder=decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback()]),
        ),
    )
    yield (
        "subword prefix and word suffix",
        train(
            models.BPE(unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"),
            bpe(200, ["<unk>"], continuing_subword_prefix="##", end_of_word_suffix="</w>"),
            normalizer=normalizers.Sequence(
                [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
            ),
            pre_tokenizer=pre_tokenizers.Whitespace(),
            decoder=decoders.BPEDecoder("</w>"),
        ),
    )
    yield (
        "words",
        train(
            models.WordLevel(unk_token="<unk>"),
            lambda **k: trainers.WordLevelTrainer(special_tokens=["<unk>"], **k),
            pre_tokenizer=pre_tokenizers.Sequence(
                [
                    pre_tokenizers.WhitespaceSplit(),
                    pre_tokenizers.Punctuation(),
                    pre_tokenizers.Digits(individual_digits=True),
                ]
            ),
        ),
    )
    yield (
        "unigram",
        train(
            models.Unigram(),
            lambda **k: trainers.UnigramTrainer(
                vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", **k
            ),
            normalizer=normalizers.Sequence(
                [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
            ),
            pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"),
            decoder=decoders.Metaspace(prepend_scheme="first"),
        ),
    )
    yield (
        "word pieces",
        train(
            models.WordPiece(unk_token="[UNK]"),
            lambda **k: trainers.WordPieceTrainer(
                vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]"], **k
            ),
            normalizer=normalizers.BertNormalizer(),
            pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
            decoder=decoders.WordPiece(),
            post_processor=processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
        ),
    )


SPACES = "\t\n\r\x0b\x0c \x85\xa0\u1680\u2003\u2028\u202f\u3000\ufeff\u200b"
PIECES = "the sum sums isn't I'LL 'ſ naïve cafe\u0301 e\u0323\u0301 Å Σας İ ß ﬁ ½ ８ ｶﾞ 각 각 한 世界 你 नम мир 😀 👩‍👩‍👧 👍🏽 🇩🇪 12 345 6789 <left> <right> <both> <raw> [INST] <|end|> <s> <unk> <0x41> ▁ Ġ ## \x00 \x7f \u1df9 \uab69".split(" ")


def text_of(r):
    parts = []
    for _ in range(r.choice([1, 2, 3, 5, 9])):
        kind = r.random()
        if kind < 0.6:
            parts.append(r.choice(PIECES))
        elif kind < 0.75:
            parts.append(r.choice(SPACES) * r.choice([1, 1, 2, 5]))
        elif kind < 0.9:
            parts.append("".join(r.choice("abcEINST'<>[]().,;:+-=*/ ") for _ in range(r.randint(1, 6))))
        else:
            c = r.randrange(0x20, 0x1F700)
            # Only what every version of Unicode in use knows.
            parts.append(chr(c) if unicodedata.ucd_3_2_0.category(chr(c))[0] not in "C" else "?")
        if r.random() < 0.4:
            parts.append(" ")
    return "".join(parts)


def cases(tokenizer, seed):
    r = random.Random(seed)
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    for i in range(48):
        text = "" if i == 0 else text_of(r)
        ids = tokenizer.encode(text).ids
        shown = ids if i % 2 else [r.randrange(tokenizer.get_vocab_size()) for _ in range(8)]
        yield {
            "text": text,
            "ids": ids,
            "plain": plain.encode(text, add_special_tokens=False).ids,
            "shown": shown,
            "whole": tokenizer.decode(shown, skip_special_tokens=False),
            "without": tokenizer.decode(shown, skip_special_tokens=True),
        }


golden = [
    {"name": name, "tokenizer": json.loads(tokenizer.to_str()), "cases": list(cases(tokenizer, seed))}
    for seed, (name, tokenizer) in enumerate(tokenizers())
]
lines = ",\n".join(json.dumps(entry, ensure_ascii=True, separators=(",", ":")) for entry in golden)
Path(__file__).with_name("reference.json").write_text(f"[\n{lines}\n]\n")
