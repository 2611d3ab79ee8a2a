"""Texts that are hard for tokenizers: languages, symbols, white space, digits, random Unicode."""

import pathlib
import random
import re

HARD = pathlib.Path(__file__).parent.parent / "tests" / "data" / "hard_texts.txt"

SPACES = ("\t\n\v\f\r \x85\xa0\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
          "\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff\x1c\x1d\x1e\x1f")
DIGITS = "059٣۷९৪๕០၉０𝟘𝟿²½ⅧⅣ㊿፩༣〇"
PIECES = ["a", "Z", "word", "é", "e\u0301", "ß", "ж", "日", "本語", "한", "👍", "\u200d", "'s", "'S", "'",
          ".", ",", "!", "-", "$", "_", "\r\n", "\n", "\x00", "\x04", "\x7f", "  ", "   ", "\t\t"]


def white():
    """Every kind of white space alone, doubled, between, before and after things."""
    for s in SPACES:
        yield from (s, s + s, "a" + s + "b", "a" + s, s + "a", "a" + s * 3 + "b", s + "1", "1" + s + "2",
                    "a " + s + " b", "a" + s + ".", "." + s + "\n", s + "\n" + s + "a", "a " + s, s + " a")
    for n in (2, 3, 4, 7, 8, 15, 16, 17, 31, 64, 100):
        for s in " \n\t":
            yield from (s * n, "x" + s * n + "y", s * n + "1", "1" + s * n, s * n + ".")
    yield from ("\r\n", "\r\n\r\n", "a\r\nb", "a \r\n b", "\r\r\n\n", "x\n\n\n y", "x\n \n y", " \n", "\n ",
                "a\n\n  b", "a  \n\n1", ".\r\n\r\n", "!\n\n\nx", "a\x00b", "\x00", "\x00\x00 \x00")


def random_text(rng, n):
    """Characters of one block, of all blocks, and of the mean ones, mixed."""
    block = rng.choice((0x20, 0x80, 0x300, 0x370, 0x400, 0x590, 0x900, 0xe00, 0x1100, 0x1e00, 0x2000,
                        0x2190, 0x2e80, 0x3000, 0x4e00, 0xa000, 0xac00, 0xf900, 0xfe00, 0x10000,
                        0x1d400, 0x1f300, 0x20000, 0xe0000))
    out = []
    while len(out) < n:
        kind = rng.randrange(8)
        if kind < 3:
            c = chr(block + rng.randrange(256))
        elif kind == 3:
            c = chr(rng.choice((rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x110000))))
        else:
            c = rng.choice((rng.choice(SPACES), rng.choice(DIGITS), rng.choice(PIECES), " "))
        if not any(0xd800 <= ord(x) < 0xe000 for x in c):
            out.append(c)
    return "".join(out)


def unescape(line):
    """As tests/lines.h does."""
    plain = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
    return re.sub(r"\\(x[0-9a-f]{2}|.)", lambda m: plain.get(m[1]) or chr(int(m[1][1:], 16)), line)


def hard():
    lines = HARD.read_text(encoding="utf-8").split("\n")
    return [unescape(line) for line in lines if line and not line.startswith("# ")]


def fixed():
    yield ""
    yield from hard()
    yield from white()


def generated(count, seed=1):
    rng = random.Random(seed)
    sources = hard()
    for i in range(count):
        if i % 3 == 0:
            yield " ".join(rng.choice(sources) for _ in range(rng.randrange(2, 5)))
        elif i % 3 == 1:
            a, b = rng.choice(sources), rng.choice(sources)
            middle = rng.choice(PIECES + list(SPACES))
            yield a[: rng.randrange(len(a) + 1)] + middle + b[rng.randrange(len(b) + 1):]
        else:
            yield random_text(rng, rng.randrange(1, 40))
