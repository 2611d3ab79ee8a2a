"""Compare our ids with Hugging Face `tokenizers`, line by line.

check_tokens.py TOOL_TOKENS MODEL.gguf [--generated N] [--special] [FILE]
    texts: the lines of FILE ("-" for stdin), the hard ones of token_texts.py, N generated ones
"""

import argparse
import subprocess
import sys

import hf_tokenizer
import token_texts


def ours(program, model, texts, special):
    command = [program, model] + (["special"] if special else [])
    data = "".join(hf_tokenizer.escape(t) + "\n" for t in texts).encode()
    out = subprocess.run(command, input=data, stdout=subprocess.PIPE).stdout.decode().split("\n")[:-1]
    if len(out) != len(texts):
        sys.exit(f"{len(texts)} texts went in, {len(out)} lines came out")
    return out


def compare(name, texts, tokenizer, args):
    if not texts:
        sys.exit(f"{name}: nothing to compare")
    theirs = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    wrong = ids = 0
    for text, a, b in zip(texts, ours(args.program, args.model, texts, args.special), theirs):
        ids += len(b)
        if a != " ".join(map(str, b)):
            wrong += 1
            if wrong <= args.show:
                print(f"{text!r}\n  ours   {a}\n  theirs {' '.join(map(str, b))}")
    print(f"{name}: {len(texts)} texts, {ids} ids, {wrong} texts differ")
    return wrong


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
