"""phosphene's speed beside PyTorch's, the same work in turns A B A B; writes bench/RESULTS.md.

    speed.py PHOSPHENE [-m MODEL.gguf] [--turns N] [--threads N,…] [--quick] [--no-compile] [--output FILE]

First `phosphene bench` on its own: shares of this machine's limits. Then each work in turns with the
page author's way and with the best that torchwork.Tuned finds. A ratio is the median over the turns of
PyTorch's seconds by phosphene's for as much work.
"""

import argparse
import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile

import torch
import torchwork
from peer import oracle
from torchwork import CANDIDATES, SWAP_TOKENS, TOKENS, Author, Batch, Forward, Tuned, time

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK, LOAD_ROWS = 8, 32


class Phosphene:
    def __init__(self, args):
        self.command = [args.phosphene, "bench", "--json", "-m", args.model]

    def bench(self, *options):
        done = subprocess.run([*self.command, *options], capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def figure(self, work, *options):
        """Memory that is small is read and flushed quickly: neither is looked at here."""
        found = self.bench(work, "--memory", "32", *options)
        return next(r for r in found if r.get("work") == work and not r["cold"])


def fastest(ph, rows, key):
    """Of several numbers of rows the one that is fastest by the row: we are tuned, too."""
    found = [r for r in ph.bench("descent", "--memory", "32", "--rows", rows) if r.get("work") == "descent"]
    return min((r for r in found if not r["cold"]), key=key)["rows"]


# ---- pairs ---------------------------------------------------------------------------------------


class Pair:
    """One work done both ways: seconds for the same unit, and what it is wanted to be."""

    def __init__(self, name, unit, ours, theirs, wanted, way):
        self.name, self.unit, self.ours, self.theirs, self.wanted, self.way = name, unit, ours, theirs, wanted, way
        self.turns = []

    def turn(self):
        self.turns.append((self.ours(), self.theirs()))
        print(f"{self.name}: {self.turns[-1]}", file=sys.stderr, flush=True)

    def ratios(self):
        return sorted(theirs / ours for ours, theirs in self.turns)

    def row(self):
        ours, theirs = (1e3 * statistics.median(t[k] for t in self.turns) for k in (0, 1))
        r, median = self.ratios(), statistics.median(self.ratios())
        wanted = f"≥ {self.wanted} {'✓' if median >= self.wanted else '✗'}" if self.wanted else ""
        return (f"| {self.name} | {self.unit} | {ours:.4g} | {theirs:.4g} | **{median:.2f}** | "
                f"{r[0]:.2f} – {r[-1]:.2f} | {wanted} | {self.way} |")  # fmt: skip


def author_pair(ph, lm, name, wanted, rows, args, way, **kinds):
    def theirs():
        torch.set_num_threads(args.threads[-1])
        lm.config._attn_implementation = "sdpa"
        work = Author(lm, BLOCK, **kinds)
        seconds = time(work)
        work.close()
        return seconds

    ours = lambda: ph.figure("descent", "--rows", str(rows))["seconds"] / rows
    return Pair(name, "ms per feature and step", ours, theirs, wanted, way)


def tuned_pair(lm, name, unit, ours, wanted, make, units, rows, args):
    attention, rows = (("sdpa",), rows[:1]) if args.quick else (("eager", "sdpa"), rows)
    best = Tuned(lm, make, units, itertools.product(args.threads, attention, rows), args.compile)
    print(name, best, file=sys.stderr, flush=True)
    theirs = lambda: time(best.set(best.way)) / units(best.way[2])
    return Pair(name, unit, ours, theirs, wanted, f"{best}")


def tuned_pairs(ph, lm, rows, args):
    V, blocks, piece = lm.config.vocab_size, lm.config.num_hidden_layers, 256 if args.quick else 2048
    yield tuned_pair(lm, "descent, tuned batch", "ms per feature and step",
                     lambda: ph.figure("descent", "--rows", str(rows))["seconds"] / rows, 1.5,
                     lambda n, c: Batch(lm, BLOCK, n, c), lambda n: n, (32, 8, 128), args)  # fmt: skip
    yield tuned_pair(lm, "scan, all blocks", "ms per token", lambda: ph.figure("scan")["whole_seconds"] / V, 1.2,
                     lambda n, c: Forward(lm, blocks, piece, 1, n, c), lambda n: piece, (256, 512, 1024), args)  # fmt: skip
    yield tuned_pair(lm, f"swap, {SWAP_TOKENS} tokens", "ms per candidate",
                     lambda: 1 / ph.figure("swap")["candidates_per_second"], 2,
                     lambda n, c: Forward(lm, BLOCK, CANDIDATES, SWAP_TOKENS, n, c), lambda n: CANDIDATES,
                     (64, 32, 128, 256), args)  # fmt: skip


def load_pair(ph, name, load, way):
    ours = lambda: ph.figure("load", "--rows", str(LOAD_ROWS))["seconds"]
    theirs = lambda: time(lambda: torchwork.first_step(load, BLOCK, LOAD_ROWS), 0, 1)
    return Pair(name, "ms", ours, theirs, None, way)


def pairs(ph, lm, args, folder):
    counts = "32" if args.quick else "8,32,128"
    rows = fastest(ph, counts, lambda r: r["seconds"] / r["rows"])
    full = "sdpa, one feature at a time, all blocks, weights' gradients too"
    yield author_pair(ph, lm, "descent, full hidden states", 25, rows, args, full, whole=True)
    yield author_pair(ph, lm, "descent, the author's way", 14, rows, args, "the same, blocks up to the tap only")
    yield author_pair(ph, lm, "descent, weights frozen", None, rows, args, "the same, no gradients of weights", frozen=True)
    yield from tuned_pairs(ph, lm, rows, args)
    yield load_pair(ph, "load, GGUF", lambda: oracle.load(args.model), "gguf package, LlamaForCausalLM")
    yield load_pair(ph, "load, checkpoint", torchwork.save(lm, folder), "from_pretrained, float32 safetensors")


# ---- the report ----------------------------------------------------------------------------------


def cpu():
    with open("/proc/cpuinfo") as f:
        name = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    return f"{name[0] if name else os.uname().machine}, {os.cpu_count()} cores"


def mark(met):
    return "✓" if met else "✗"


def wanted_of(r):
    """What issue 6 wants of a figure, as text."""
    if r["work"] == "descent" and not r["cold"] and r["rows"] >= 32:
        whole = r["share"] / (1 - r["spared"])  # the loop that the target was set for computes every column
        return f"≥ 85 % of the peak {mark(whole >= 0.85)}, {percent(whole)} with what was spared"
    if r["work"] == "descent" and not r["cold"] and r["rows"] == 1:
        return f"≥ 60 % of the limit {mark(r['limit_share'] >= 0.6)}"
    if r["work"] == "scan":
        return f"≤ 1.25 × the time at the peak {mark(r['share'] >= 1 / 1.25)}"
    if r["work"] == "load":
        return f"≤ 0.6 s {mark(r['seconds'] <= 0.6)}"
    return ""


def percent(x):
    return "" if x is None else f"{100 * x:.0f} %"


def own_table(found):
    yield "| work | | seconds | ± | GF/s | of the peak | spared | of the bandwidth | of the limit | wanted |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for r in found:
        if r["type"] != "bench" or r["work"] in ("peak", "bandwidth"):
            continue
        what = {"scan": f"{r['rows']} tokens, {r['block']} blocks; the whole vocabulary {r['whole_seconds']} s",
                "swap": f"block {r['block']}, {r['rows']} variants of {r['tokens']} tokens, "
                        f"{r['candidates_per_second']} a second"}.get(  # fmt: skip
            r["work"], f"block {r['block']}, {r['rows']} × {r['tokens']}, {'cold' if r['cold'] else 'warm'}")  # fmt: skip
        flops = "" if r["gflops"] is None else f"{r['gflops']:.1f}"
        yield (f"| {r['work']} | {what} | {r['seconds']:.4g} | {percent(r['spread'] / 2)} | {flops} | {percent(r['share'])} | "
               f"{percent(r['spared'])} | "
               f"{percent(r['gbytes_share'])} | {percent(r['limit_share'])} | {wanted_of(r)} |")  # fmt: skip


def parts_table(found, rows):
    """Where the time of one figure goes: descent, warm."""
    parts = [p for p in found if p["type"] == "bench_part" and p["work"] == "descent" and p["rows"] == rows
             and p["block"] == BLOCK and not p["cold"]]  # fmt: skip
    yield "| part | calls | ms | of the wall time |"
    yield "|---|---|---|---|"
    for p in parts:
        shape = " {} × {} → {}".format(*p["shape"]) if p["shape"] else ""
        yield f"| {p['part']}{shape} | {p['calls']:.0f} | {1e3 * p['seconds']:.3f} | {percent(p['share'])} |"


def report(args, load, found, done):
    run, peak, bandwidth = found[0], found[1], found[2]
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True)
    yield "# Speed: phosphene beside its limits and its peers"
    yield ""
    yield "Written by `bench/peers/speed.sh`; what is compared is in `bench/peers/README.md`."
    yield ""
    yield f"- {datetime.date.today()}, commit {commit.stdout.strip()}, phosphene {run['version']} on {run['machine']}"
    yield f"- {cpu()}; {', '.join(f'{k} {v}' for k, v in oracle.versions().items())}; {os.path.basename(args.model)}"
    yield f"- peak {peak['gflops']:.1f} GF/s float32, memory {bandwidth['gbytes']:.1f} GB/s; {len(done[0].turns)} turns"
    if load > 0.5:
        yield f"- **the machine was not idle** (load {load:.1f} before the first run): figures show that all works, no more"
    if args.quick:
        yield "- **a quick run**: few turns and figures"
    elif not args.compile:
        yield "- PyTorch without torch.compile (`--no-compile`)"
    yield from ("", "## Shares of this machine's limits", "", *own_table(found))
    yield from ("", f"Where a step of 32 rows × {TOKENS} tokens to block {BLOCK} goes:", "", *parts_table(found, 32))
    yield from ("", "## Beside PyTorch", "")
    yield "| work | unit | phosphene | PyTorch | ratio | least – most | wanted | PyTorch's way |"
    yield from ("|---|---|---|---|---|---|---|---|", *(pair.row() for pair in done))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phosphene")
    parser.add_argument("-m", "--model", default=os.environ.get("PHOSPHENE_MODEL", oracle.DEFAULT_MODEL))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=lambda s: sorted(map(int, s.split(","))),
                        default=sorted({1, max(1, os.cpu_count() // 2), os.cpu_count()}),
                        help="numbers of threads that PyTorch is tried with: 1, half, all; the author gets the last")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="2 turns, fewer figures, little tuning")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="do not try torch.compile")
    parser.add_argument("--output", default=os.path.join(HERE, "..", "RESULTS.md"))
    args = parser.parse_args()
    args.turns, args.compile = (2, False) if args.quick else (args.turns, args.compile)
    load = os.getloadavg()[0]
    ph, shape = Phosphene(args), ("8", "1,32") if args.quick else ("1,8,30", "1,8,32,128")
    found = [r for r in ph.bench("--block", shape[0], "--rows", shape[1], "-v") if r.get("work") != "load"]
    found += ph.bench("load", "--block", shape[0], "--rows", str(LOAD_ROWS))[1:]
    lm = oracle.load(args.model)
    with tempfile.TemporaryDirectory() as folder:
        done = list(pairs(ph, lm, args, folder))
        for _ in range(args.turns):
            for pair in done:
                pair.turn()
            with open(args.output, "w") as out:  # after every turn: one that is cut short leaves the others
                out.write("\n".join(report(args, load, found, done)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
