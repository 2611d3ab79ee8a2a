"""Compare our ids with Hugging Face `tokenizers`, line by line.

check_tokens.py TOOL_TOKENS MODEL [--generated N] [--special] [FILE]
    MODEL: a GGUF file (byte-level BPE) or a tokenizer.json, whose special tokens are always parsed
    texts: the lines of FILE ("-" for stdin), the hard ones of token_texts.py, N generated ones
    The ids go back to text, too, and are compared with what Hugging Face makes of them.
"""

import argparse
import subprocess
import sys

import hf_tokenizer
import token_texts


def run(args, lines, *mode):
    data = "".join(line + "\n" for line in lines).encode()
    out = subprocess.run([args.program, args.model, *mode], input=data, stdout=subprocess.PIPE).stdout
    out = out.decode().split("\n")[:-1]
    if len(out) != len(lines):
        sys.exit(f"{len(lines)} lines went in, {len(out)} came out")
    return out


def report(texts, ours, theirs, show):
    wrong = 0
    for text, a, b in zip(texts, ours, theirs):
        if a != b:
            wrong += 1
            if wrong <= show:
                print(f"{text!r}\n  ours   {a}\n  theirs {b}")
    return wrong


def compare(name, texts, tokenizer, args):
    if not texts:
        sys.exit(f"{name}: nothing to compare")
    special = ["special"] if args.special or args.model.endswith(".json") else []
    theirs = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    lines = [" ".join(map(str, ids)) for ids in theirs]
    wrong = report(texts, run(args, map_escape(texts), *special), lines, args.show)
    backs = [t.replace("\0", "\x01") for t in tokenizer.decode_batch(theirs, skip_special_tokens=False)]
    keep = [i for i, t in enumerate(texts) if "\0" not in t]  # ph_utf8_clean gives a C string
    lost = report([lines[i] for i in keep], run(args, [lines[i] for i in keep], "decode"),
                  map_escape([backs[i] for i in keep]), args.show)
    print(f"{name}: {len(texts)} texts, {sum(map(len, theirs))} ids, {wrong} texts differ, {lost} decoded")
    return wrong + lost


def map_escape(texts):
    return [hf_tokenizer.escape(t) for t in texts]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("model")
    p.add_argument("file", nargs="?")
    p.add_argument("--generated", type=int, default=9000)
    p.add_argument("--special", action="store_true")
    p.add_argument("--show", type=int, default=5)
    args = p.parse_args()

    tokenizer, control = hf_tokenizer.load(args.model)
    if args.special:
        hf_tokenizer.add_special(tokenizer, control)
    wrong = compare("hard", list(token_texts.fixed()), tokenizer, args)
    wrong += compare("generated", list(token_texts.generated(args.generated)), tokenizer, args)
    if args.file:
        stream = sys.stdin.buffer if args.file == "-" else open(args.file, "rb")
        lines = stream.read().decode().split("\n")
        wrong += compare(args.file, lines[:-1] if lines[-1] == "" else lines, tokenizer, args)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
