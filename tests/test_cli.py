"""The tool as a user meets it: the JSON contract, exit statuses, one-line errors, hostile input.

    test_cli.py TOOL           on the tiny models of tests/data
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

TOOL = os.path.abspath(sys.argv[1])
TINY = os.path.abspath("tests/data/llama_b.gguf")
SANITIZED = "asan" in TOOL
checks = 0
failures = []


def run(*args, model=TINY, env=None, stdout=None):
    full = dict(os.environ, XDG_CACHE_HOME=CACHE, **(env or {}))
    full.pop("PHOSPHENE_MODEL", None)
    command = [TOOL, *args] + (["-m", model] if model else [])
    p = subprocess.run(command, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, env=full,
                       timeout=120)
    return p.returncode, (p.stdout or b"").decode(), p.stderr.decode(errors="replace")


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        failures.append(what)
        print("FAIL", what)


def lines(out):
    return [json.loads(line) for line in out.split("\n") if line]


def expect_error(status, pattern, *args, **more):
    """One line on stderr (with a caret two more), the right exit status, nothing on stdout."""
    code, out, err = run(*args, **more)
    rows = err.strip("\n").split("\n")
    check(code == status, f"{args}: exit {code}, expected {status}: {err!r}")
    check(re.search(pattern, rows[0]), f"{args}: {rows[0]!r} does not match {pattern!r}")
    check(len(rows) == 1 or (len(rows) == 3 and rows[2].strip() == "^"),
          f"{args}: more than one line: {err!r}")
    check("Sanitizer" not in err and "runtime error" not in err, f"{args}: sanitizer: {err}")


# ---- the contract ----

def strip_times(out):
    return re.sub(r'"seconds":[^,}]*', '"seconds":0', out)


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
        check(code == 0 and len(rows) == (3 if "--top" in more else 2), f"{more}: {code} {err}")
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


def test_others():
    code, out, err = run("attribute", "block 2 [:, :, 1-2]", "abc abc", "--json")
    rows = lines(out)
    check(code == 0 and len(rows) == 3, f"attribute: {err}")
    check(len(rows[1]["grad_norm"]) == len(rows[1]["grad_x_input"]) == len(rows[1]["ids"]),
          "attribute: one value per token")
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
    code, out, err = run("tokenize", "")
    check(code == 0 and out == "" and err == "", "tokenize: empty text")
    code, out, err = run("tokenize", "", "--json")
    check(code == 0 and lines(out)[1]["ids"] == [], "tokenize: empty text as JSON")
    for command in ("dream", "scan", "score", "attribute", "recover", "info", "tokenize", "bench"):
        code, out, err = run(command, "--help", model=None)
        check(code == 0 and "phosphene " + command in out and "Examples" in out, f"{command} --help")
    code, out, err = run("--help", model=None)
    check(code == 0 and "dream" in out, "--help")
    for command in (("dream", "block 1 [:, :, 0-1]", "--steps", "2", "-v"), ("scan", "block 1 [:, :, 0]"),
                    ("score", "block 1 [:, :, 0]", "ab"), ("attribute", "block 1 [:, :, 0]", "ab"),
                    ("info", "-v"), ("tokenize", "ab")):
        code, out, err = run(*command)
        check(code == 0 and err == "" and "\033" not in out and out, f"{command}: table {err}")
    for backend in ("ref", "ref64", "cpu"):
        code, out, err = run("score", "block 2 [:, :, 1]", "abc", "--json", env={"PHOSPHENE_BACKEND": backend})
        code2, out2, _ = run("score", "block 2 [:, :, 1]", "abc", "--json")
        check(code == 0 and abs(lines(out)[1]["activation"] - lines(out2)[1]["activation"]) < 1e-4,
              f"backend {backend}: {err}")


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


def hostile(name, data, status, pattern, command=("info",)):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.write(data)
    expect_error(status, pattern, *command, model=path)


def test_files():
    with open(TINY, "rb") as f:
        good = f.read()
    expect_error(1, "No such file", "info", model=os.path.join(WORK, "missing.gguf"))
    expect_error(1, "is a directory", "info", model=WORK)
    hostile("empty.gguf", b"", 1, "the file is empty")
    hostile("text.gguf", b"hello, this is not a model\n" * 10, 1, "GGUF")
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


with tempfile.TemporaryDirectory() as WORK:
    CACHE = os.path.join(WORK, "cache")
    for test in (test_dream, test_dream_options, test_others, test_recover, test_errors, test_files, test_interrupt):
        began = time.time()
        test()
        print(f"{test.__name__}: {time.time() - began:.1f} s")
print(f"test_cli: {checks} checks, {len(failures)} failed")
sys.exit(1 if failures or not checks else 0)
