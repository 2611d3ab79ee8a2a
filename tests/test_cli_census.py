"""scan without SPEC, corpus, and corpus figures beside answers, as a user meets them.

    test_cli_census.py TOOL           on the tiny models of tests/data
"""

import csv
import io
import json
import os
import signal
import struct
import subprocess
import time
import zipfile

from cli import CACHE, TINY, TOOL, WORK, check, expect_error, lines, read_npy, run, run_tests, strip_times

TEXT = os.path.join(WORK, "mine.txt")
BLOCKS, WIDTH, FFN = 2, 60, 88


def test_survey():
    code, out, err = run("scan", "--json", "--top", "3", "--neurons", "-q")
    rows = lines(out)
    check(code == 0 and err == "", f"survey: {code} {err}")
    features = rows[1:]
    check(len(features) == BLOCKS * (WIDTH + FFN), f"survey: {len(features)} features")
    for r in features[::37]:
        code, out, _ = run("scan", r["feature"], "--json", "--top", "3")
        one = lines(out)[1]
        if "neuron" not in r["feature"]:
            check([t["id"] for t in one["top"]] == [t["id"] for t in r["top"]], f"{r['feature']}: top")
            check([t["id"] for t in one["bottom"]] == [t["id"] for t in r["bottom"]], f"{r['feature']}: bottom")
        check(abs(one["mean"] - r["mean"]) < 1e-6 and abs(one["sd"] - r["sd"]) < 1e-5, f"{r['feature']}: moments")
        levels = list(r["quantiles"].values())
        check(levels == sorted(levels) and r["bottom"][0]["activation"] <= levels[0] and
              levels[-1] <= r["top"][0]["activation"], f"{r['feature']}: quantiles")
    code, again, err = run("scan", "--json", "--top", "3", "--neurons")
    check([r for r in lines(again)[1:]] == features and "kept from an earlier pass" in err, "survey: kept")
    code, out, err = run("scan", "--depth", "1", "--json", "--prefix", "ab")
    rows = lines(out)
    check(code == 0 and len(rows) == 1 + WIDTH and len(rows[0]["context"]) > 1, f"survey: depth, prefix {err}")
    code, out, err = run("scan", "--depth", "1", "-q")
    check(code == 0 and out.count("\n") == 2 + WIDTH and err == "", f"survey: table {err}")
    return features


def check_safetensors(name, arrays):
    """The same arrays as in the .npz, by the format's own rules; bytes of tokens are rows of numbers."""
    with open(name, "rb") as f:
        whole = f.read()
    n = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8:8 + n]), whole[8 + n:]
    check(n % 8 == 0 and header.pop("__metadata__")["made_by"] == "phosphene", "safetensors: header")
    check(header.keys() == arrays.keys(), "safetensors: names")
    spans = sorted(t["data_offsets"] for t in header.values())
    check(spans[0][0] == 0 and spans[-1][1] == len(data) and all(a[1] == b[0] for a, b in zip(spans, spans[1:])),
          "safetensors: without gaps")
    for key, tensor in header.items():
        begin, end = tensor["data_offsets"]
        letter = {"F64": "d", "F32": "f", "I32": "i", "U8": "B"}[tensor["dtype"]]
        size = struct.calcsize(letter)
        values = list(struct.unpack(f"<{(end - begin) // size}{letter}", data[begin:end]))
        shape, flat = arrays[key]
        check(begin % size == 0, f"safetensors: {key} is aligned")
        if key == "token":
            width = tensor["shape"][1]
            rows = [bytes(values[i:i + width]).rstrip(b"\0") for i in range(0, len(values), width)]
            check(tuple(tensor["shape"][:1]) == shape and rows == [bytes(v).rstrip(b"\0") for v in flat], "safetensors: tokens")
        else:
            check(tuple(tensor["shape"]) == shape and values == list(flat), f"safetensors: {key}")


def test_survey_files():
    path = lambda name: os.path.join(WORK, name)
    reference = {r["feature"]: r for r in lines(run("scan", "--json", "--top", "3", "--neurons")[1])[1:]}
    args = ("scan", "--top", "3", "--neurons", "-q", "--output")
    code, out, err = run(*args, path("all.jsonl"))
    check(code == 0 and out == "" and err == "", f"jsonl: {out} {err}")
    with open(path("all.jsonl")) as f:
        check({r["feature"]: r for r in lines(f.read())[1:]} == reference, "jsonl: the same lines")
    code, out, err = run(*args, path("all.csv"))
    with open(path("all.csv"), newline="") as f:
        table = list(csv.DictReader(f))
    check(len(table) == len(reference), "csv: a line for each feature")
    for row in table:
        r = reference[row["feature"]]
        check(abs(float(row["mean"]) - r["mean"]) < 1e-7 and int(row["top2_id"]) == r["top"][1]["id"] and
              row["bottom3_token"] == r["bottom"][2]["token"].replace("\0", "\ufffd") and
              abs(float(row["q0.999"]) - r["quantiles"]["0.999"]) < 1e-6, f"csv: {row['feature']}")
    os.symlink("behind.npz", path("all.npz"))
    code, out, err = run(*args, path("all.npz"))
    check(code == 0 and out == "" and err == "" and os.path.islink(path("all.npz")), f"npz: {out} {err}")
    with zipfile.ZipFile(path("all.npz")) as z:
        check(z.testzip() is None, "npz: whole")
        arrays = {name[:-4]: read_npy(z.read(name)) for name in z.namelist()}
    check(arrays["block_top_id"][0] == (BLOCKS, WIDTH, 3) and arrays["neuron_mean"][0] == (BLOCKS, FFN) and
          arrays["block_quantiles"][0] == (BLOCKS, WIDTH, 7), "npz: shapes")
    for block, feature in ((0, 0), (1, 17), (1, WIDTH - 1)):
        r = reference[f"block {block + 1} [:, :, {feature}]"]
        at = (block * WIDTH + feature) * 3
        check(list(arrays["block_top_id"][1][at:at + 3]) == [t["id"] for t in r["top"]], "npz: ids")
        check(abs(arrays["block_bottom"][1][at] - r["bottom"][0]["activation"]) < 1e-6, "npz: values")
        check(arrays["token"][1][r["top"][0]["id"]].decode(errors="replace") == r["top"][0]["token"], "npz: tokens")
    code, out, err = run(*args, path("all.safetensors"))
    check(code == 0 and out == "" and err == "", f"safetensors: {out} {err}")
    check_safetensors(path("all.safetensors"), arrays)
    check(not [f for f in os.listdir(WORK) if f.endswith(".part")], "no part is left behind")
    code, out, err = run("scan", "block 1 [:, :, 0-1]", "--output", path("two.jsonl"))
    check(code == 0 and out == "" and os.path.exists(path("two.jsonl")), f"a scan of features to a file: {err}")
    expect_error(2, "expected a name that ends in .jsonl, .csv, .npz or .safetensors", "scan", "--output", path("all.xls"))
    expect_error(2, "with SPEC a scan is written as .jsonl", "scan", "block 1 [:, :, 0]", "--output", path("a.npz"))
    expect_error(2, "with SPEC a scan is written as .jsonl", "scan", "block 1 [:, :, 0]", "--output", "a.csv")
    expect_error(2, "--neurons goes with a scan of everything", "scan", "block 1 [:, :, 0]", "--neurons")
    expect_error(2, "depth 9: this model has blocks 1 to 2", "scan", "--depth", "9")
    for name in ("x.jsonl", "x.csv", "x.npz"):
        expect_error(1, "x\\.", *args, os.path.join(WORK, "missing", name))


def test_corpus():
    with open(TEXT, "w") as f:
        f.write("The sky is blue. Über den Bergen.\nint main(void) { return 0; }\n" * 30)
    spec = ("block 2 [:, :, 5]", "block 1 neuron [:, :, 3]")
    code, out, err = run("corpus", TEXT, *spec, "--json", "--top", "5", "-q")
    rows = lines(out)
    check(code == 0 and err == "" and [r["feature"] for r in rows[1:]] == list(spec), f"corpus: {err}")
    for r in rows[1:]:
        check(r["best"][0]["value"] == r["max"] and r["worst"][0]["value"] == r["min"], "corpus: extremes")
        for place in r["best"] + r["worst"]:
            ids = ",".join(map(str, place["ids"]))
            code, out, _ = run("score", r["feature"], "--ids", ids, "--json")
            check(abs(lines(out)[1]["values"][place["pos"]] - place["value"]) < 1e-5, "corpus agrees with score")
    code, out, err = run("corpus", TEXT, "--json", "--depth", "1", "-q")
    check(code == 0 and len(lines(out)) == 1 + WIDTH, f"corpus: all features of a block {err}")
    code, out, err = run("corpus", TEXT, spec[0])
    check(code == 0 and "«" in out and "kept from an earlier pass" in err, f"corpus: table {out} {err}")
    code, out, err = run("corpus", spec[0], "--json")
    check(code == 0 and lines(out)[1]["n"] > 20000, f"corpus: the shipped mix {err}")
    expect_error(1, "nowhere.txt: No such file", "corpus", "nowhere.txt", spec[0])
    expect_error(2, "one corpus at a time", "corpus", TEXT, "other.txt")
    expect_error(1, "a corpus pass follows single components", "corpus", TEXT, "block 1 mlp [:, :, 0]")
    expect_error(2, "window 64: expected 1 to", "corpus", TEXT, spec[0], "--window", "64")
    with open(os.path.join(WORK, "empty.txt"), "w"):
        pass
    expect_error(1, "the corpus has no tokens", "corpus", os.path.join(WORK, "empty.txt"), spec[0])


def test_beside_answers():
    args = ("dream", "block 2 [:, :, 5]", "--steps", "4", "--restarts", "2", "--json")
    code, out, err = run(*args, "--corpus", TEXT)
    r, c = lines(out)[1], lines(run("corpus", TEXT, "block 2 [:, :, 5]", "--json")[1])[1]
    check(code == 0 and err == "" and r["corpus"]["max"] == c["max"], f"dream beside the corpus: {err}")
    check(abs(r["corpus"]["ratio"] - r["activation"]["text"] / c["max"]) < 1e-6, "ratio")
    check(0 <= r["corpus"]["percentile"] <= 100, "percentile")
    off = lines(run(*args, "--corpus", "off")[1])[1]
    check(off["corpus"] is None and off["ids"] == r["ids"], "--corpus off")
    joint = lines(run("dream", "block 2 [:, :, 0:4]", *args[2:])[1])[1]
    check(joint["corpus"] is None, "a joint feature has no corpus figures")
    down = lines(run(*args, "--corpus", TEXT, "--sign", "-")[1])[1]
    check(abs(down["corpus"]["ratio"] - down["activation"]["text"] / c["min"]) < 1e-6, "ratio to the minimum")
    expect_error(1, "nowhere.txt", *args, "--corpus", "nowhere.txt")


def test_interrupted():
    """Ctrl-C in a pass: exit status 130, no file; the next run goes on and says the same."""
    big = os.path.join(WORK, "big.txt")
    with open(TEXT) as f, open(big, "w") as g:
        g.write(f.read() * 300)
    command = [TOOL, "corpus", big, "block 2 [:, :, 5]", "--json", "-m", TINY, "--threads", "1"]
    env = dict(os.environ, XDG_CACHE_HOME=os.path.join(WORK, "second-cache"))
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    try:
        p.wait(0.5)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    check(p.returncode in (0, 130), f"interrupted corpus: {p.returncode} {err}")
    if p.returncode == 0:
        print("the pass was faster than the signal")
    p = subprocess.run(command, capture_output=True, env=env, timeout=120)
    check(p.returncode == 0, f"after an interruption: {p.stderr}")
    code, whole, _ = run(*command[1:-4], "--threads", "1", "--no-cache")
    first = lambda text: lines(text)[1]
    drop = lambda r: {k: v for k, v in r.items() if k != "run"}
    check(drop(first(p.stdout.decode())) == drop(first(whole)), "resumed equals whole")


def test_interrupted_output():
    """Ctrl-C while nobody reads: what was begun is written to its end, and the exit status says that it is not all."""
    env = dict(os.environ, XDG_CACHE_HOME=CACHE)
    for command in (["corpus", "--neurons"], ["scan", "block 1 [:, :, :], block 2 [:, :, :]", "--top", "50"]):
        p = subprocess.Popen([TOOL, *command, "--json", "-m", TINY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, bufsize=0)
        first = p.stdout.read(1)
        time.sleep(0.5)  # the pipe is full by then, or is not: both must end well
        p.send_signal(signal.SIGINT)
        rest, err = p.communicate(timeout=60)
        rows = (first + rest).decode().split("\n")
        check(p.returncode in (130, 0) and rows[-1] == "" and all(json.loads(r) for r in rows[:-1]) and b"written" not in err,
              f"{command}: {p.returncode} {err!r} {rows[-1][-40:]!r}")
        check(command[0] != "corpus" or p.returncode == 130, f"{command}: interrupted, exit {p.returncode}, {len(rows)} lines")


run_tests(test_survey, test_survey_files, test_corpus, test_beside_answers, test_interrupted, test_interrupted_output)
