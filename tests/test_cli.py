"""The tool as a user meets it: the commands that have no file of their own, colours, exit statuses, one-line errors.

    test_cli.py TOOL           on the tiny models of tests/data
"""

import os
import re
import subprocess

from cli import CACHE, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests, strip_times

# ---- on a terminal ----

def on_terminal(*args, **env):
    """What the tool writes to a terminal."""
    full = dict(os.environ, XDG_CACHE_HOME=CACHE, TERM="xterm-256color", **env)
    for name in ("NO_COLOR", "COLORTERM"):
        if name not in env:
            full.pop(name, None)
    master, slave = os.openpty()
    p = subprocess.Popen([TOOL, *args, "-m", TINY, "-q"], stdout=slave, stderr=subprocess.PIPE, env=full)
    os.close(slave)
    out = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            part = b""
        if not part:
            break
        out += part
    os.close(master)
    p.communicate(timeout=60)
    return out.decode()


def test_colours():
    args = ("attribute", "block 2 [:, -1, 1]", "abc")
    check("\033[48;2;255;" in on_terminal(*args, COLORTERM="truecolor"), "24-bit colours")
    out = on_terminal(*args)
    check("\033[48;5;202m" in out and "\033[48;2" not in out, "256 colours, the largest one full")
    line = [x for x in out.splitlines() if "\033[" in x][0]
    check(re.sub(r"\033\[[0-9;]*m", "", line) == "  abc", f"the coloured text is the text: {line!r}")
    check("\033[" not in on_terminal(*args, NO_COLOR="1"), "NO_COLOR")
    check("\033[" not in on_terminal(*args, COLORTERM="truecolor", NO_COLOR="1"), "NO_COLOR first")


def test_curves():
    args = ("dream", "block 2 [:, :, 1]", "--method", "descent", "--steps", "20", "--restarts", "1", "--no-store", "--corpus", "off")
    _, out, _ = run(*args, "-v")
    line = next((x for x in out.splitlines() if x.startswith("  descent")), "")
    curve = [x for x in line if x in "▁▂▃▄▅▆▇█"]
    values = lines(run(*args, "--json")[1])[1]["curve"]
    check(len(curve) == len(values) == 21, f"a block for each step and the end: {line!r}")
    low, high = min(values), max(values)
    heights = [1 + int((v - low) / (high - low) * 7.999) for v in values]
    check([" ▁▂▃▄▅▆▇█".index(c) for c in curve] == heights, f"as high as the curve: {line!r}")
    check(f"at last {values[-1]:.1f}" in line, f"and its end in figures: {line!r}")
    check("  descent" not in run(*args)[1], "without -v no curve")
    check("\033[48;2;" in on_terminal(*args, "-v", COLORTERM="truecolor"), "tokens are coloured by their activation")


def test_near():
    code, out, err = run("near", "a", "b", "--ids", "7", "--json", "--top", "4")
    rows = lines(out)
    check(code == 0 and err == "", f"near: {code} {err}")
    check([r["type"] for r in rows] == ["run"] + 3 * ["near"] + 3 * ["pair"], "near: lists, then pairs")
    check([r["token"] for r in rows[1:3]] == ["a", "b"] and rows[3]["id"] == 7, "near: tokens and ids")
    for r in rows[1:4]:
        c, e = r["cosine"], r["euclid"]
        check(len(c) == len(e) == 4, "near: the length of the lists")
        check(all(x["value"] >= y["value"] for x, y in zip(c, c[1:])), "near: cosines fall")
        check(all(x["value"] <= y["value"] for x, y in zip(e, e[1:])), "near: distances rise")
        check(r["id"] not in [x["id"] for x in c + e], "near: a token is not in its own list")
        z = (c[0]["value"] - r["random"]["cosine_mean"]) / r["random"]["cosine_sd"]
        check(abs(c[0]["deviations"] - z) < 1e-6, "near: deviations from random pairs")
    pair = rows[4]
    check((pair["a"]["token"], pair["b"]["token"]) == ("a", "b"), "near: a pair")
    code, out2, _ = run("near", "a", "--json", "--top", "300")
    mate = [x for x in lines(out2)[1]["cosine"] if x["token"] == "b"]
    check(mate and abs(mate[0]["value"] - pair["cosine"]) < 1e-6, "near: the pair's cosine is the list's")
    mate = [x for x in lines(out2)[1]["euclid"] if x["token"] == "b"]
    check(mate and abs(mate[0]["value"] - pair["distance"]) < 1e-6, "near: and so is its distance")
    args = ("near", "--from-dream", "block 1 [:, :, 3]", "a", "--json", "--top", "2")
    code, out, err = run(*args)
    rows = lines(out)
    found = [r for r in rows if r["type"] == "near" and "position" in r]
    pairs = [r for r in rows if r["type"] == "pair"]
    check(code == 0 and len(found) == 5 and len(pairs) == 10, f"near --from-dream: {code} {err}")
    code, dream, _ = run("dream", "block 1 [:, :, 3]", "--method", "descent", "--json")
    dream = lines(dream)[1]
    check([r["id"] for r in found] == dream["ids"], "near --from-dream: the dream's own answer")
    check([r["cosine"][0]["id"] for r in found] == [x["id"] for x in dream["nearest"]] and
          all(abs(r["cosine"][0]["value"] - x["cosine"]) < 1e-5 for r, x in zip(found, dream["nearest"])),
          "near --from-dream: the nearest that dream names")
    check(pairs[0]["b"]["id"] == found[0]["id"] and pairs[1]["b"]["token"] == "a", "near --from-dream: pairs")
    check(run(*args)[1] == out, "near: the same command gives the same bytes")
    code, out, err = run("near", "a", "--shape", "smollm2-135m", "--blocks", "1", "--json")
    check(code == 0 and abs(lines(out)[1]["random"]["cosine_sd"] - 576 ** -0.5) < 0.005,
          f"near: a shape's random embeddings {err}")
    second = ("-m", os.path.abspath("tests/data/llama_a.gguf"))
    code, out, err = run("near", "a", "--json", *second)
    check(code == 0 and [r["type"] for r in lines(out)] == 2 * ["run", "near"], f"near: two models {err}")
    expect_error(2, "which tokens", "near")
    expect_error(2, r"\"zzz\" is not a single token: 'z' 'z' 'z'", "near", "zzz")
    expect_error(2, r"\"\" is not a single token$", "near", "")
    expect_error(2, "id 99999", "near", "--ids", "99999")
    expect_error(2, "feature 9999", "near", "--from-dream", "block 1 [:, :, 9999]")
    expect_error(2, "top", "near", "a", "--top", "0")


def test_effect():
    args = ("effect", "block 1 [:, -1, 3-4]", "block 2 neuron [:, :, 2]", "abc", "--json", "--top", "4",
            "--corpus", "off")
    code, out, err = run(*args)
    rows = lines(out)
    check(code == 0 and err == "", f"effect: {code} {err}")
    check([r["type"] for r in rows] == ["run"] + 3 * ["effect"], "effect: lines")
    for r in rows[1:]:
        p, s = r["promoted"], r["suppressed"]
        check(len(p) == len(s) == 4 and p[0]["logit"] >= p[3]["logit"] > s[3]["logit"] >= s[0]["logit"],
              "effect: lists in order")
        check([c["what"] for c in r["changes"]] == ["zero", "raise"], "effect: changes")
        check(len(r["ids"]) == len(r["tokens"]) == 3, "effect: the text")
        for c in r["changes"]:
            moved = [abs(x["after"] - x["before"]) for x in c["shifts"]]
            check(c["kl"] > 0 and moved == sorted(moved, reverse=True), "effect: shifts in order")
        code, again, _ = run("score", r["feature"], "abc", "--json")
        check(abs(lines(again)[1]["activation"] - r["activation"]) < 1e-6, "effect agrees with score")
    value = rows[1]["activation"]
    check(rows[1]["changes"][0]["value"] == 0 and
          abs(rows[1]["changes"][1]["value"] - abs(value)) < 1e-6, "effect: raised by its largest value")
    code, plain, _ = run("effect", "block 1 [:, :, 3]", "--json", "--top", "4")
    plain = lines(plain)[1]
    check(plain["promoted"] == rows[1]["promoted"] and "changes" not in plain, "effect without a text")
    code, ids, _ = run("effect", "block 1 [:, -1, 3]", "--ids", ",".join(map(str, rows[1]["ids"])), "--json",
                       "--top", "4", "--corpus", "off")
    check(lines(ids)[1]["changes"] == rows[1]["changes"], "effect: ids in place of the text")
    corpus = os.path.join(WORK, "corpus.txt")
    with open(corpus, "w") as f:
        f.write("a cab is a bad idea, a bed is a good one\n" * 5)
    spec = "block 1 [:, -1, 3], block 1 [:, :, 3:5], block 2 neuron [:, :, 2], block 1 attn [:, :, 3]"
    code, out, err = run("effect", spec, "abc", "--json", "--top", "4", "--corpus", corpus)
    known = [[c["what"] for c in r["changes"]] for r in lines(out)[1:]]
    check(code == 0 and known == 3 * [["zero", "mean", "raise"]] + [["zero", "raise"]],
          f"effect: a corpus knows blocks and neurons: {known} {err}")
    changes = lines(out)[1]["changes"]
    check(changes[0] == rows[1]["changes"][0], "effect: zero does not depend on a corpus")
    code, out, _ = run("corpus", corpus, "block 1 [:, :, 3]", "--json")
    check(any(abs(r.get("mean", 1e9) - changes[1]["value"]) < 1e-6 for r in lines(out)), "effect: the corpus mean")
    expect_error(1, "No such file", "effect", "block 1 [:, :, 3]", "abc", "--corpus", "/nowhere")
    expect_error(1, r"final \[:, :, 1\]: ", "effect", "final [:, :, 1]")
    expect_error(1, r"only block 1 \[:, :, 1\]: ", "effect", "only block 1 [:, :, 1]", "abc")
    expect_error(2, "which feature", "effect")
    expect_error(2, "tokens are not in a text of 3", "effect", "block 1 [:, 7, 1]", "abc")
    expect_error(2, "top", "effect", "block 1 [:, :, 1]", "--top", "0")


def test_others():
    code, out, err = run("attribute", "block 2 [:, :, 1-2]", "abc abc", "--json")
    rows = lines(out)
    check(code == 0 and len(rows) == 3, f"attribute: {err}")
    check(len(rows[1]["grad_norm"]) == len(rows[1]["grad_x_input"]) == len(rows[1]["ids"]),
          "attribute: one value per token")
    check(len(rows[1]["occlusion"]) == len(rows[1]["ids"]) and
          abs(sum(rows[1]["combined"]) - 1) < 1e-6, "attribute: combined shares add up to 1")
    test_colours()
    test_curves()
    code, out, err = run("scan", "block 1 [:, :, 0:3]", "block 1 [:, 0, 2]", "--json", "--top", "3")
    rows = lines(out)
    check(code == 0 and len(rows) == 3 and len(rows[1]["top"]) == 3, f"scan: {err}")
    check(rows[1]["top"][0]["activation"] >= rows[1]["top"][1]["activation"] >= rows[1]["mean"]
          >= rows[1]["bottom"][1]["activation"] >= rows[1]["bottom"][0]["activation"], "scan: order")
    code, out, err = run("scan", "block 1 [:, :, 2]", "--json", "--top", "300", "--bos", "off")
    scan = lines(out)[1]
    check(len(scan["top"]) == scan["n"], "scan: the whole vocabulary")
    mean = sum(t["activation"] for t in scan["top"]) / scan["n"]
    check(abs(mean - scan["mean"]) < 1e-6, "scan: the mean")
    some = scan["top"][7]
    code, out, err = run("score", "block 1 [:, :, 2]", "--ids", str(some["id"]), "--json", "--bos", "off")
    check(abs(lines(out)[1]["activation"] - some["activation"]) < 1e-6, "scan agrees with score")
    code, out, err = run("info", "--json")
    check(code == 0 and lines(out)[1]["blocks"] == 2, f"info: {err}")
    code, out, err = run("tokenize", "abc", "--json")
    check(code == 0 and lines(out)[1]["ids"], f"tokenize: {err}")
    code, out, err = run("tokenize", "ab", "--json", model="tests/data/tokenizers/llama2.json")
    row = lines(out)[1] if code == 0 else {}
    check(row.get("ids", [0])[0] == 1 and "".join(row["tokens"]) == "<s> ab", f"tokenize: a tokenizer.json: {err}")
    code, out, err = run("tokenize", "ab", model="tests/data")
    check(code == 1 and "no tokenizer.json is there" in err, f"tokenize: a folder without one: {err}")
    code, out, err = run("tokenize", "")
    check(code == 0 and out == "" and err == "", "tokenize: empty text")
    code, out, err = run("tokenize", "", "--json")
    check(code == 0 and lines(out)[1]["ids"] == [], "tokenize: empty text as JSON")
    for command in ("dream", "scan", "corpus", "score", "attribute", "effect", "near", "recover", "info",
                    "tokenize", "compare", "compare-models", "bench"):
        code, out, err = run(command, "--help", model=None)
        check(code == 0 and "phosphene " + command in out and "Examples" in out, f"{command} --help")
    code, out, err = run("--help", model=None)
    check(code == 0 and "dream" in out, "--help")
    for command in (("dream", "block 1 [:, :, 0-1]", "--steps", "2", "-v"), ("scan", "block 1 [:, :, 0]"),
                    ("score", "block 1 [:, :, 0]", "ab"), ("attribute", "block 1 [:, :, 0]", "ab"), ("effect", "block 1 [:, :, 0]", "ab"), ("near", "a", "b"),
                    ("info", "-v"), ("tokenize", "ab")):
        code, out, err = run(*command)
        check(code == 0 and err == "" and "\033" not in out and out, f"{command}: table {err}")
    for backend in ("ref", "ref64", "cpu"):
        code, out, err = run("score", "block 2 [:, :, 1]", "abc", "--json", env={"PHOSPHENE_BACKEND": backend})
        code2, out2, _ = run("score", "block 2 [:, :, 1]", "abc", "--json")
        check(code == 0 and abs(lines(out)[1]["activation"] - lines(out2)[1]["activation"]) < 1e-4,
              f"backend {backend}: {err}")


def test_bench():
    """The figures' shape, and that they are about one machine; never how fast it is."""
    keys = ("run cold block rows tokens seconds spread gflops peak_gflops share gbytes peak_gbytes gbytes_share "
            "limit_share spared whole_seconds candidates_per_second token_forwards naive_forwards wall").split()
    args = ("bench", "--memory", "1", "--repeats", "3", "--rows", "1,4")
    code, out, err = run(*args, "--json", "-v")
    rows = lines(out)
    check(code == 0 and err == "" and rows[0]["type"] == "run", f"bench: {code} {err}")
    figures = [r for r in rows if r["type"] == "bench"]
    check([r["work"] for r in figures] == ["peak", "bandwidth"] + 4 * ["descent"] + ["scan", "swap", "load"],
          f"bench: works {[r['work'] for r in figures]}")
    for r in figures:
        check(all(k in r for k in keys), f"bench line: {sorted(set(keys) - set(r))}")
        check(r["seconds"] > 0 and r["spread"] >= 0, f"bench {r['work']}: seconds")
        check(r["run"] == rows[0]["id"], "bench: run id")
    peak, bandwidth, *descents, scan, swap, load = figures
    check(peak["share"] == 1 and bandwidth["gbytes_share"] == 1, "bench: limits are their own")
    check(peak["block"] is None and bandwidth["gflops"] is None and load["share"] is None, "bench: null where none")
    check([(r["rows"], r["cold"]) for r in descents] == [(1, False), (1, True), (4, False), (4, True)], "bench: descents")
    m = lines(run("info", "--json")[1])[1]
    heads = 2 * m["heads"] + 2 * m["kv_heads"]  # q and o, k and v
    parameters = m["width"] * (heads * m["head_width"] + 3 * m["ffn"])
    for r in (*descents, scan, swap):
        check(0 < r["share"] < 1.2 and r["peak_gflops"] == peak["gflops"], f"bench {r['work']}: share {r['share']}")
        check(abs(r["gflops"] / r["peak_gflops"] / r["share"] - 1) < 1e-6, f"bench {r['work']}: share of the peak")
    for r in descents:
        flops = 2 * 2 * r["rows"] * r["tokens"] * r["block"] * parameters  # forward and backward
        spared = m["ffn"] * (m["width"] - r["rows"]) / (r["block"] * parameters)  # of the last down-projection
        check(abs(r["spared"] - spared) < 1e-9, f"bench: spared {r['spared']}, not {spared}")
        check(abs(r["gflops"] * r["seconds"] * 1e9 / flops / (1 - spared) - 1) < 1e-6, "bench: a step's operations")
        check(r["block"] == 2 and r["tokens"] == 5, "bench: the last block, as 8 are not there")
        check(r["limit_share"] == max(r["share"], r["gbytes_share"]), "bench: share of the limit")
    check(scan["block"] == 2 and scan["rows"] == 300 and abs(scan["whole_seconds"] / scan["seconds"] - 1) < 1e-9,
          "bench: a scan of all of a small vocabulary")
    forwards = sum(12 - i % 12 for i in range(512))  # a variant is run from its new token on
    check((swap["token_forwards"], swap["naive_forwards"]) == (forwards, 512 * 12), "bench: tokens of swap")
    check(abs(swap["candidates_per_second"] * swap["seconds"] / 512 - 1) < 1e-6, "bench: candidates of swap")
    for r in (*descents, scan, swap, load):
        same = ("work", "cold", "block", "rows", "tokens")
        parts = [p for p in rows if p["type"] == "bench_part" and all(p[k] == r[k] for k in same)]
        check(any(p["part"] == "matmul" for p in parts) and all(p["seconds"] >= 0 for p in parts),
              f"bench {r['work']}: parts {len(parts)}")
        total = sum(p["seconds"] for p in parts)
        check(abs(total / r["wall"] - 1) < 0.03, f"bench {r['work']}: parts {total} of {r['wall']} s")
        check(len({(p["part"], str(p["shape"])) for p in parts}) == len(parts), f"bench {r['work']}: a part twice")
    calls = {p["part"]: p["calls"] for p in rows
             if p["type"] == "bench_part" and p["work"] == "descent" and p["rows"] == 4 and not p["cold"]}
    check(calls["attention"] == calls["attention backward"] == 2 and calls["rmsnorm"] == 4 and calls["update"] == 1
          and calls["objective"] == 1, f"bench: calls of a step {calls}")
    for work in ("bandwidth", "swap", "load"):
        code, out, err = run(*args, "--repeats", "1", work)
        check(code == 0 and err == "" and re.search(f"^{work}", out, re.M), f"bench {work}: {err}")
    expect_error(2, "expected peak, bandwidth, descent, scan, swap or load", "bench", "fly")
    expect_error(2, "block 3: expected 1 to 2", "bench", "load", "--block", "3")
    expect_error(2, "--rows ,: expected numbers", "bench", "--rows", ",")


def test_plans():
    """Weights read from the file give the same figures, and what a job takes is foretold."""
    rows = {}
    for plan in ("packed", "streamed"):
        code, out, err = run("score", "block 2 [:, :, 0-9]", "abc", "--plan", plan, "--json")
        check(code == 0, f"score --plan {plan}: {err}")
        first, *rows[plan] = lines(out)
        check(("streamed" in first["machine"]) == (plan == "streamed"), f"--plan {plan} stands in the run line")
    close = [abs(a["activation"] - b["activation"]) <= 1e-5 * max(map(abs, a["values"])) for a, b in zip(*rows.values())]
    check(len(close) == 10 and all(close), "score: both plans agree")
    expect_error(2, 'plan "kept": expected auto, packed or streamed', "score", "block 1 [:, :, 0]", "a", "--plan", "kept")
    expect_error(1, "cannot be streamed", "score", "block 1 [:, :, 0]", "a", "--plan", "streamed", "--untrained")
    jobs = {}
    for rows_ in ("8", "64"):
        code, out, err = run("info", "--job", "--json", "--rows", rows_, "--steps", "10")
        check(code == 0, f"info --job: {err}")
        j = jobs[rows_] = lines(out)[1]["job"]
        check(j["plan"] == "packed" and j["steps"] == 10 and j["block"] == 2, "info --job: the job")
        check(j["seconds"] > j["scan_seconds"] + 10 * j["step_seconds"] > 0, "info --job: seconds add up")
        parts = ("weight_bytes", "session_bytes", "vocabulary_bytes", "read_bytes")
        check(j["resident_bytes"] > sum(j[p] for p in parts) > 0, "info --job: bytes add up")
    check(jobs["64"]["session_bytes"] > 7 * jobs["8"]["session_bytes"], "info --job: rows take memory")
    j = lines(run("info", "--job", "--json", "--plan", "streamed")[1])[1]["job"]
    check(j["plan"] == "streamed" and j["weight_bytes"] == 0, "info --job: streamed")
    code, out, err = run("info", "--job")
    check(code == 0 and "memory    about" in out and "a step" in out, f"info --job as text: {err}")


def test_recover():
    base = ("recover", "block 2 [:, :, :], block 1 mlp [:, 1:, 0:9]", "--steps", "5", "--restarts", "2", "--json")
    code, out, err = run(*base, "abc is.")
    rows = lines(out)
    check(code == 0 and err == "" and len(rows) == 3, f"recover: {code} {err}")
    check([r["type"] for r in rows] == ["run", "recover", "recover"], "recover: types")
    check(rows[0]["settings"]["method"] == "descent" and rows[0]["settings"]["restarts"] == 2, "recover: settings")
    for r in rows[1:]:
        for key in ("run feature method decode target_ids ids text target_text matched of distance random_distance "
                    "restart soft_distance decodes curve token_forwards seconds tokens").split():
            check(key in r, f"recover line: {key}")
        check(r["of"] == len(r["target_ids"]) == len(r["ids"]) and r["target_text"] == "abc is.", "recover: sizes")
        check(r["matched"] == sum(a == b for a, b in zip(r["ids"], r["target_ids"])), "recover: matched")
        check(len(r["decodes"]) == 6 and len(r["curve"]) == 6, "recover: six decodes, steps + 1 points")
        check(r["distance"] == min(d["distance"] for d in r["decodes"]), "recover: the nearest is the answer")
    code, again, _ = run(*base, "abc is.")
    check(strip_times(out) == strip_times(again), "recover: the same command twice gives the same bytes")
    ids = ",".join(map(str, rows[1]["target_ids"]))
    code, again, _ = run(*base, "--ids", ids)
    check([r["ids"] for r in lines(again)[1:]] == [r["ids"] for r in rows[1:]], "recover: --ids is the text")
    spec, exact = "block 2 [:, :, :], logits [:, :, :]", ("--method", "exact", "--json")
    code, out, err = run("recover", spec, "abc is.", *exact)
    for r in lines(out)[1:]:
        check(r["matched"] == r["of"] and r["text"] == "abc is." and r["distance"] == 0, "exact: the text")
        check(r["worst_found"] <= r["tolerance"] < 1e-3 and r["tried"] >= r["of"], "exact: figures")
    code, other, err = run("recover", spec, "abc is.", "--unguided", *exact)
    check([r["ids"] for r in lines(other)[1:]] == [r["ids"] for r in lines(out)[1:]], "exact: unguided agrees")
    code, out, err = run("recover", "block 2 [:, :, :]", "abc", "--among", "cba", *exact)
    check(lines(out)[1]["text"] == "abc" and lines(out)[1]["tried"] <= 9, f"among: {err}")
    code, out, err = run("recover", "block 2 [:, :, :]", "abc", "--among-ids", "64,66", *exact)
    r = lines(out)[1]
    check(r["ids"][0] == 64 and set(r["ids"]) <= {64, 66} and r["worst_found"] > r["tolerance"], f"among-ids: {err}")
    for more in (["--sequential"], ["--objective", "l2", "--optimizer", "gd", "--eta", "0.01:0.001"],
                 ["--start", "half"], ["--decode", "euclid"], ["--among", "xyz"], ["--untrained"],
                 ["--bos", "off"], ["--prefix", "ab"], ["-m", "untrained:" + TINY], ["--eta", "1e30:1e30"]):
        code, out, err = run("recover", "block 1 [:, :, :]", "abc", "--steps", "3", "--json", *more)
        check(code == 0 and len(lines(out)) == (4 if "-m" in more else 2), f"recover {more}: {code} {err}")
        check("NaN" not in out and "Infinity" not in out, f"recover {more}: no NaN in JSON")
    for more in ([], ["-v"], ["--method", "exact", "-v"], ["--sequential", "-v"], ["--among-ids", "7", "--method", "exact"]):
        code, out, err = run("recover", "block 1 [:, :, :]", "abc", "--steps", "3", *more)
        check(code == 0 and err == "" and "\033" not in out and " of 3" in out, f"recover {more}: table {err}")
        check(("NOT FOUND" in out) == ("--among-ids" in more), f"recover {more}: says whether it was found")
    expect_error(2, "method \"magic\": expected one of descent, exact", "recover", "block 1 [:, :, :]", "ab", "--method", "magic")
    expect_error(2, "objective \"cosine\": expected one of l1, l2", "recover", "block 1 [:, :, :]", "ab", "--objective", "cosine")
    expect_error(2, "tokens are not in a text of 2", "recover", "block 1 [:, 7, :]", "ab")
    expect_error(2, "exact recovery goes from token to token", "recover", "block 1 [:, -1, :]", "ab", "--method", "exact")
    expect_error(2, "among: id 999: this model has 0 to", "recover", "block 1 [:, :, :]", "ab", "--among-ids", "5,999")
    expect_error(2, "--among-ids 5;6: expected ids", "recover", "block 1 [:, :, :]", "ab", "--among-ids", "5;6")
    expect_error(2, "--among and --among-ids: one of them", "recover", "block 1 [:, :, :]", "ab", "--among-ids", "5", "--among", "a")
    expect_error(2, "among: expected at least one token", "recover", "block 1 [:, :, :]", "ab", "--among", "")
    expect_error(2, "eta", "recover", "block 1 [:, :, :]", "ab", "--eta", "1")
    expect_error(2, "block 3", "recover", "block 3 [:, :, :]", "ab")
    expect_error(1, "the text has no tokens", "recover", "block 1 [:, :, :]", "")
    expect_error(1, "UTF-8", "recover", "block 1 [:, :, :]", b"ab\xff")


# ---- errors ----

def test_errors():
    expect_error(2, "feature 9999: block 1 of this model has 0 to 59", "dream", "block 1 [:, :, 9999]")
    expect_error(2, "block 3", "dream", "block 3 [:, :, 1]")
    expect_error(2, ".", "dream", "block 1 [:, :, 1")
    expect_error(2, ".", "dream", "")
    expect_error(2, "tokens", "dream", "block 1 [:, :, 1]", "--tokens", "0")
    expect_error(2, "tokens 1000000000: expected 1 to", "dream", "block 1 [:, :, 1]", "--tokens", "1000000000")
    expect_error(2, "steps", "dream", "block 1 [:, :, 1]", "--steps", "-1")
    expect_error(2, "tokens are not in a text of 5", "dream", "block 1 [:, 7, 1]")
    expect_error(2, "objective \"l7\": expected one of l1, l2, linear", "dream", "block 1 [:, :, 1]", "--objective", "l7")
    expect_error(2, "optimizer", "dream", "block 1 [:, :, 1]", "--optimizer", "sgdx")
    expect_error(2, "start", "dream", "block 1 [:, :, 1]", "--start", "nowhere")
    expect_error(2, "decode", "dream", "block 1 [:, :, 1]", "--decode", "magic")
    expect_error(2, "eta", "dream", "block 1 [:, :, 1]", "--eta", "1")
    expect_error(2, "eta", "dream", "block 1 [:, :, 1]", "--eta", "nan:1")
    expect_error(2, "start \"text:\"", "dream", "block 1 [:, :, 1]", "--start", "text:")
    expect_error(2, "backend", "dream", "block 1 [:, :, 1]", "--backend", "abacus")
    expect_error(2, "unknown command", "dreem", model=None)
    expect_error(2, "id 99999", "score", "block 1 [:, :, 1]", "--ids", "5,99999")
    expect_error(2, "ids", "score", "block 1 [:, :, 1]", "--ids", "5,x")
    expect_error(2, "id 99999", "tokenize", "--ids", "99999")
    expect_error(1, "the text has no tokens", "score", "block 1 [:, :, 1]", "")
    expect_error(1, "UTF-8", "score", "block 1 [:, :, 1]", b"ab\xff")
    expect_error(1, "UTF-8", "tokenize", b"\xc3")
    expect_error(2, ".", "dream", b"block \xff [:, :, 1]")


run_tests(test_near, test_effect, test_recover, test_bench, test_plans, test_others, test_errors)
