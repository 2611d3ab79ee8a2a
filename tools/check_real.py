"""Compare a built phosphene with PyTorch on a real model, on random texts, places and features.

    check_real.py PHOSPHENE [-m MODEL.gguf] [-n JOBS] [--seed N] [--only JOB] [--kinds score,attribute,…]
    check_real.py --oracle [-n JOBS]          PyTorch alone: float32 against float64

Each job is a text, a place and three features of it, and runs

    phosphene score     'SPEC,SPEC,SPEC' TEXT --json
    phosphene attribute 'SPEC,SPEC,SPEC' TEXT --json
    phosphene dream     'SPEC,SPEC,SPEC' --start text:TEXT --steps 8 --restarts 1 --tokens T --json

and, once for the model, complete search over the whole vocabulary for held-back features of five blocks,
after the default context and without, and greedy search for two features (complete.py):

    phosphene scan  'SPEC,SPEC,…' --top 5 --json [--bos off]
    phosphene dream SPEC --method greedy --tokens 3 --json

Ids, context and canonical names must be equal, numbers within 1e-3 of the largest value of their row.
Only the part of a descent curve that float32 repeats is compared (oracle.stable). Exit status 0: all
equal; 1: not, or nothing was compared; 2: usage. The command that differs is printed.
"""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
from functools import partial

import numpy as np
import torch

import complete
import oracle
from oracle import Feature, Tap

LIMIT = 1e-3
CURVE_NOISE = 2e-5  # stricter than the golden's: nobody looks at these curves beforehand
STEPS = 8
KINDS = ("score", "attribute", "dream")  # of every job
WHOLE = ("scan", "greedy")  # once
PLACES = ("block", "block", "block", "block", "attn", "mlp", "neuron", "only", "final", "logits")
WORDS = (
    "the river ran under a bridge of stone where nobody had ever asked for water Haus geht über "
    "naïve été señor world model 2024 3.14 x += 1; return None int main() { } Москва город "
    "東京 です 你好 世界 مرحبا بك שלום γειά 🙂 🚀 don't we'll it's HTTP https://a.b/c?d=e"
).split(" ")
ALPHABETS = ("abcdefghijklmnop XYZ", "äöüßéèñçøå ", "абвгдежзиклмн ", "的一是不了人我在有他", "ابتثجحخدذر ", "あいうえおカキク", "0123456789 .,-", "🙂🚀🍕👩❤ ")  # fmt: skip


# ---- jobs --------------------------------------------------------------------------------------


def random_text(rng, tokenizer, tokens):
    kind = rng.integers(3)
    if kind == 0:
        text = " ".join(rng.choice(WORDS, rng.integers(1, 9)))
    elif kind == 1:
        alphabet = list(ALPHABETS[rng.integers(len(ALPHABETS))])
        text = "".join(rng.choice(alphabet, rng.integers(2, 9)))
    else:  # tokens of the vocabulary, not often seen together
        text = tokenizer.decode([int(i) for i in rng.integers(17, len(tokens), rng.integers(2, 12))])
    plain = text.strip() and text[0] != "-" and "\0" not in text and "\ufffd" not in text
    return text if plain else random_text(rng, tokenizer, tokens)


def random_features(rng, config):
    place = PLACES[rng.integers(len(PLACES))]
    only = place == "only"
    place = "block" if only else place
    block = 0 if place in ("final", "logits") else int(rng.integers(1, config.num_hidden_layers + 1))
    tap = Tap(place, block, only)
    width = {"neuron": config.intermediate_size, "logits": config.vocab_size}.get(place, config.hidden_size)
    a, b, c = (int(i) for i in rng.integers(0, width - 4, 3))
    return Feature(tap, a, a + 1), Feature(tap, b, b + 1, -1), Feature(tap, c, c + 4)


class Job:
    def __init__(self, seed, n, config, tokenizer, tokens):
        rng = np.random.default_rng([seed, n])
        self.n = n
        self.text = random_text(rng, tokenizer, tokens)
        self.ids = tokenizer.encode(self.text, add_special_tokens=False).ids
        self.features = random_features(rng, config)
        self.spec = ",".join(str(f) for f in self.features)


# ---- the two sides -----------------------------------------------------------------------------


def expected(kind, model, model64, job, context):
    """One dict of rows per feature: field -> numbers that phosphene must give."""
    E = oracle.embed(model, job.ids)
    if kind == "dream":
        x, exact = (oracle.descend(m, job.features, E.to(m.dtype), context, STEPS) for m in (model, model64))
        return [{"curve": row[:n].tolist()} for row, n in zip(x, oracle.stable(x, exact, CURVE_NOISE))]
    values, activation, norm, product = oracle.attribute(model, job.features, E, context)
    rows = []
    for i in range(len(job.features)):
        row = {"values": values[i].tolist(), "activation": [float(activation[i])]}
        if kind == "attribute":
            row = {"grad_norm": norm[i].tolist(), "grad_x_input": product[i].tolist()}
        rows.append(row)
    return rows


def command(args, kind, job):
    head = [args.phosphene, kind, job.spec]
    if kind == "dream":
        head += ["--start", "text:" + job.text, "--steps", str(STEPS), "--restarts", "1"]
        head += ["--tokens", str(len(job.ids))]
    else:
        head.append(job.text)
    return head + ["--json", "-m", args.model]


def lines_of(cmd):
    done = subprocess.run([*cmd, "--no-store"], capture_output=True, timeout=900)
    if done.returncode:
        raise ValueError(f"exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def difference(field, got, want, scale):
    """Relative to scale; refuses what is not a list of that many numbers."""
    got = [got] if field == "activation" else got
    if field == "curve":  # all points must be there, the first of them are compared
        if len(got) != STEPS + 1:
            raise ValueError(f"curve has {len(got)} points, expected {STEPS + 1}")
        got = got[: len(want)]
    if len(got) != len(want):
        raise ValueError(f"{field} has {len(got)} numbers, expected {len(want)}")
    if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in got):
        raise ValueError(f"{field} is {got}")
    return max(abs(x - y) for x, y in zip(got, want)) / scale


def compare(kind, job, context, want, lines, worst):
    """Raises ValueError at the first contradiction; returns the number of numbers compared."""
    run, results = lines[0], [line for line in lines if line["type"] == kind]
    if run["type"] != "run" or run["context"] != context:
        raise ValueError(f"first line is {run['type']} with context {run.get('context')}, expected {context}")
    names = [r["feature"] for r in results]
    if names != [str(f) for f in job.features]:
        raise ValueError(f"features {names}")
    count = 0
    for result, row in zip(results, want):
        if kind != "dream" and result["ids"] != job.ids:
            raise ValueError(f"ids {result['ids']}, expected {job.ids}")
        for field, numbers in row.items():
            scale = max(abs(x) for x in row["values" if field == "activation" else field])
            got = result[field]
            if field == "activation" and isinstance(got, dict):
                got = got["text"]
            d = difference(field, got, numbers, scale)
            worst[kind, field] = max(worst.get((kind, field), 0), d)
            if not d <= LIMIT:
                raise ValueError(f"{result['feature']}: {field} differs by {d:.2e} of its largest\n  got  {got}\n  want {numbers}")
            count += len(numbers)
    return count


# ---- main --------------------------------------------------------------------------------------


def comparisons(args, g, jobs, model, model64, context):
    """(name, command, a function of the command's lines and of worst that returns how many numbers agree)"""
    for job in jobs:
        for kind in (k for k in KINDS if k in args.kinds):
            want = expected(kind, model, model64, job, context)
            name = f"{job.n} {kind} {job.spec} {job.text!r}"
            yield name, command(args, kind, job), partial(compare, kind, job, context, want)
    if args.only is None and set(WHOLE) & set(args.kinds):
        for cmd, compared in complete.jobs(args, g, model, context):
            yield " ".join(cmd), [args.phosphene, *cmd, "--json", "-m", args.model], compared


def check(args, g, jobs, model, model64, context):
    worst, count, failed = {}, 0, 0
    for name, cmd, compared in comparisons(args, g, jobs, model, model64, context):
        try:
            n = compared(lines_of(cmd), worst)
            count += n
            print(f"ok   {name}: {n} numbers", flush=True)
        except (ValueError, KeyError, IndexError, TypeError, subprocess.TimeoutExpired) as e:
            failed += 1
            print(f"FAIL {name}: {e.__class__.__name__}: {e}\n  {shlex.join(cmd)}", flush=True)
    for (kind, field), d in worst.items():
        print(f"worst {kind} {field}: {d:.2e}, allowed {LIMIT:.0e}" if isinstance(d, float) else f"{kind} {field}: {d}")
    print(f"{count} numbers compared, {failed} commands failed")
    return 1 if failed or not count else 0


def check_oracle(jobs, model, model64, context):
    """float32 against float64; curves: how many points float32 repeats."""
    bad = 0
    for job in jobs:
        E = oracle.embed(model, job.ids)
        x = oracle.attribute(model, job.features, E, context)
        exact = oracle.attribute(model64, job.features, E.double(), context)
        d = [float(oracle.difference(a.reshape(3, -1), b.reshape(3, -1)).max()) for a, b in zip((x[0], *x[2:]), (exact[0], *exact[2:]))]  # fmt: skip
        points = [len(r["curve"]) for r in expected("dream", model, model64, job, context)]
        bad += not max(d) <= LIMIT / 10
        print(f"{job.n} {job.spec} T={len(job.ids)} values {d[0]:.1e} grad_norm {d[1]:.1e} grad_x_input {d[2]:.1e} points {points}", flush=True)
    print(f"{len(jobs)} jobs, {bad} where float32 is further than {LIMIT / 10:.0e} from float64")
    return 1 if bad or not jobs else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phosphene", nargs="?")
    parser.add_argument("-m", "--model", default=oracle.DEFAULT_MODEL)
    parser.add_argument("-n", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this job alone")
    parser.add_argument("--kinds", type=lambda s: s.split(","), default=KINDS + WHOLE)
    parser.add_argument("--oracle", action="store_true")
    args = parser.parse_args()
    if not args.oracle and not (args.phosphene and os.access(args.phosphene, os.X_OK)):
        parser.error(f"no executable: {args.phosphene}")
    g = oracle.Gguf(args.model)
    tokenizer, context = oracle.tokenizer_of(g), [oracle.end_of_text(g)]
    model = oracle.load(args.model)
    model64 = oracle.load(args.model, torch.float64) if args.oracle or "dream" in args.kinds else None
    numbers = range(args.n) if args.only is None else [args.only]
    tokens = g.meta["tokenizer.ggml.tokens"]
    jobs = [Job(args.seed, n, model.config, tokenizer, tokens) for n in numbers]
    if args.oracle:
        return check_oracle(jobs, model, model64, context)
    return check(args, g, jobs, model, model64, context)


if __name__ == "__main__":
    sys.exit(main())
