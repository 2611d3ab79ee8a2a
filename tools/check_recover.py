"""Measure recovery on the default model: what the project promises of it, on one page.

    check_recover.py PHOSPHENE [-m MODEL.gguf] [--blocks 1,8,30] [--texts N] [--seeds N] [--skip descent|exact]

exact     N texts (20) of 5 to 30 tokens from the output of each block of the trained model: every text must
          come back whole, and a tenth of the vocabulary be tried at most, on average over the positions; at
          the deepest block at most 10 s may go by for each token.
descent   "The sky is blue." from block 1 of an untrained model of the same shape, with the command's own
          settings, for N seeds (10, of the weights and of the start alike): all five tokens in at least 8
          of 10. The trained model's figure stands beside it, for information.

Prints a table. Exit status 0: all promises hold; 1: one does not, or nothing was measured; 2: usage.
"""

import argparse
import json
import os
import subprocess
import sys

TEXTS = [
    "The sky is blue, and the sea answers it.",
    "Once upon a time there was a lighthouse keeper who wrote letters to ships that never came.",
    "I don't think it's going to rain tomorrow; bring an umbrella anyway.",
    "We hold these truths to be self-evident.",
    "Colorless green ideas sleep furiously.",
    "def f(x):\n    return x + 1",
    "for (int i = 0; i < n; i++) sum += a[i];",
    "SELECT name, COUNT(*) FROM users WHERE age >= 21 GROUP BY name;",
    '{"id": 17, "tags": ["a", "b"], "ok": true}',
    "git commit -m 'Fix typo' && git push",
    "Der Fluss fließt über 3.14 Brücken.",
    "La lune se lève derrière les montagnes.",
    "El niño comió una manzana roja.",
    "Москва слезам не верит.",
    "今日は良い天気です。",
    "3.14159 26535 89793",
    "2024-11-25T01:46:10Z",
    "E = mc^2, so what?",
    "  two  blanks\tand a tab\n\nand lines",
    "asdf qwerty ZXCV 🙂 hjkl",
]
VOCABULARY_SHARE = 0.1
SECONDS_PER_TOKEN = 10
SEEDS_OF_TEN = 8


def run(tool, *args):
    p = subprocess.run([tool, "recover", "--json", "--no-store", *args], stdout=subprocess.PIPE, check=False)
    if p.returncode != 0:
        sys.exit(f"check_recover: {args}: exit {p.returncode}")
    return [row for row in map(json.loads, p.stdout.decode().splitlines()) if row["type"] == "recover"]


def vocabulary(tool, model):
    p = subprocess.run([tool, "info", "--json", "-m", model], stdout=subprocess.PIPE, check=True)
    return json.loads(p.stdout.decode().splitlines()[1])["vocab"]


def check_exact(tool, model, blocks, texts):
    size = vocabulary(tool, model)
    holds = bool(texts)
    print(f"exact   {'texts':>7} {'tokens':>6} {'returned':>8} {'tried':>7} {'share':>6} {'most':>6} {'s/token':>8} "
          f"{'forwards/token':>14} {'worst off':>9}")  # fmt: skip
    for block in blocks:
        rows = [run(tool, "--method", "exact", f"block {block} [:, :, :]", text, "-m", model)[0] for text in texts]
        tokens = sum(r["of"] for r in rows)
        whole = sum(r["matched"] == r["of"] for r in rows)
        tried = sum(r["tried"] for r in rows) / tokens
        seconds = sum(r["seconds"] for r in rows) / tokens
        slow = seconds > SECONDS_PER_TOKEN
        print(f"block {block:<2} {len(rows):>6} {tokens:>6} {whole:>8} {tried:>7.0f} {tried / size:>6.1%} "
              f"{max(r['tried'] / r['of'] for r in rows):>6.0f} {seconds:>8.2f} "
              f"{sum(r['token_forwards'] for r in rows) / tokens:>14.0f} "
              f"{max(r['worst_found'] for r in rows):>9.1e}", flush=True)  # fmt: skip
        for text, r in zip(texts, rows):
            if not 5 <= r["of"] <= 30:
                sys.exit(f"check_recover: {text!r} has {r['of']} tokens")
            if r["matched"] != r["of"]:
                print(f"  {text!r} came back as {r['text']!r}")
        holds &= whole == len(rows) and tried <= VOCABULARY_SHARE * size and not slow
    return holds


def check_descent(tool, model, seeds):
    text = ("block 1 [:, :, :]", "The sky is blue.", "-m")
    whole, trained = [], []
    for seed in range(seeds):
        numbers = ("--seed", str(seed), "--init-seed", str(seed))
        whole += run(tool, *text, f"untrained:{model}", *numbers)
        trained += run(tool, *text, model, "--seed", str(seed))
    got = sum(r["matched"] == r["of"] for r in whole)
    print(f"descent untrained: whole in {got} of {seeds} seeds, matched {[r['matched'] for r in whole]} of 5")
    print(f"descent trained:   matched {[r['matched'] for r in trained]} of 5, nearer than noise in "
          f"{sum(r['distance'] < r['random_distance'] for r in trained)}")  # fmt: skip
    return seeds > 0 and got * 10 >= SEEDS_OF_TEN * seeds


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("tool")
    parser.add_argument("-m", "--model", default=os.environ.get("PHOSPHENE_MODEL"))
    parser.add_argument("--blocks", default="1,8,30")
    parser.add_argument("--texts", type=int, default=len(TEXTS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--skip", choices=("descent", "exact"))
    args = parser.parse_args()
    if not args.model:
        parser.error("which model? -m MODEL.gguf or $PHOSPHENE_MODEL")
    holds = True
    if args.skip != "descent":
        holds &= check_descent(args.tool, args.model, args.seeds)
    if args.skip != "exact":
        holds &= check_exact(args.tool, args.model, args.blocks.split(","), TEXTS[: args.texts])
    print("all promises hold" if holds else "A PROMISE DOES NOT HOLD")
    return not holds


if __name__ == "__main__":
    sys.exit(main())
