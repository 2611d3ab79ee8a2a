"""The tool as a user meets it: the JSON contract, exit statuses, one-line errors, hostile input.

    test_cli.py TOOL           on the tiny models of tests/data
"""

import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile

from cli import CACHE, FOLDERS, SANITIZED, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests, strip_times

# ---- the contract ----

def test_dream():
    args = ("dream", "block 2 [:, :, 0-2]", "--steps", "12", "--restarts", "3", "--json")
    code, out, err = run(*args)
    check(code == 0 and err == "", f"dream: {code} {err}")
    rows = lines(out)
    check(rows[0]["type"] == "run" and list(rows[0])[0] == "type", "the run line comes first")
    for key in ("id", "version", "model", "machine", "context", "seed", "settings"):
        check(key in rows[0], f"run line: {key}")
    for key in ("file", "sha256", "name", "quant"):
        check(key in rows[0]["model"], f"run line: model.{key}")
    check([r["feature"] for r in rows[1:]] == [f"block 2 [:, :, {i}]" for i in range(3)],
          "features in order")
    check(": " not in out.split('"text"')[0] and ', "' not in out.split('"text"')[0], "compact")
    for r in rows[1:]:
        for key in ("type run feature method decode restart seed ids tokens text text_ids activation "
                    "values max round_trip norm_ratio z random best_token curve decodes "
                    "token_forwards seconds nearest reduce").split():
            check(key in r, f"dream line: {key}")
        check(len(r["ids"]) == len(r["tokens"]) == len(r["values"]) == 5, "five tokens")
        check(len(r["curve"]) == 13, "curve has steps + 1 values")
        check(len(r["decodes"]) == 6, "six decodes")
        check(r["run"] == rows[0]["id"], "run id")
        check(abs(sum(r["values"]) / 5 - r["activation"]["ids"]) < 1e-4, "ids = mean of values")
        check(abs(r["curve"][-1] - r["activation"]["soft"]) < 1e-6, "soft is the curve's end")
        best = max((d["activation"]["text"] for d in r["decodes"]
                    if d["round_trip"] and d["activation"]["text"] is not None), default=None)
        if r["round_trip"] and not r["norm_ratio"] > 3:
            check(r["activation"]["text"] >= best - 1e-9 or
                  any(d["norm_ratio"] > 3 for d in r["decodes"]), "the best text is the answer")
        # the law: what is printed is what a plain forward pass says
        code, out2, _ = run("score", r["feature"], r["text"], "--json")
        again = lines(out2)[1]
        check(again["ids"] == r["text_ids"], "text tokenises to text_ids")
        check(abs(again["activation"] - r["activation"]["text"]) < 1e-5, "score agrees with dream")
        code, out2, _ = run("score", r["feature"], "--ids", ",".join(map(str, r["ids"])), "--json")
        check(abs(lines(out2)[1]["activation"] - r["activation"]["ids"]) < 1e-5, "ids agree")
        code, out2, _ = run("scan", r["feature"], "--json", "--top", "40")
        top = lines(out2)[1]["top"]
        check(abs(max(t["activation"] for t in top) - r["best_token"]["activation"]) < 1e-6 or
              r["best_token"]["id"] in [t["id"] for t in top], "best token is in the scan")
    code, out2, _ = run(*args)
    check(strip_times(out) == strip_times(out2), "the same command twice gives the same bytes")
    code, a, _ = run(*args, "--threads", "1")
    code, b, _ = run(*args, "--threads", "1")
    check(strip_times(a) == strip_times(b), "the same with --threads 1")
    code, alone, _ = run("dream", "block 2 [:, :, 1]", *args[2:])
    drop = lambda r: {k: v for k, v in r.items() if k not in ("run", "seconds")}
    check(drop(lines(alone)[1]) == drop(rows[2]), "a feature does not depend on its batch mates")
    code, fresh, _ = run(*args, "--no-cache")
    check(strip_times(fresh) == strip_times(out), "the cache changes nothing")


def test_dream_options():
    base = ("dream", "block 1 [:, :, 3]", "--steps", "4", "--restarts", "2", "--json")
    for more in (["--objective", "l2", "--eta", "0.01:0.001"], ["--objective", "linear"],
                 ["--optimizer", "adam", "--eta", "0.02:0.002"], ["--start", "tokens"],
                 ["--start", "rms", "--eta", "0.1rms:0.01rms"], ["--start", "normal"],
                 ["--decode", "euclid"], ["--sign", "-"], ["--reduce", "max"], ["--reduce", "last"],
                 ["--bos", "off"], ["--bos", "on"], ["--prefix", "ab", "--suffix", "cd"],
                 ["--tokens", "1"], ["--seed", "3"], ["--top", "2"], ["--eta", "1e30:1e30"]):
        code, out, err = run(*base, *more)
        rows = lines(out)
        most = 3 if "--top" in more else 2  # fewer where two texts share more than half their tokens
        check(code == 0 and 2 <= len(rows) <= most, f"{more}: {code} {err}")
        check("NaN" not in out and "Infinity" not in out, f"{more}: no NaN in JSON")
    code, out, _ = run(*base, "--sign", "-")
    low = lines(out)[1]
    code, out, _ = run(*base)
    high = lines(out)[1]
    check(low["activation"]["text"] < high["activation"]["text"], "sign - goes down")
    code, out, _ = run("dream", "block 1 [:, :, 3]", "--start", "text:abcab", "--steps", "3", "--json")
    r = lines(out)[1]
    code, out, _ = run("score", "block 1 [:, :, 3]", "abcab", "--json")
    check(abs(lines(out)[1]["activation"] - r["curve"][0]) < 1e-5, "a text start begins at the text")
    for place in ("embed [:, :, 1]", "block 1 attn [:, :, 1]", "block 2 mlp [:, -1, 1]",
                  "block 1 neuron [:, :, 1]", "final [:, 0:2, 1]", "logits [:, :, 1]",
                  "only block 2 [:, :, 0:4]", "blocks.1.hook_mlp_out[:, :, 2]"):
        code, out, err = run("dream", place, "--steps", "2", "--restarts", "1", "--json")
        check(code == 0 and len(lines(out)) == 2, f"{place}: {code} {err}")


def test_methods():
    """Every method: the contract, curves, and that a feature does not depend on its batch mates."""
    drop = lambda r: {k: v for k, v in r.items() if k not in ("run", "seconds")}
    for method, usual in (("descent", ("gd", "half", 1.0)), ("softmax", ("gd", "half", 1.0)),
                          ("pez", ("adamw", "tokens", 0.1)), ("gumbel", ("adam", "tokens", 0.3))):
        args = ("--method", method, "--steps", "5", "--restarts", "15", "--json")
        code, out, err = run("dream", "block 2 [:, :, 0-2]", *args)
        check(code == 0 and err == "", f"{method}: {code} {err}")
        rows = lines(out)
        s = rows[0]["settings"]
        check((s["optimizer"], s["start"], s["eta_first"], s["restarts"]) == (*usual, 15), f"{method}: settings {s}")
        code, alone, _ = run("dream", "block 2 [:, :, 1]", *args)
        check(drop(lines(alone)[1]) == drop(rows[2]), f"{method}: a feature alone")
        code, again, _ = run("dream", "block 2 [:, :, 0-2]", *args)
        check(strip_times(again) == strip_times(out), f"{method}: the same bytes again")
        r = rows[1]
        check(r["method"] == method and len(r["curve"]) == len(r["objective"]) == 6 and len(r["rows"]) == 15,
              f"{method}: curves and rows")
        check(len({x["objective"] for x in r["rows"]}) == 15, f"{method}: restarts differ")
        own = [d for d in r["decodes"] if d["decode"] is None]
        check(len(own) == (method != "descent") and len(r["decodes"]) == 6 + len(own), f"{method}: decodes")
        if method == "pez":
            check(own[0]["activation"]["ids"] >= max(r["curve"]) - 1e-5, "pez: the best of what it met")
        code, out, err = run("dream", "block 2 [:, :, 0-1]", *args, "--eta", "1e30:1e30", "--decode", "euclid")
        check(code == 0 and len(lines(out)) == 3 and "NaN" not in out and "Infinity" not in out,
              f"{method}: a huge step: {code} {err}")
        code, out, _ = run("dream", "block 1 [:, :, 3]", "--method", method, "--start", "text:abcab", "--json")
        s, r = lines(out)[0]["settings"], lines(out)[1]
        check(s["restarts"] == 1 and s["steps"] == 100 == len(r["curve"]) - 1, f"{method}: from a text: {s}")
    expect_error(2, "method \"pet\": expected one of descent, ", "dream", "block 1 [:, :, 1]", "--method", "pet", "--json")
    expect_error(2, "--eta 0:0: no step", "dream", "block 1 [:, :, 1]", "--eta", "0:0")


def front_of(row):
    """A result's front, after a check of what every front is: sorted, and no text beaten by another."""
    front = row["front"]
    sign = 1 if len(front) < 2 or front[0]["activation"] > front[-1]["activation"] else -1
    points = [(sign * f["activation"], -f["cross_entropy"]) for f in front]
    check(points == sorted(points, reverse=True), "front: the most active first")
    for a in points:
        check(not any(b != a and b[0] >= a[0] and b[1] >= a[1] for b in points), f"front: {a} is beaten")
    return front


def test_fluent():
    base = ("dream", "block 2 [:, :, 0-1]", "--tokens", "3", "--budget", "1500", "--json")
    for method in (["epo"], ["beam"], ["auto", "--fluent"], ["auto", "--lambda", "0.5"], ["swap", "--fluent"]):
        args = (*base, "--method", *method)
        code, out, err = run(*args)
        rows = lines(out)
        check(code == 0 and err == "", f"{method}: {code} {err}")
        check(rows[0]["settings"]["fluent"] is True, f"{method}: settings")
        check(all(isinstance(r["cross_entropy"], float) for r in rows[1:]), f"{method}: cross-entropy")
        first = [r for r in rows[1:] if r["rank"] == 0]
        check(len(first) == 2 and all(r["rank"] == 0 or "front" not in r for r in rows[1:]), f"{method}: fronts")
        for r in first:
            front = front_of(r)
            best = max(x["activation"]["text"] for x in rows[1:] if x["feature"] == r["feature"])
            check(front and (front[0]["activation"] >= best - 1e-6 or r["norm_ratio"] > 3), f"{method}: front's best")
            for f in front[:2]:  # the law: what is printed is what a plain forward pass says
                code, again, _ = run("score", r["feature"], f["text"], "--json")
                again = lines(again)[1]
                check(again["ids"] == f["ids"] and abs(again["activation"] - f["activation"]) < 1e-5,
                      f"{method}: {f}")
        code, again, _ = run(*args)
        check(strip_times(again) == strip_times(out), f"{method}: the same bytes again")
        if "--lambda" in method:
            ranked = [[r["activation"]["text"] - 0.5 * r["cross_entropy"] for r in rows[1:] if r["feature"] == f]
                      for f in {r["feature"] for r in rows[1:]}]
            check(all(x == sorted(x, reverse=True) for x in ranked), f"ranked by both: {ranked}")
        elif method[0] in ("epo", "beam"):
            drop = lambda r: {k: v for k, v in r.items() if k not in ("run", "seconds")}
            code, alone, _ = run("dream", "block 2 [:, :, 1]", *args[2:])
            check([drop(r) for r in lines(alone)[1:]] == [drop(r) for r in rows[1:] if "1]" in r["feature"]],
                  f"{method}: a feature alone")
        code, out, err = run(*args, "--sign", "-")
        check(code == 0 and all(front_of(r) for r in lines(out)[1:] if r["rank"] == 0), f"{method}: {err}")
        code, out, err = run(*(a for a in args if a != "--json"))
        check(code == 0 and " nats" in out and out.count("  front ") == 2, f"{method}: the table {out} {err}")
    code, out, _ = run("dream", "block 2 [:, :, 0]", "--method", "swap", "--budget", "500", "--json")
    check(lines(out)[1]["cross_entropy"] is None and "front" not in lines(out)[1], "not asked for")
    code, out, _ = run("dream", "block 2 [:, :, 0]", "--method", "swap", "--budget", "500")
    check("nats" not in out, "no column where nothing was computed")
    code, out, _ = run(*base, "--method", "epo", "--population", "3", "--children", "4", "--lambda", "0.5:2",
                       "--restart-every", "0")
    s = lines(out)[0]["settings"]
    check((s["population"], s["children"], s["lambda_first"], s["lambda_last"], s["restart_every"], s["top_k"]) ==
          (3, 4, 0.5, 2, 0, 512), f"epo: settings {s}")
    for more in (["--tokens", "1"], ["--tokens", "1", "--bos", "off"], ["--tokens", "1:4"], ["--outliers", "drop"],
                 ["--round-trip", "prefer"], ["--round-trip", "off"], ["--prefix", "ab", "--suffix", "cd"],
                 ["--ascii", "--ban", "e"], ["--budget", "1"]):
        for method in ("epo", "beam"):
            code, out, err = run(*base, "--method", method, *more)
            check(code == 0 and "NaN" not in out and len(lines(out)) >= 3, f"{method} {more}: {code} {err}")
    expect_error(2, "lambda 0:2: expected both more than 0, or both 0", *base, "--method", "epo", "--lambda", "0:2")
    expect_error(2, "lambda -1: expected 0 or more", *base, "--method", "auto", "--lambda=-1")
    expect_error(2, "--population 0: ", *base, "--method", "epo", "--population", "0")
    expect_error(1, r"only block 2 \[:, :, 0\]: a block alone, but the cross-entropy is of the whole model",
                 "dream", "only block 2 [:, :, 0]", "--method", "beam")


def test_constraints():
    base = ("dream", "block 1 [:, :, 3]", "--steps", "4", "--restarts", "2", "--start", "tokens", "--json")
    words = os.path.join(WORK, "words.txt")
    with open(words, "w") as f:
        f.write("the jan\r\nx\n")
    held = {"--ascii": lambda t: all(" " <= c <= "~" for c in t), "--letters": lambda t: t.replace(" ", "").isalpha(),
            "--allow=" + words: lambda t: set(t) <= set("the janx"),
            "--ban=e": lambda t: "e" not in t, "--contains=zzz": None}
    for method in ("descent", "softmax", "pez", "gumbel", "greedy"):
        for option, holds in held.items():
            code, out, err = run(*base, "--method", method, option)
            check(code == 0 and err == "", f"{method} {option}: {code} {err}")
            r = lines(out)[1]
            check(r["violates"] == (holds is None), f"{method} {option}: violates {r['violates']}")
            check(holds is None or holds("".join(r["tokens"])), f"{method} {option}: {r['tokens']}")
            check(all(type(d["violates"]) is bool for d in r["decodes"]), "every decode says so")
    code, out, _ = run(*base, "--letters", "--ban", "e", "--ban", "a b", "--allow", words, "--contains", "j", "--special")
    check(lines(out)[0]["settings"]["constraints"] ==
          {"ascii": False, "letters": True, "special": True, "allow": words, "ban": ["e", "a b"], "contains": "j"},
          "the run line has the constraints")
    code, out, _ = run(*base, "--method", "greedy", "--special", "--allow", words)
    free = lines(run(*base, "--method", "greedy")[1])[1]
    check(lines(out)[1]["best_token"] == free["best_token"] and lines(out)[1]["random"] == free["random"],
          "yardsticks know no constraints")
    code, out, err = run(*(x for x in base if x != "--json"), "--contains", "zzz", "-v")
    check("breaks a constraint" in out and "cannot win" in out, f"the table says so: {out}")
    expect_error(2, "--ban: an empty text", *base, "--ban", "")
    expect_error(2, "--contains: an empty text", *base, "--contains", "")
    expect_error(1, "No such file", *base, "--allow", words + ".not")
    with open(words, "wb") as f:
        f.write(b"\n\n")
    expect_error(2, "the constraints leave no token that may be named", *base, "--allow", words)
    with open(words, "wb") as f:
        f.write(b"ab\xff")
    expect_error(1, "allow: byte 2 is not UTF-8", *base, "--allow", words)


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


def test_hidden():
    """The page's published strings, small: the feature's index comes back as a token id."""
    tiny = os.path.abspath("tests/data/llama_a.gguf")
    args = ("dream", "block 1 [:, :, 0-3]", "--untrained", "--blocks", "1", "--bos", "off", "--target", "200",
            "--eta", "0.5:0.4", "--restarts", "1", "--json")
    code, out, err = run(*args, "--decode", "hidden", model=tiny)
    hidden = lines(out)[1:]
    check([r["ids"] for r in hidden] == [[f] * 5 for f in range(4)], f"hidden: {code} {out[-400:]} {err}")
    check(hidden[0]["tokens"] == ["<|endoftext|>"] * 5, "hidden names special tokens where asked to")
    code, out, err = run(*args, model=tiny)
    for r, alone in zip(lines(out)[1:], hidden):
        beside = {d["decode"]: d for d in r["decodes"]}
        check(beside["hidden"]["ids"] == alone["ids"], "the same beside the others")
        check(all(d["activation"]["ids"] is not None for d in beside.values()), "each with its figure")
        check(r["decode"] != "hidden" or alone["ids"][0] > 1, "special tokens never win against ordinary ones")


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
            "limit_share whole_seconds candidates_per_second token_forwards naive_forwards wall").split()
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
        check(abs(r["gflops"] * r["seconds"] * 1e9 / flops - 1) < 1e-6, "bench: a step's operations")
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
    for other, why in ((rows[0] + "some text\n" + rows[1], "line 2: "), ("my notes", "its last line is not"),
                       ('{"type":"dream"}\n', "line 1: not a run of compare"), (rows[0] + "[1]", "its last line is not")):
        with open(kept, "w") as f:
            f.write(other)
        expect_error(1, "runs.jsonl: " + why, *args, "--runs", kept)
        with open(kept) as f:
            check(f.read() == other, "compare --runs: a file that is none is left alone")
    expect_error(1, "runs.jsonl: Not a directory", *args, "--runs", kept + "/runs.jsonl")


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


def hostile(name, data, status, pattern, command=("info",)):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.write(data)
    expect_error(status, pattern, *command, model=path)


def test_files():
    with open(TINY, "rb") as f:
        good = f.read()
    expect_error(1, "No such file", "info", model=os.path.join(WORK, "missing.gguf"))
    expect_error(1, "config.json: No such file", "info", model=WORK)
    hostile("empty.gguf", b"", 1, "the file is empty")
    hostile("text.gguf", b"hello, this is not a model\n" * 10, 1, "GGUF")
    parts = [f"tests/data/split/llama_c-0000{i}-of-00004.gguf" for i in range(1, 5)]
    whole = run("score", "block 2 [:, :, 1]", "abc", "--json", model="tests/data/llama_c.gguf")[1]
    for part in (parts[0], parts[2]):
        code, out, err = run("score", "block 2 [:, :, 1]", "abc", "--json", model=part)
        check(code == 0 and lines(out)[1]["values"] == lines(whole)[1]["values"], f"{part}: {err}")
        check(lines(out)[0]["model"]["sha256"] == hashlib.sha256(b"".join(open(p, "rb").read() for p in parts))
              .hexdigest(), f"{part}: sha256")
    alone = shutil.copy(parts[1], WORK)
    expect_error(1, "llama_c-00001-of-00004.gguf: part 1 of 4 is missing$", "info", model=alone)
    step = 1000 if len(good) < 200000 and not SANITIZED else 5000
    for n in range(1, len(good), step):
        hostile("cut.gguf", good[:n], 1, ".")
    rename = lambda old, new: good.replace(old, new)
    hostile("arch.gguf", rename(b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05\x00\x00\x00\x00\x00\x00\x00lemma"), 1,
            'architecture "lemma" is not supported yet')
    at = good.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 16
    for number, pattern in ((16, "blk.0.attn_q.weight.*not supported"), (999, "blk.0.attn_q.weight.*type 999")):
        hostile("type.gguf", good[:at] + number.to_bytes(4, "little") + good[at + 4:], 1, pattern)
    at = good.index(b"blk.0.attn_norm.weight") + len(b"blk.0.attn_norm.weight") + 4
    hostile("large.gguf", good[:at] + (1 << 40).to_bytes(8, "little") + good[at + 8:], 1, "blk.0.attn_norm.weight")
    nan = bytearray(good)
    nan[-4:] = b"\x00\x00\xc0\x7f"
    for i in range(len(nan) - 4096, len(nan), 2):
        nan[i:i + 2] = b"\x00\x7e"  # NaN in F16, and in F32 too
    hostile("nan.gguf", bytes(nan), 1, "NaN", ("scan", "logits [:, :, 1-3]", "block 2 [:, :, 1]", "--no-cache"))
    header = good.index(b"token_embd.weight")
    flips = range(0, min(header, 4000), 97 if not SANITIZED else 397)
    for i in flips:
        broken = bytearray(good)
        broken[i] ^= 0xFF
        path = os.path.join(WORK, "flip.gguf")
        with open(path, "wb") as f:
            f.write(bytes(broken))
        code, out, err = run("info", model=path)
        check(code in (0, 1) and "Sanitizer" not in err and (code == 0 or err.count("\n") == 1),
              f"byte {i} flipped: exit {code}: {err!r}")
    path = os.path.join(WORK, "secret.gguf")
    with open(path, "wb") as f:
        f.write(good)
    os.chmod(path, 0)
    os.chmod(WORK, 0o755)
    nobody = {"user": 65534} if os.geteuid() == 0 else {}
    try:
        p = subprocess.run([TOOL, "info", "-m", path], capture_output=True, timeout=60, **nobody)
        check(p.returncode == 1 and b"Permission denied" in p.stderr, f"no permission: {p.stderr!r}")
    except PermissionError:
        print("skipped: no permission (nobody may not run the tool here)")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            code, _, err = run("scan", "block 1 [:, :, 1]", stdout=full)
        check(code == 1 and "could not be written" in err, f"full disk: {code} {err!r}")


def copy_folder(name, change=None, **files):
    """A folder of the families with its config.json changed and files replaced (None: removed)."""
    to = os.path.join(tempfile.mkdtemp(dir=WORK), name)
    shutil.copytree(os.path.join(FOLDERS, name), to)
    config = json.load(open(os.path.join(to, "config.json")))
    if change is not None:
        config = {k: v for k, v in (config | change).items() if v != "remove"}
        json.dump(config, open(os.path.join(to, "config.json"), "w"))
    for file, data in files.items():
        os.remove(os.path.join(to, file)) if data is None else open(os.path.join(to, file), "wb").write(data)
    return to


def halved(name, kind):
    """A folder whose one file's F32 numbers lose their lower half, kept as F32 or as BF16."""
    to = copy_folder(name)
    path = os.path.join(to, "model.safetensors")
    data = open(path, "rb").read()
    (n,) = struct.unpack("<Q", data[:8])
    header, body, at = json.loads(data[8 : 8 + n]), b"", 0
    for t in (v for k, v in header.items() if k != "__metadata__"):
        begin, end = (8 + n + x for x in t["data_offsets"])
        upper = b"".join(data[i + 2 : i + 4] if kind == "BF16" else b"\0\0" + data[i + 2 : i + 4]
                         for i in range(begin, end, 4))
        t.update(dtype=kind, data_offsets=[at, at + len(upper)])
        body, at = body + upper, at + len(upper)
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)
    return to


def test_bf16():
    """Copied norms, permuted heads and plain tensors in BF16 are the same numbers in F32."""
    if not os.path.isdir(FOLDERS):
        print("skipped: BF16 (folders were not made)")
        return
    for name in ("gemma2", "gptneox_series", "llama_llama3"):
        rows = [lines(run("score", "block 2 [:, :, 0-2]", "The end", "--json", model=halved(name, kind))[1])
                for kind in ("F32", "BF16")]
        check(rows[0][0]["model"]["quant"] == "F32" and rows[1][0]["model"]["quant"] == "BF16", f"{name}: types")
        check([r["activation"] for r in rows[0][1:]] == [r["activation"] for r in rows[1][1:]] and len(rows[0]) == 4,
              f"{name}: BF16 {rows}")


def test_folders():
    """A Hugging Face folder says what the GGUF of the same weights says; errors name what is wrong."""
    if not os.path.isdir(FOLDERS):
        print("skipped: folders (they were not made)")
        return
    for name in sorted(n for n in os.listdir(FOLDERS) if n != "made"):
        gguf, folder = os.path.abspath(f"tests/data/families/{name}.gguf"), os.path.join(FOLDERS, name)
        both = [run("score", "block 2 [:, :, 0-2]", "The end of it", "--json", model=m) for m in (gguf, folder)]
        check(both[0][0] == both[1][0] == 0, f"{name}: {both}")
        for a, b in zip(lines(both[0][1])[1:], lines(both[1][1])[1:], strict=True):
            check(a["ids"] == b["ids"], f"{name}: the same tokens")
            check(abs(a["activation"] - b["activation"]) <= 1e-4 * max(1, abs(a["activation"])), f"{name}: {a} {b}")
    folder = os.path.join(FOLDERS, "gemma")  # two files and an index
    row = lines(run("info", "--json", model=folder)[1])
    check(row[1]["name"] == "gemma" and row[1]["family"] == "gemma", f"info of a folder: {row}")
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)
               if f.endswith(".safetensors") or f == "config.json")
    check(row[1]["file_bytes"] == size, "all files count")
    sha = {row[0]["model"]["sha256"]}
    shard = "model-00002-of-00002.safetensors"
    data = open(os.path.join(folder, shard), "rb").read()
    for other in (copy_folder("gemma", {"rms_norm_eps": 1e-4}),
                  copy_folder("gemma", **{"tokenizer_config.json": b"{}"}),
                  copy_folder("gemma", **{shard: data[:-1] + bytes([data[-1] ^ 1])})):
        sha.add(lines(run("info", "--json", model=other)[1])[0]["model"]["sha256"])
    check(len(sha) == 4, f"config and every file make the identity: {sha}")
    check("Gemma" not in run("info", model=folder + "/")[1] and run("info", model=folder + "/")[0] == 0, "gemma/")

    def wrong(pattern, *args, **more):
        expect_error(1, pattern, "info", model=copy_folder(*args, **more))

    wrong('model_type "bert" is not supported yet .supported: llama, mistral', "gemma", {"model_type": "bert"})
    wrong('config.json: "hidden_size" is missing', "gemma", {"hidden_size": "remove"})
    wrong('config.json: "hidden_size" is no integer', "gemma", {"hidden_size": "wide"})
    wrong('"hidden_size" is -3, expected', "gemma", {"hidden_size": -3})
    wrong('"quantization_config" is not supported yet', "gemma", {"quantization_config": {"bits": 4}})
    wrong('"hidden_activation" "relu" is not supported yet', "gemma", {"hidden_activation": "relu"})
    wrong('"scale_attn_by_inverse_layer_idx" true is not', "gpt2", {"scale_attn_by_inverse_layer_idx": True})
    wrong('rope scaling "alibi" is not supported yet', "mistral", {"rope_parameters": {"rope_type": "alibi"}})
    for order in ("ffs", "fff", "sss", "fsf", "sf", "sxs"):
        types = [{"f": "full_attention", "s": "sliding_attention"}.get(x, x) for x in order]
        wrong('order of "layer_types" is not supported', "gemma2", {"layer_types": types})
    sliding = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}}
    wrong('rope scaling of "sliding_attention" is not', "gemma3", {"rope_parameters": sliding})
    wrong("lm_head.weight is missing", "gemma", {"tie_word_embeddings": False})
    wrong("blk.2.attn_norm.weight is missing", "gemma", {"num_hidden_layers": 3})
    wrong("neither model.safetensors nor model.safetensors.index.json", "llama_yarn", **{"model.safetensors": None})
    wrong("model-00002-of-00002.safetensors: No such file", "gemma", **{shard: None})
    wrong("model-00002-of-00002.safetensors: tensor model.norm.weight: its data_offsets", "gemma", **{shard: data[:-4]})
    wrong("config.json: not JSON, line 1", "gemma", **{"config.json": b"{]"})
    wrong("is no file of this folder", "gemma",
          **{"model.safetensors.index.json": b'{"weight_map": {"a": "../b.safetensors"}}'})
    wrong("tensor a: model-00002-of-00002.safetensors does not hold it", "gemma", **{
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": shard}}).encode()})
    huge = b"\x00\xe1\xf5\x05\0\0\0\0{" + b" " * 100  # a header of 100,000,000 bytes
    wrong("the header has 100000000 bytes, the file 109", "llama_yarn", **{"model.safetensors": huge})
    bare = copy_folder("llama_yarn", **{"tokenizer.json": None})
    check(run("info", model=bare)[0] == 0, "no tokenizer.json: info")
    expect_error(1, "tokenizer.json", "tokenize", "a", model=bare)


def test_older():
    """A tokenizer.model, and vocab.json with merges.txt, by file and by folder."""
    for name, what, ids in (("llama", "", None), ("llama", "/tokenizer.model", None), ("gpt2", "", None), ("qwen2", "", None)):
        path = "tests/data/older/" + name + what
        code, out, err = run("tokenize", "--json", "The sky  is <b>", model=path)
        row = lines(out)[1] if code == 0 else {}
        text = "".join(row.get("tokens", []))
        check(text.removeprefix("<s>").removeprefix(" ") == "The sky  is <b>", f"{path}: {out} {err}")
        code, out, err = run("tokenize", "--json", "--ids", ",".join(map(str, row["ids"])), model=path)
        check(lines(out)[1]["text"].endswith("The sky  is <b>"), f"{path}: back: {out} {err}")
    place = tempfile.mkdtemp(dir=WORK)
    shutil.copy("tests/data/older/gpt2/vocab.json", place)
    expect_error(1, "no tokenizer.json is there, no tokenizer.model, nor vocab.json with merges.txt", "tokenize", "a", model=place)
    shutil.copy("tests/data/older/gpt2/merges.txt", place)
    expect_error(1, "nothing says how they cut a text", "tokenize", "a", model=place)
    with open(os.path.join(place, "tokenizer.model"), "wb") as f:
        f.write(b"\x0a\x08\x0a\x04<unk\x18\x02\x0a\x03\x0a\x01a")
    expect_error(1, "a SentencePiece model of Unigram is not supported yet, BPE is", "tokenize", "a", model=place)
    with open(os.path.join(place, "tokenizer.model"), "wb") as f:
        f.write(b"\x0a\xff\xff\xff\xff\x0f")
    expect_error(1, "tokenizer.model: byte 6: a field is longer than what is left", "tokenize", "a", model=place)


def test_cache():
    """-m ORG/NAME is found where Hugging Face's own tools keep it."""
    if not os.path.isdir(FOLDERS):
        print("skipped: the cache (folders were not made)")
        return
    home = tempfile.mkdtemp(dir=WORK)
    model = os.path.join(home, ".cache/huggingface/hub/models--Org--Tiny-1.5")
    os.makedirs(os.path.join(model, "refs"))
    os.makedirs(os.path.join(model, "snapshots/abc123"))
    blobs = os.path.join(FOLDERS, "qwen2")
    for file in os.listdir(blobs):  # the cache's are links as well
        os.symlink(os.path.join(blobs, file), os.path.join(model, "snapshots/abc123", file))
    shutil.copy(TINY, os.path.join(model, "snapshots/abc123/x.gguf"))
    with open(os.path.join(model, "refs/main"), "w") as f:
        f.write("abc123")
    hub = os.path.dirname(model)
    places = [{"HF_HUB_CACHE": hub}, {"HF_HOME": os.path.dirname(hub)},
              {"XDG_CACHE_HOME": os.path.join(home, ".cache")}, {"HOME": home, "XDG_CACHE_HOME": ""}]
    for env in places:
        env = {"HF_HUB_CACHE": "", "HF_HOME": ""} | env
        code, out, err = run("info", "--json", model="Org/Tiny-1.5", env=env)
        check(code == 0 and lines(out)[1]["name"] == "Org/Tiny-1.5", f"{env}: {code} {err}")
    env = {"HF_HUB_CACHE": hub, "HF_HOME": ""}
    check(lines(run("info", "--json", model="Org/Tiny-1.5:x.gguf", env=env)[1])[1]["width"] == 60, "ORG/NAME:FILE")
    check("Org/Tiny-1.5 F16" in run("score", "block 1 [:, :, 1]", "ab", model="Org/Tiny-1.5", env=env)[1], "the title")
    expect_error(1, re.escape(f"Org/Tony: no such file, nor a model in Hugging Face's cache (looked for {hub}/models--Org--Tony)"),
                 "info", model="Org/Tony", env=env)
    expect_error(1, r'Org/Tiny-1.5: no file is meant by "y.gguf"; there are x.gguf', "info", model="Org/Tiny-1.5:y.gguf", env=env)
    expect_error(1, "No such file", "info", model="Org/Tiny-1.5:../x", env=env)
    expect_error(1, "^phosphene info: nothing: No such file", "info", model="nothing", env=env)
    with open(os.path.join(model, "refs/main"), "w") as f:
        f.write("../../../etc")
    expect_error(1, "refs/main names no snapshot", "info", model="Org/Tiny-1.5", env=env)


def test_interrupt():
    """Ctrl-C after some results: they are whole lines, and the exit status is 130."""
    env = dict(os.environ, XDG_CACHE_HOME=CACHE)
    p = subprocess.Popen([TOOL, "dream", "block 2 [:, :, 0-59]", "--steps", "100", "--json", "-m", TINY],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, bufsize=0)
    first = [p.stdout.readline(), p.stdout.readline()]
    p.send_signal(signal.SIGINT)
    rest, err = p.communicate(timeout=60)
    check(p.returncode == 130, f"Ctrl-C: exit {p.returncode}: {err!r}")
    check(b"interrupted" in err, f"Ctrl-C: {err!r}")
    rows = lines((b"".join(first) + rest).decode())
    check(2 <= len(rows) < 61 and all(r["type"] in ("run", "dream") for r in rows),
          f"Ctrl-C: {len(rows)} whole lines")
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


run_tests(test_dream, test_dream_options, test_methods, test_fluent, test_constraints, test_hidden, test_near, test_effect,
          test_recover, test_compare, test_compare_runs, test_bench, test_plans, test_others,
          test_errors, test_files, test_folders, test_bf16, test_older, test_cache, test_interrupt)
