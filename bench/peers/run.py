"""phosphene against its peers at equal token-forwards; writes bench/RESULTS-search.md.

    run.py PHOSPHENE [-m MODEL.gguf] [--features 8:0,17:33,…] [--budget N] [--seed N] [--quick]
           [--charge-scan] [--peers nanogcg,epo] [--runs FILE] [--output FILE]

Every feature is searched by `phosphene dream --method auto`, by nanoGCG and by EPO, which get as many
token-forwards as auto really spent. Every final text's activation in PyTorch must be `phosphene score`'s,
to 1e-3 relative. Then the seconds per candidate: swap and nanoGCG, same width, in turns A B A B; each the
difference between a long and a short search, so that loading and yardsticks cancel. --runs adds every search
to FILE when it is done and does not search again what FILE has, so hours can be stopped, and a peer of --peers be run
on some of the features only. Exit status 0: written.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys

import epo
import gcg
import peer
from peer import oracle

TOKENS, LIMIT = 5, 1e-3
HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = {"nanogcg": gcg.search, "epo": epo.search}


def default_features(n):
    """Spread over blocks 1 to 30; the components follow no pattern of ours."""
    return [(1 + 29 * i // (n - 1), (191 * i + 7) % 576) for i in range(n)]


def spec(feature):
    return f"block {feature[0]} [:, :, {feature[1]}]"


class Phosphene:
    def __init__(self, args):
        self.path, self.tail = args.phosphene, ["--json", "-q", "-m", args.model]
        self.seed = ["--seed", str(args.seed)]

    def lines(self, *cmd):
        done = subprocess.run([self.path, *cmd, *self.tail], capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def dream(self, feature, method, budget):
        options = ["--no-share", "--top", "1", "--tokens", str(TOKENS), "--budget", str(budget), *self.seed]
        return self.lines("dream", "--method", method, "--no-store", *options, spec(feature))[1]

    def score(self, feature, ids):
        return self.lines("score", spec(feature), "--ids", ",".join(map(str, ids)))[1]["activation"]


def agree(ph, model, feature, ids, claimed, who):
    """The claimed activation of a final text, phosphene score and plain PyTorch are one figure."""
    for figure in (claimed, peer.score(model, *feature, ids)):
        want = ph.score(feature, ids)
        assert abs(figure - want) <= LIMIT * max(1, abs(want)), (spec(feature), who, ids, figure, want)


def search(ph, model, row, name, args):
    """What auto or a peer finds, into the feature's row; a peer gets what auto, which comes first, spent."""
    if name == "auto":
        d = ph.dream(row["feature"], "auto", args.budget)
        ids, activation, row["spent"] = d["text_ids"], d["activation"]["text"], d["token_forwards"]
    else:
        more = model.lm.config.vocab_size if args.charge_scan else 0
        d = PEERS[name](model, *row["feature"], TOKENS, max(args.budget, row["spent"]) + more, args.seed)
        ids, activation = d["ids"], d["activation"]
    agree(ph, model, row["feature"], ids, activation, name)
    row[name], row["seconds"][name], row["texts"][name] = activation, d["seconds"], d["text"]
    print(spec(row["feature"]), name, f"{activation:.2f} {d['seconds']:.0f} s", file=sys.stderr, flush=True)


def terms(args):
    """What a kept feature's figures depend on, besides the code."""
    return {"model": os.path.basename(args.model), "budget": args.budget, "seed": args.seed, "charge_scan": args.charge_scan}


def qualities(ph, model, features, args):
    """A row for each feature, in order; of the file of --runs a feature's last line counts, and has all before."""
    rows = {}
    if args.runs and os.path.exists(args.runs):
        with open(args.runs) as f:
            rows = {tuple(r["feature"]): r for r in map(json.loads, f) if terms(args).items() <= r.items()}
    for feature in features:
        row = rows.setdefault(feature, terms(args) | {"feature": feature, "seconds": {}, "texts": {}})
        for name in ("auto", *args.peers):
            if name in row:
                continue
            search(ph, model, row, name, args)
            if args.runs:
                with open(args.runs, "a") as f:
                    f.write(json.dumps(row, ensure_ascii=False) + "\n")
    return [rows[feature] for feature in features]


# ---- seconds per candidate -----------------------------------------------------------------------


def ours(ph, feature, budget):
    """Seconds and texts evaluated: a step runs its text and gradient, 5 + 15, and WIDTH variants, 5 each."""
    d = ph.dream(feature, "swap", budget)
    return d["seconds"], peer.WIDTH * (d["naive_forwards"] // (TOKENS * (peer.WIDTH + 4)))


def theirs(model, feature, budget):
    r = gcg.search(model, *feature, TOKENS, budget)
    return r["seconds"], r["candidates"], r["forward_seconds"]


def per_candidate(short, long):
    return (long[0] - short[0]) / (long[1] - short[1])


def speed(ph, model, feature, turns, length):
    """Seconds per candidate of swap, nanogcg and nanogcg's forward passes alone, one row a turn."""
    rows = []
    for _ in range(turns):
        a = per_candidate(*(ours(ph, feature, n) for n in (5000, length)))
        short, long = (theirs(model, feature, n) for n in (5000, length))
        forward = (long[2] - short[2]) / (long[1] - short[1])
        rows.append((a, per_candidate(short, long), forward))
    return rows


# ---- the report ----------------------------------------------------------------------------------


def cell(text):
    return "`" + json.dumps(text, ensure_ascii=False)[1:-1].replace("|", "\\|").replace("`", "ˋ") + "`"


def cpu():
    with open("/proc/cpuinfo") as f:
        name = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    return f"{name[0] if name else platform.processor()}, {os.cpu_count()} cores"


def beats(row, peer):
    """auto's text is another one, and stronger: the same text's two figures differ by rounding."""
    return row["texts"]["auto"] != row["texts"][peer] and row["auto"] > row[peer]


def quality_table(rows):
    peers = [n for n in PEERS if any(n in r for r in rows)]
    names = ("auto", *peers)
    yield "| feature | " + " | ".join(names) + " | token-forwards | s " + " / ".join(names) + " | auto's text |"
    yield "|---|" + "---|" * (len(names) + 3)
    for r in rows:
        best = max(r[n] for n in names if n in r)
        figures = ["–" if n not in r else f"**{r[n]:.2f}**" if r[n] == best else f"{r[n]:.2f}" for n in names]
        seconds = " / ".join(f"{r['seconds'][n]:.0f}" if n in r else "–" for n in names)
        yield f"| {spec(r['feature'])} | " + " | ".join(figures) + f" | {r['spent']:,} | {seconds} | {cell(r['texts']['auto'])} |"
    yield ""
    for n in peers:
        ran = [r for r in rows if n in r]
        won, same = sum(beats(r, n) for r in ran), sum(r["texts"]["auto"] == r["texts"][n] for r in ran)
        ratio = statistics.median(r["auto"] / r[n] for r in ran if r[n] > 0)
        yield (f"- `auto` beats {n} on {won} of {len(ran)} features ({100 * won / len(ran):.0f} %), "
               f"and finds the same text on {same}; median ratio of activations {ratio:.2f}")  # fmt: skip
    best = sum(all(beats(r, n) for n in peers if n in r) for r in rows)
    yield f"- `auto` beats every peer that ran on {best} of {len(rows)} features (**{100 * best / len(rows):.0f} %**; wanted: 80 %)"


def speed_table(feature, rows):
    yield f"{spec(feature)}, width {peer.WIDTH}, {TOKENS} tokens, milliseconds per candidate, in turns:"
    yield ""
    yield "| turn | phosphene swap | nanogcg | its forward passes alone | ratio | ratio to the passes alone |"
    yield "|---|---|---|---|---|---|"
    for i, (a, b, f) in enumerate(rows):
        yield f"| {i + 1} | {1e3 * a:.3f} | {1e3 * b:.3f} | {1e3 * f:.3f} | {a / b:.2f} | {a / f:.2f} |"
    yield ""
    whole, bare = (statistics.median(r[0] / r[k] for r in rows) for k in (1, 2))
    yield f"- median ratio **{whole:.2f}** (wanted: at most 0.5); to PyTorch's forward passes alone {bare:.2f}"


def report(args, ph, model, rows, timed, tried):
    run = ph.lines("score", "block 1 [:, :, 0]", "a")[0]
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True)
    versions = ", ".join(f"{k} {v}" for k, v in {**oracle.versions(), "nanogcg": importlib.metadata.version("nanogcg")}.items())
    choice = min(tried, key=tried.get)
    yield "# Search: phosphene beside its peers"
    yield ""
    yield "Written by `bench/peers/run.py`; what is compared, and what was decided, is in `bench/peers/README.md`."
    yield ""
    yield f"- {datetime.date.today()}, commit {commit.stdout.strip()}, phosphene {run['version']} on {run['machine']}"
    yield f"- {cpu()}; {versions}"
    yield f"- {os.path.basename(args.model)}, {TOKENS} tokens, seed {args.seed}, budget {args.budget:,}" + (
        f"; peers get {model.lm.config.vocab_size:,} more, the price of the scan that auto is not charged" if args.charge_scan else "")  # fmt: skip
    yield f"- PyTorch tuned: {choice[0]} threads, {choice[1]} attention, batches of {choice[2]} (best of {len(tried)} tried)"
    if args.quick:
        yield "- **a quick run**: three features and a small budget, a check that all works; no evidence"
    yield from ("", "## Activation of the text at equal token-forwards", "", *quality_table(rows))
    yield from ("", "## Seconds per candidate")
    for feature, turns in timed:
        yield from ("", *speed_table(feature, turns))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phosphene")
    parser.add_argument("-m", "--model", default=os.environ.get("PHOSPHENE_MODEL", oracle.DEFAULT_MODEL))
    parser.add_argument("--features", help="BLOCK:COMPONENT,… (20 over blocks 1 to 30)")
    parser.add_argument("--budget", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="3 features, budget 5000")
    parser.add_argument("--charge-scan", action="store_true", help="peers get a vocabulary's tokens more")
    parser.add_argument("--peers", help=f"some of {', '.join(PEERS)} (all)")
    parser.add_argument("--runs", help="keep every search in this file, and go on from it")
    parser.add_argument("--output", default=os.path.join(HERE, "..", "RESULTS-search.md"))
    args = parser.parse_args()
    features = default_features(3 if args.quick else 20)
    if args.features:
        features = [tuple(int(n) for n in f.split(":")) for f in args.features.split(",")]
    args.peers = args.peers.split(",") if args.peers else list(PEERS)
    unknown = set(args.peers) - set(PEERS)
    if unknown:
        parser.error(f"--peers: {', '.join(unknown)}: expected some of {', '.join(PEERS)}")
    args.budget = 5000 if args.quick else args.budget
    model, ph = peer.Model(args.model), Phosphene(args)
    tried = peer.tune(model)
    rows = qualities(ph, model, features, args)
    turns, length, places = (2, 20000, [(8, 0)]) if args.quick else (4, 40000, [(8, 0), (30, 0)])
    timed = [(f, speed(ph, model, f, turns, length)) for f in places]
    with open(args.output, "w") as out:
        out.write("\n".join(report(args, ph, model, rows, timed, tried)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
