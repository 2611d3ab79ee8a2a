#!/usr/bin/env python3
"""What phosphene sweep does with many ranks: a simulation of rank 0's server and the ranks that ask it.

    simulate_sweep.py [--ranks 1,2,4,1000] [--units 20000] [--seconds 60] [--spread 0.3] …
    simulate_sweep.py --like STORE --ranks 1,2,4      units as a real sweep of this store took them

Events are those of app/sweep: a rank starts (opens the model, hashes its file), asks for a unit, waits for the
answer (rank 0 answers one message at a time; each takes a commit to its store), searches it, puts the lines into its
shard, says so, and asks again; at the end rank 0 merges the shards, line by line. Ranks of one node share its
processors. Nothing is drawn twice: the same arguments give the same figures.
"""
import argparse
import heapq
import json
import random
import sqlite3

DEFAULTS = {
    "answer": (4.0, "ms of rank 0 for one message: a commit of its store"),
    "commit": (4.0, "ms to end a unit's transaction in a shard"),
    "latency": (1.0, "ms that a message waits: both sides look every millisecond"),
    "start": (3.0, "seconds until a rank asks for its first unit"),
    "put": (0.4, "ms a feature to put a unit's lines into a shard"),
    "merge": (0.4, "ms a feature to merge them in the end, by rank 0 alone"),
    "renew": (75.0, "seconds between two signs of life of a rank that searches"),
}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog="\n".join(__doc__.split("\n\n")[1:]),
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ranks", default="1,2,4,16,64,256,1000,4000")
    p.add_argument("--units", type=int, default=20000)
    p.add_argument("--features", type=int, default=64, help="of a unit")
    p.add_argument("--seconds", type=float, default=60, help="that a unit takes, in the mean")
    p.add_argument("--spread", type=float, default=0.3, help="of those, as a share")
    p.add_argument("--like", help="a store with a finished sweep: its units' own seconds")
    p.add_argument("--scale", type=float, default=1, help="seconds of --like times this")
    p.add_argument("--cores", type=int, default=0, help="processors that all ranks share; 0: one each")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", action="store_true")
    for name, (value, what) in DEFAULTS.items():
        p.add_argument(f"--{name}", type=float, default=value, help=f"{what} ({value:g})")
    return p.parse_args()


def units_of(path):
    """(seconds, features) of a store's units, in the order that they were handed out."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        rows = [json.loads(t) for t, in db.execute(
            "SELECT b.line FROM result r JOIN body b ON b.result = r.id WHERE r.type = 'unit'")]
    rows.sort(key=lambda u: (u["ended"], u["run"], int(u["unit"].split("-")[0])))
    return [(u["seconds"], u["features"]) for u in rows]


def drawn(args):
    rng = random.Random(args.seed)
    return [(max(0.05, rng.gauss(1, args.spread)) * args.seconds, args.features) for _ in range(args.units)]


class Server:
    """Rank 0's thread: one message after another."""

    def __init__(self, answer, latency):
        self.answer, self.latency, self.free, self.busy, self.messages = answer, latency, 0.0, 0.0, 0

    def ask(self, at):
        """When the answer to a message of this time is back."""
        begins = max(self.free, at + self.latency / 2)
        self.free = begins + self.answer
        self.busy += self.answer
        self.messages += 1
        return self.free + self.latency / 2


ASK, RENEW, FINISH = range(3)


def run(ranks, units, args):
    """When each rank ended its last unit, how many features each has, and the server. Messages are served as they come:
    one asks, one says that the unit is done, between them signs of life."""
    ms = 1e-3
    server = Server(args.answer * ms, args.latency * ms)
    slow = max(1.0, ranks / args.cores) if args.cores else 1.0
    events = [(args.start * slow, r, ASK) for r in range(ranks)]
    heapq.heapify(events)
    under_way, ended, features = [None] * ranks, [0.0] * ranks, [0] * ranks
    left = iter(units)
    while events:
        t, r, what = heapq.heappop(events)
        t = server.ask(t)
        if what == FINISH:
            ended[r] = t
            features[r] += under_way[r][1]
            heapq.heappush(events, (t, r, ASK))
        elif what == ASK and (unit := next(left, None)):
            under_way[r] = unit
            seconds = unit[0] * slow
            for k in range(int(seconds / args.renew)):
                heapq.heappush(events, (t + (k + 1) * args.renew, r, RENEW))
            heapq.heappush(events, (t + seconds + (unit[1] * args.put + args.commit) * ms, r, FINISH))
    return ended, features, server


def simulate(ranks, units, args):
    ended, features, server = run(ranks, units, args)
    work = sum(s for s, _ in units)
    searched = max(ended)
    merged = searched + sum(features[1:]) * args.merge * 1e-3
    ideal = work / (min(ranks, args.cores) if args.cores else ranks)
    return {"ranks": ranks, "units": len(units), "hours": merged / 3600, "seconds": merged, "search_seconds": searched,
            "efficiency": ideal / merged, "search_efficiency": ideal / searched, "server_busy": server.busy / searched,
            "messages_a_second": server.messages / searched, "merge_seconds": merged - searched,
            "last_seconds": searched - min(e for e in ended if e) if ranks <= len(units) else searched}


def main():
    args = arguments()
    units = units_of(args.like) if args.like else drawn(args)
    units = [(s * args.scale, n) for s, n in units]
    if not units:
        raise SystemExit(f"{args.like}: no units")
    results = [simulate(int(r), units, args) for r in args.ranks.split(",")]
    if args.json:
        print("\n".join(json.dumps(r) for r in results))
        return
    print(f"{len(units)} units, {sum(s for s, _ in units) / 3600:.3g} processor hours")
    print("| ranks | search | with the merge | efficiency of the search | of all | rank 0 answers, share of its time | messages a second |")
    print("|---|---|---|---|---|---|---|")
    for r in results:
        print(f"| {r['ranks']:,} | {r['search_seconds']:.4g} s | {r['seconds']:.4g} s | {100 * r['search_efficiency']:.1f} % | "
              f"{100 * r['efficiency']:.1f} % | {100 * r['server_busy']:.2g} % | {r['messages_a_second']:.3g} |")


if __name__ == "__main__":
    main()
