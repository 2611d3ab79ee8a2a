"""The tool as a user meets it: the JSON contract, exit statuses, one-line errors.

    test_cli.py TOOL           on the tiny models of tests/data
"""

import os
import re
import signal
import subprocess

from cli import CACHE, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests, strip_times

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


def test_long():
    """A text may tokenise to more tokens than the model takes: it has no figure, and others have theirs."""
    spec, model = "block 2 [:, :, 0]", os.path.abspath("tests/data/llama_a.gguf")
    for more in (["--method", "descent", "--steps", "3", "--restarts", "2", "--tokens", "40"],
                 ["--budget", "3000", "--round-trip", "prefer", "--fluent", "--tokens", "60"],
                 ["--budget", "3000", "--round-trip", "off", "--tokens", "60"]):
        code, out, err = run("dream", spec, "--corpus", "off", "--json", *more, model=model)
        rows = lines(out)[1:] if code == 0 else []
        check(code == 0 and err == "" and rows, f"dream {more}: {code} {err}")
        for r in rows:  # a text with a 0 byte has no tokens either
            check((r["activation"]["text"] is None) == (not 0 < len(r["text_ids"]) < 64), f"dream {more}: {len(r['text_ids'])} tokens, {r['activation']}")
    check(any(len(r["text_ids"]) > 63 for r in rows), "a text is too long for its figure")


def test_exhausted():
    """Where there are few texts, a search ends when it has tried them; the best token is the answer of one token."""
    spec, words = "block 1 [:, :, 4]", os.path.join(WORK, "two_words.txt")
    with open(words, "w") as f:
        f.write("the\nin\n")
    for more, most in ((["--tokens", "1"], 400), (["--tokens", "1", "--time", "600s"], 400), (["--tokens", "1", "--ascii"], 400),
                       (["--tokens", "3", "--allow", words], 4000), (["--contains", "xyz", "--ban", "y"], 400)):
        code, out, err = run("dream", spec, "--budget", "100000000", "--corpus", "off", "--json", *more)
        r = lines(out)[1] if code == 0 else {}
        check(code == 0 and err == "" and 0 < r["token_forwards"] < most, f"dream {more}: {code} {err} {r.get('token_forwards')}")
        if more == ["--tokens", "1"]:
            scan = lines(run("scan", spec, "--json", "--top", "300")[1])[1]["top"]
            best = max(t["activation"] for t in scan if t["token"] == r["text"])
            above = [t for t in scan if t["activation"] > best]
            check(abs(best - r["activation"]["text"]) < 1e-5 and all(t["token"] == "\ufffd" or t["token"] == "\u0000" for t in above),
                  f"the best token that is a text: {r['text']!r}, behind {above}")
        if words in more:
            check(len({tuple(x["ids"]) for x in lines(out)[1:]}) >= 2, "several answers of two words")


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


run_tests(test_dream, test_dream_options, test_methods, test_fluent, test_long, test_exhausted, test_constraints, test_hidden, test_near, test_effect,
          test_recover, test_bench, test_plans, test_others, test_errors, test_interrupt)
