"""phosphene dream as a user meets it: the lines it prints, its methods and options, limits, Ctrl-C.

    test_cli_dream.py TOOL     on the tiny models of tests/data
"""

import os
import signal
import subprocess

from cli import CACHE, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests, strip_times

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
    for pattern, *more in (("--steps: auto does not look at it; it is for descents and epo", "--method", "auto", "--steps", "5"),
                           ("--eta: epo does not", "--method", "epo", "--eta", "1:1", "--steps", "3"),
                           ("--lambda: greedy does not look at it; it is for searches", "--method", "greedy", "--lambda", "0.1"),
                           ("--lambda A:B: auto does not", "--lambda", "1:2"), ("--fluent: descent does not", "--steps", "2", "--fluent"),
                           ("--population: swap does not", "--method", "swap", "--population", "3"),
                           ("--top 3: greedy has one answer for each restart, at most 1", "--method", "greedy", "--top", "3"),
                           ("--top 4: descent has one answer .* at most 3", "--restarts", "3", "--top", "4"),
                           ("^phosphene dream: top 100000: expected 1 to 99998", "--top", "100000")):
        expect_error(2, pattern, "dream", "block 1 [:, :, 1]", *more)


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
    usual = ("dream", "block 1 [:, :, 3]", "--json")
    base = (*usual, "--steps", "4", "--restarts", "2", "--start", "tokens")
    words = os.path.join(WORK, "words.txt")
    with open(words, "w") as f:
        f.write("the jan\r\nx\n")
    held = {"--ascii": lambda t: all(" " <= c <= "~" for c in t), "--letters": lambda t: t.replace(" ", "").isalpha(),
            "--allow=" + words: lambda t: set(t) <= set("the janx"),
            "--ban=e": lambda t: "e" not in t, "--contains=zzz": None}
    for method in ("descent", "softmax", "pez", "gumbel", "greedy"):
        for option, holds in held.items():
            code, out, err = run(*(usual if method == "greedy" else base), "--method", method, option)
            check(code == 0 and err == "", f"{method} {option}: {code} {err}")
            r = lines(out)[1]
            check(r["violates"] == (holds is None), f"{method} {option}: violates {r['violates']}")
            check(holds is None or holds("".join(r["tokens"])), f"{method} {option}: {r['tokens']}")
            check(all(type(d["violates"]) is bool for d in r["decodes"]), "every decode says so")
    code, out, _ = run(*base, "--letters", "--ban", "e", "--ban", "a b", "--allow", words, "--contains", "j", "--special")
    said = lines(out)[0]["settings"]["constraints"]
    check(len(said.pop("allow_sha256")) == 64 and said ==
          {"ascii": False, "letters": True, "special": True, "allow": words, "ban": ["e", "a b"], "contains": "j"},
          "the run line has the constraints")
    code, out, _ = run(*usual, "--method", "greedy", "--special", "--allow", words)
    free = lines(run(*usual, "--method", "greedy")[1])[1]
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


run_tests(test_dream, test_dream_options, test_methods, test_fluent, test_long, test_exhausted, test_constraints, test_hidden, test_interrupt)
