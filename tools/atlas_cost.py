#!/usr/bin/env python3
"""What the atlas of a model costs: scan and auto for every feature of every block, in operations and node-hours.

    atlas_cost.py [--budget 2000] [--unit 64] [--tokens 5] [--core 131] [--streamed 0.72] [--peak 161] [--cores 64]

Counts what phosphene sweep sends through blocks: for a tap at block l, one scan of the vocabulary for the scan, one more
for every unit of auto, the budget for every feature, and 512 random texts for every unit; a token through a block is two
operations a weight. Written for docs/SCALE.md, whose table it prints.
"""
import argparse
import math

MODELS = [  # name, blocks, width, feed-forward, heads' width of keys and values together, vocabulary
    ("135 M (SmolLM2)", 30, 576, 1536, 192, 49152),
    ("1 B (Llama 3.2)", 16, 2048, 8192, 512, 128256),
    ("7 B (Llama 2)", 32, 4096, 11008, 4096, 32000),
    ("70 B (Llama 3)", 80, 8192, 28672, 1024, 128256),
]
RANDOM_TEXTS = 512


def weights_of_block(C, F, KV):
    return 2 * C * C + 2 * C * KV + 3 * C * F


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--budget", type=int, default=2000)
    p.add_argument("--unit", type=int, default=64)
    p.add_argument("--tokens", type=int, default=5)
    p.add_argument("--core", type=float, default=131, help="GF/s of one core, weights packed in memory")
    p.add_argument("--peak", type=float, default=161, help="GF/s of one core at most")
    p.add_argument("--streamed", type=float, default=0.72, help="share of the peak when weights stay in the file")
    p.add_argument("--cores", type=int, default=64, help="of a node")
    a = p.parse_args()
    print("| model | features | weights, packed both ways | scan | auto | of that complete searches | core-hours | node-hours | a unit |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, L, C, F, KV, V in MODELS:
        per_token = 2 * weights_of_block(C, F, KV)  # operations of a token through one block
        passes = L * (L + 1) / 2  # blocks of one pass to each tap
        units = math.ceil(C / a.unit)
        scan = V * passes * per_token
        complete = units * scan
        auto = complete + (C * a.budget + units * RANDOM_TEXTS * a.tokens) * passes * per_token
        packed = L * weights_of_block(C, F, KV) * 8 / 2**30
        rate = (a.core if packed < 100 else a.streamed * a.peak) * 1e9
        hours = (scan + auto) / rate / 3600
        unit = auto / (units * L) / rate
        print(f"| {name} | {L * C:,} | {packed:.3g} GiB | {scan:.2g} | {auto:.2g} | {100 * complete / auto:.0f} % | {hours:,.3g} | "
              f"{hours / a.cores:,.3g} | {unit / 60:,.3g} core-minutes |".replace("e+", "·10^"))


if __name__ == "__main__":
    main()
