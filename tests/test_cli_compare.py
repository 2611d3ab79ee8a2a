"""phosphene compare: its table and its lines against each other, runs that are kept, and Ctrl-C.

    test_cli_compare.py TOOL   on the tiny models of tests/data
"""

import os
import re
import signal
import struct
import subprocess
import tempfile

from cli import CACHE, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests, strip_times


def test_compare():
    spec, budgets = "block 2 [:, :, 0-1]", [400, 4000]
    args = ("compare", spec, "--budgets", "400,4000", "--seeds", "2", "--json")
    code, out, err = run(*args)
    check(code == 0 and err == "", f"compare: {code} {err}")
    rows = lines(out)
    methods = rows[0]["settings"]["methods"]
    check(rows[0]["type"] == "run" and "auto" in methods and rows[0]["settings"]["budgets"] == budgets, "compare: run line")
    cells = [r for r in rows if r["type"] == "compare"]
    check([(r["seed"], r["feature"], r["budget"], r["method"]) for r in cells] ==
          [(s, f"block 2 [:, :, {f}]", b, m) for s in (0, 1) for f in (0, 1) for b in budgets for m in methods],
          "compare: every run, in order")
    at = {}
    for r in cells:
        for key in ("run activation z random_mean token_forwards scan_forwards seconds text steps restarts round_trip "
                    "outlier").split():
            check(key in r, f"compare line: {key}")
        at[r["seed"], r["feature"], r["budget"], r["method"]] = r
        by_steps = r["method"] in ("descent", "softmax", "pez", "gumbel")
        check((r["steps"] is not None) == by_steps == (r["restarts"] is not None), "compare: steps of a descent")
        check(r["scan_forwards"] == (0 if by_steps else 300), "compare: the scan is in a column of its own")
        if by_steps:  # a step of a row is 15 tokens; each of its 7 texts tokenises to 5, or to 15 where no byte is valid
            used, slack = r["token_forwards"], 70 * r["restarts"]
            check(0.99 * r["budget"] - 15 * r["restarts"] - slack < used <= r["budget"] + slack,
                  f"compare: {r['method']} uses its budget: {r['restarts']} rows, {used} of {r['budget']}")
        if not r["text"].startswith("-"):
            code, said, _ = run("score", r["feature"], r["text"], "--json")
            check(abs(lines(said)[1]["activation"] - r["activation"]) < 1e-5, "compare: score says the same")
    for method in ("auto", "pez"):  # a run is a dream
        r = at[1, "block 2 [:, :, 0]", 4000, method]
        more = ["--steps", str(r["steps"]), "--restarts", str(r["restarts"])] if r["steps"] else []
        code, said, _ = run("dream", r["feature"], "--method", method, "--seed", "1", "--budget", "4000", "--no-share",
                            "--top", "1", "--corpus", "off", "--json", *more)
        d = lines(said)[1]
        check((d["activation"]["text"], d["text"], d["token_forwards"]) == (r["activation"], r["text"], r["token_forwards"]),
              f"compare: {method} is the dream of its own")
    greedy = [at[s, "block 2 [:, :, 1]", b, "greedy"] for s in (0, 1) for b in budgets]
    check(len({(r["activation"], r["z"], r["token_forwards"]) for r in greedy}) == 1, "compare: greedy is run once")
    summaries = [r for r in rows if r["type"] == "compare_summary"]
    check([(r["budget"], r["method"]) for r in summaries] == [(b, m) for b in budgets for m in methods], "compare: summaries")
    features = sorted({r["feature"] for r in cells})
    for r in summaries:
        b, m = r["budget"], r["method"]
        ranks, wins, shares = [], 0, []
        for f in features:
            mean = lambda k: sum(at[s, f, b, k]["activation"] for s in (0, 1)) / 2
            wins += mean(m) >= max(map(mean, methods))
            best, random = max(x["activation"] for x in cells if x["feature"] == f), at[0, f, b, m]["random_mean"]
            shares.append((mean(m) - random) / (best - random))
            for s in (0, 1):
                v = [at[s, f, b, k]["activation"] for k in methods]
                own = at[s, f, b, m]["activation"]
                ranks.append(1 + sum(x > own for x in v) + (v.count(own) - 1) / 2)
        check(abs(r["mean_rank"] - sum(ranks) / 4) < 1e-9 and r["win_rate"] == wins / 2, f"compare: ranks of {m}")
        check(abs(r["share"] - sum(shares) / 2) < 1e-6, f"compare: share of {m}")
        check(r["share_low"] == min(shares) or abs(r["share_low"] - min(shares)) < 1e-6, f"compare: interval of {m}")
        check(r["cells"] == 4 and r["features"] == 2 and r["missing"] == 0, "compare: all cells")
        check(sum(r["against_auto"].values()) == 4, "compare: against auto")
    code, again, _ = run(*args)
    check(strip_times(out) == strip_times(again), "compare: the same command twice gives the same bytes")
    for more in (["--methods", "greedy,auto"], ["--curve"], ["-v"], ["--sign", "-"], ["--letters"], ["--tokens", "2"]):
        code, out, err = run("compare", spec, "--budget", "300", "--seeds", "1", *more)
        check(code == 0 and err == "" and "\033" not in out, f"compare {more}: {code} {err}")
        check(out.count("\nbudget") == (3 if "--curve" in more else 1) and ("share at" in out) == ("--curve" in more),
              f"compare {more}: tables: {out}")
        check(("\nauto lost" in out) and "against auto" in out, f"compare {more}: losses")
    code, out, err = run("compare", spec, "--budget", "300", "--seeds", "1", "--methods", "pez", "-q")
    check(code == 0 and "auto" not in out and len(out.strip().split("\n")) == 5, f"compare -q: {out}")
    code, out, err = run("compare", spec, "--budget", "300", "--seeds", "1", "--methods", "greedy,pez", "--contains", "zzz", "--json")
    check(all(r["activation"] is None and r["z"] is None for r in lines(out)[1:] if r["type"] == "compare") and
          [r["share"] for r in lines(out)[-2:]] == [0, 0], f"compare: no answer counts as random texts: {err}")
    expect_error(2, "--methods: \"pet\": expected some of descent, ", "compare", spec, "--methods", "auto,pet")
    expect_error(2, "\"auto\" stands there twice", "compare", spec, "--methods", "auto,auto")
    expect_error(2, "--methods: \"\": expected", "compare", spec, "--methods", "")
    expect_error(2, "--budgets x: expected a whole number", "compare", spec, "--budgets", "10,x")
    expect_error(2, "--budgets 0: expected at least 1|--budgets 0: expected 1 to", "compare", spec, "--budgets", "0")
    expect_error(2, "--budgets goes without", "compare", spec, "--budgets", "10", "--curve")
    expect_error(2, "--seeds 0: expected 1 to", "compare", spec, "--seeds", "0")
    expect_error(2, "which feature", "compare")
    expect_error(2, "feature 9999: block 1 of this model has 0 to 59", "compare", "block 1 [:, :, 9999]")
    expect_error(2, "tokens are not in a text of 5", "compare", "block 1 [:, 7, 1]", "--json")
    expect_error(1, "nowhere.txt", "compare", spec, "--allow", "nowhere.txt")


def test_compare_runs():
    """A comparison that is kept: stopped anywhere, it goes on to the same end; what is there is not run again."""
    spec, kept = "block 2 [:, :, 0-1]", os.path.join(tempfile.mkdtemp(dir=WORK), "runs.jsonl")
    args = ["compare", spec, "--methods", "auto,swap,greedy,pez", "--budget", "300", "--seeds", "2", "--json"]
    _, plain, _ = run(*args)
    code, first, err = run(*args, "--runs", kept)
    check(code == 0 and strip_times(first) == strip_times(plain), f"compare --runs: {code} {err}")
    with open(kept) as f:
        whole = f.read()
    check([r["type"] for r in lines(whole)] == ["run"] + 16 * ["compare"], "compare --runs: what the file has")
    code, again, err = run(*args, "--runs", kept)
    check(again == first, f"compare --runs: nothing is run again, times and all: {err}")
    rows = whole.splitlines(keepends=True)
    for n, torn in ((0, 1), (1, 30), (6, 1), (6, len(rows[6]) - 1), (16, 40), (17, 0)):
        with open(kept, "w") as f:
            f.write("".join(rows[:n]) + (rows[n][:torn] if torn else ""))
        code, again, err = run(*args, "--runs", kept)
        check(code == 0 and strip_times(again) == strip_times(plain), f"compare --runs, {n} lines and {torn} bytes: {code} {err}")
        done = [x for x in lines(first) if x["type"] == "compare"][: max(n - 1, 0)]
        check([x for x in lines(again) if x["type"] == "compare"][: len(done)] == done, f"compare --runs, {n} lines: kept")
        with open(kept) as f:
            check(sum(r["type"] == "compare" for r in lines(f.read())) == 16, f"compare --runs, {n} lines and {torn} bytes: completed")
    wider = args[:]
    wider[wider.index("--seeds") + 1] = "3"
    code, out, err = run(*wider, "--runs", kept)
    cells = [r for r in lines(out) if r["type"] == "compare"]
    check(code == 0 and len(cells) == 24 and cells[:16] == [{**r, "run": cells[0]["run"]} for r in lines(again) if r["type"] == "compare"],
          f"compare --runs: a wider one builds on it: {err}")
    code, out, err = run(*args, "--runs", kept, "--tokens", "2")
    check(code == 0 and all(len(r["text"].encode()) and r["token_forwards"] for r in lines(out) if r["type"] == "compare") and
          not {r["text"] for r in lines(out) if r["type"] == "compare"} & {r["text"] for r in cells}, "compare --runs: other settings")
    with open(kept) as f:
        check(len(lines(f.read())) > 24 + 16, "compare --runs: … are runs of their own")
    allowed = os.path.join(os.path.dirname(kept), "allowed.txt")
    for text in ("one\n", "two\n"):  # the name is the same, what may be named is not
        with open(allowed, "w") as f:
            f.write(text)
        brief = ["compare", spec, "--methods", "greedy", "--tokens", "1", "--seeds", "1", "--json", "--allow", allowed]
        own, again = (lines(run(*brief, *more)[1]) for more in ([], ["--runs", kept]))
        check([r["text"] for r in own if r["type"] == "compare"] == [r["text"] for r in again if r["type"] == "compare"],
              "compare --runs: an edited file of --allow is another contest")
    for other, why in ((rows[0] + "some text\n" + rows[1], "line 2: "), ("my notes", "its last line is not"),
                       ('{"type":"dream"}\n', "line 1: not a run of compare"), (rows[0] + "[1]", "its last line is not")):
        with open(kept, "w") as f:
            f.write(other)
        expect_error(1, "runs.jsonl: " + why, *args, "--runs", kept)
        with open(kept) as f:
            check(f.read() == other, "compare --runs: a file that is none is left alone")
    expect_error(1, "runs.jsonl: Not a directory", *args, "--runs", kept + "/runs.jsonl")
    os.mkfifo(kept + ".fifo")
    expect_error(1, "runs.jsonl.fifo: not a regular file", *args, "--runs", kept + ".fifo")
    expect_error(2, "--budgets: 400 stands there twice", "compare", spec, "--budgets", "400,300,400")


def loud_model(token, factor):
    """The tiny model with the embedding of a token so many times as long: texts with it have an outlier norm."""
    with open("tests/data/llama_a.gguf", "rb") as f:
        data = bytearray(f.read())
    after = lambda name: data.rindex(name) + len(name)  # there: dimensions, sizes, type, offset in the data
    first = -(-(after(b"output_norm.weight") + 24) // 32) * 32  # the data, behind the last tensor's description
    row = first + struct.unpack_from("<Q", data, after(b"token_embd.weight") + 24)[0] + token * 68
    for at in (row, row + 34):  # 64 weights: two Q8_0 blocks of a scale and 32 bytes
        struct.pack_into("<e", data, at, factor * struct.unpack_from("<e", data, at)[0])
    path = os.path.join(tempfile.mkdtemp(dir=WORK), "loud.gguf")
    with open(path, "wb") as f:
        f.write(data)
    return path


def test_outliers():
    """--outliers is of all methods, and of what is kept."""
    loud, spec = loud_model(37, 60), "block 2 [:, :, 14]"  # D
    kept = os.path.join(os.path.dirname(loud), "runs.jsonl")
    args = ["compare", spec, "--methods", "auto,swap,greedy", "--budget", "20000", "--seeds", "1", "--json", "--runs", kept]
    found = {}
    for which in ("last", "keep", "drop"):
        code, out, err = run(*args, "--outliers", which, model=loud)
        check(code == 0 and lines(out)[0]["settings"]["outliers"] == which, f"compare --outliers {which}: {code} {err}")
        found[which] = {r["method"]: r for r in lines(out) if r["type"] == "compare"}
        for method, r in found[which].items():
            code, said, _ = run("dream", spec, "--method", method, "--budget", "20000", "--no-share", "--top", "1", "--corpus",
                                "off", "--outliers", which, "--json", model=loud)
            d = lines(said)[1]
            none = which == "drop" and d["norm_ratio"] > 3
            check((None if none else d["activation"]["text"], d["text"], d["norm_ratio"] > 3) ==
                  (r["activation"], r["text"], r["outlier"]), f"compare --outliers {which}: {method} is the dream of its own")
    for method in ("auto", "swap"):
        keep, last = found["keep"][method], found["last"][method]
        check(keep["outlier"] and not last["outlier"] and keep["activation"] > last["activation"] and "D" in keep["text"],
              f"compare --outliers: {method} has the loud token only where it may: {keep['text']!r}, {last['text']!r}")
        check(found["drop"][method]["activation"] is not None and not found["drop"][method]["outlier"],
              f"compare --outliers drop: {method} has another answer")
    greedy = [found[which]["greedy"] for which in ("last", "keep", "drop")]
    check(all(r["outlier"] for r in greedy) and greedy[0]["activation"] == greedy[1]["activation"] > 0 and
          greedy[2]["activation"] is None, f"compare --outliers: greedy has one text, which may not count: {greedy}")
    code, out, err = run(*(x for x in args if x != "--json"), model=loud)
    check(re.search(r"\*!", out) and re.search(r"auto lost  block .* against greedy [\d.]+!", out), f"compare: outliers are marked: {out}")
    with open(kept) as f:
        before = f.read().replace(', "outliers": "last"', "").replace(',"outliers":"last"', "")
    with open(kept, "w") as f:
        f.write(before)
    code, out, err = run(*args, model=loud)
    check({r["method"]: r["seconds"] for r in lines(out) if r["type"] == "compare"} ==
          {m: r["seconds"] for m, r in found["last"].items()} and '"outliers":"keep"' in before,
          f"compare --runs: a run of before there was the option is one of last: {err}")
    expect_error(2, "--outliers never: expected last, keep or drop|--outliers: ", "compare", spec, "--outliers", "never")


def test_interrupt():
    """Ctrl-C after some runs: what is done is counted."""
    env = dict(os.environ, XDG_CACHE_HOME=CACHE)
    for more in (["--json"], []):
        p = subprocess.Popen([TOOL, "compare", "block 2 [:, :, 0-3]", "--methods", "auto,pez", "--budget",
                              "20000", "-m", TINY, *more],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, bufsize=0)
        first = [p.stdout.readline() for _ in range(4)]
        p.send_signal(signal.SIGINT)
        rest, err = p.communicate(timeout=60)
        check(p.returncode == 130 and b"interrupted" in err, f"compare, Ctrl-C: {p.returncode} {err!r}")
        out = (b"".join(first) + rest).decode()
        if more:
            done = [r for r in lines(out) if r["type"] == "compare"]
            sums = [r for r in lines(out) if r["type"] == "compare_summary"]
            check(3 <= len(done) < 40 and [r["missing"] for r in sums] == [40 - len(done)] * 2,
                  f"compare, Ctrl-C: {len(done)} runs, {sums}")
            check([r["cells"] for r in sums] == [len(done) // 2] * 2, "compare, Ctrl-C: whole cells count")
        else:
            check(re.search("of 40 runs are missing", out) and "against auto" in out, f"compare, Ctrl-C: {out}")


run_tests(test_compare, test_compare_runs, test_outliers, test_interrupt)
