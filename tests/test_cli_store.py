"""The store as a user meets it: what dream, scan and recover keep, show, export, store; kill -9 and a
full disk.

    test_cli_store.py TOOL TOOL_STORE       on the tiny models of tests/data

PH_KILLS=100 kills a writer as often (12).
"""

import csv
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import time
import zipfile

from cli import SANITIZED, STORE, TINY, TOOL, WORK, check, expect_error, lines, read_npy, run, run_tests, strip_times

TOOL_STORE = os.path.abspath(sys.argv[2])
KILLS = int(os.environ.get("PH_KILLS", 12))
SPEC = "block 2 [:, :, 0-2], block 1 mlp [:, -1, 3]"
found = []  # the lines that the commands of test_keeping printed


def path(name):
    return os.path.join(WORK, name)


def ask(*args, store=STORE):
    code, out, err = run(*args, "--store", store, model=None)
    check(code == 0 and err == "", f"{args}: {code} {err}")
    return out


def sound(store, what):
    out = ask("store", "check", store=store)
    check(out == f"{store}: sound\n", f"{what}: {out}")


def kept(*args, store=STORE, **more):
    return lines(ask("export", *args, store=store, **more))


def test_keeping():
    """With --json or without, each command's lines are in the store; the same again changes nothing."""
    commands = [("dream", SPEC, "--budget", "300"), ("scan", "block 2 [:, :, 0-2]", "--top", "3"),
                ("recover", "block 2 [:, :, 0]", "hello", "--steps", "2"),
                ("recover", "block 2 [:, :, 0]", "other", "--steps", "2"),
                ("dream", "block 2 [:, :, 0]", "--method", "descent", "--steps", "3", "--sign", "both")]
    for command in commands:
        code, out, err = run(*command)
        check(code == 0 and err == "" and not out.startswith("{"), f"{command}: {code} {err}")
        found.extend(lines(run(*command, "--json")[1]))
    want = sorted(strip_times(json.dumps(r)) for r in {json.dumps(r): r for r in found}.values())
    check(sorted(strip_times(json.dumps(r)) for r in kept()) == want, "kept: the lines that were printed")
    before = ask("export")
    for command in commands[1:4]:
        run(*command)
    check(strip_times(ask("export")) == strip_times(before), "the same run twice is one row each")
    with open(path("found.jsonl"), "w") as f:
        f.write(before)
    sound(STORE, "after keeping")
    code, out, err = run("scan", "-q")
    everything = [r for r in kept("--type", "scan") if "quantiles" in r]
    check(code == 0 and len(everything) == 2 * 60, f"scan of everything: {len(everything)} kept")
    for ending in ("csv", "npz", "jsonl"):
        store = path("atlas-" + ending)
        code, out, err = run("scan", "--top", "3", "-q", "--output", path("all." + ending), "--store", store)
        check(code == 0 and out == "" and len(kept("--type", "scan", store=store)) == 120, f"scan into {ending}: {err}")


def test_identity():
    """What changes the results changes the run: runs that differ only by what a file holds are kept beside each other."""
    store, sae = path("identity.sqlite"), os.path.abspath("tests/data/sae")
    file = os.path.join(WORK, "told apart")
    texts = {"--corpus": "some text here, and more and more of it", "--allow": "one\ntwo\n"}
    C = os.path.abspath("tests/data/llama_c.gguf")  # of the width that the files have

    def settings(*args, model=TINY):
        code, out, err = run(*args, "--json", "--store", store, model=model)
        check(code == 0, f"{args}: {code} {err}")
        runs.append(lines(out)[0])
        return runs[-1]["settings"]

    dream, runs = ("dream", "block 2 [:, :, 0]", "--method", "greedy", "--tokens", "1"), []
    check(not {"files", "corpus"} & set(settings(*dream)), "identity: nothing more is said where there is no file")
    check(settings(*dream, "--corpus", "off")["corpus"] is False, "identity: --corpus off")
    for option, text in texts.items():
        for more in ("", "three\n"):
            with open(file, "w") as f:
                f.write(text + more)
            said = settings(*dream, option, file)
            said = said["constraints"] if option == "--allow" else said
            check(said[option[2:]] == file and
                  said[option[2:] + "_sha256"] == hashlib.sha256((text + more).encode()).hexdigest(), f"identity: {option}")
    npy, folder = path("d.npy"), path("sae")
    shutil.copy(f"{sae}/direction.npy", npy)
    shutil.copytree(f"{sae}/topk", folder)
    files = [npy, f"{folder}/cfg.json", f"{folder}/sae_weights.safetensors"]
    for change in (None, None, files[0], files[2]):
        if change:
            with open(change, "r+b") as f:
                f.seek(-4, 2)
                f.write(struct.pack("<f", 0.25))
        said = settings("dream", f"dir:{npy} @ block 1, sae:{folder} [:, :, 2]", *dream[2:], model=C)["files"]
        check(list(said) == files, f"identity: files {said}")
        for name, sha in said.items():
            with open(name, "rb") as f:
                check(hashlib.sha256(f.read()).hexdigest() == sha, f"identity: {name}")
    ids = {r["id"] for r in runs}
    check(len(ids) == 6 + 3 and {r["id"] for r in kept(store=store) if r["type"] == "run"} == ids, f"identity: {len(ids)} runs")


def test_not_keeping():
    """--no-store, commands that keep only what they are asked to, and stores that cannot be written."""
    store = path("none.sqlite")
    env = {"PHOSPHENE_STORE": store}
    run("dream", SPEC, "--budget", "300", "--no-store", env=env)
    run("score", SPEC, "hello", env=env)
    run("info", env=env)
    check(not os.path.exists(store), "nothing is kept unasked")
    run("score", SPEC, "hello", "--store", store)
    run("attribute", SPEC, "hello", "--store", store)
    types = [r["type"] for r in kept(store=store)]
    check(types.count("score") == 4 and types.count("attribute") == 4, f"score where asked: {types}")
    expect_error(2, "--store: this command keeps nothing", "info", "--store", store)
    expect_error(2, "--store and --no-store: one of them", "dream", SPEC, "--store", store, "--no-store")
    expect_error(2, "--store: expected the name", "dream", SPEC, "--store", "")
    expect_error(1, "nowhere/x: No such file or directory$", "scan", "block 2 [:, :, 0]", "--store", "nowhere/x")
    for wrong, why in ((TINY, "is no store"), (WORK, "is not a file")):
        expect_error(1, why, "dream", SPEC, "--store", wrong)
        code, out, err = run("scan", "block 2 [:, :, 0]", env={"PHOSPHENE_STORE": wrong})
        check(code == 0 and "highest" in out and err.count("\n") == 1 and why in err and
              err.startswith("phosphene scan: results are not kept: "), f"a warning: {err}")
    code, out, err = run("dream", "no such spec", env=env | {"PHOSPHENE_STORE": path("unmade")})
    check(not os.path.exists(path("unmade")), "a mistake makes no store")
    home = path("home")
    code, out, err = run("scan", "block 2 [:, :, 0]", env={"PHOSPHENE_STORE": "", "XDG_DATA_HOME": "", "HOME": home})
    check(code == 0 and err == "" and os.path.exists(home + "/.local/share/phosphene/store.sqlite"), f"the user's own: {err}")


def columns(table, name):
    """The values of a column of a table, found by where its title ends."""
    rows = table.rstrip("\n").split("\n")
    end = re.search(r"\b" + name + r"\b", rows[0]).end()
    return [row[:end].split()[-1] for row in rows[1:-1]]


def test_show():
    best = {}
    for r in found:
        if r["type"] == "dream" and r["sign"] == "+" and r["round_trip"]:
            best.setdefault(r["feature"], []).append(r["activation"]["text"])
    rows = lines(ask("show", "--json", SPEC, "--view", "features"))
    check({r["feature"]: r["activation"] for r in rows} == {f: max(v) for f, v in best.items()}, f"show: best {rows}")
    spelt = "blocks.1.hook_resid_post[:,:,0:1], block 2[:, :, 01-2],blocks.0.hook_mlp_out [:,-1,3]"
    check(lines(ask("show", "--json", spelt, "--view", "features")) == rows, "show: other spellings of the same features")
    err = run("show", "block 2 [:, :, 0]", "block 2 [:, 0]", model=None)[2]
    check(err.split("\n")[1:3] == ["  block 2 [:, :, 0], block 2 [:, 0]", 34 * " " + "^"], f"show: where a spec is wrong: {err}")
    out = ask("show", "--block", "2", "--features", "0-2")
    check(len(out.split("\n")) == 6 and out.endswith(f"3 rows · {STORE}\n"), f"show: {out}")
    z = [float(v) for v in columns(out, "z")]
    check(z == sorted(z, reverse=True), f"show: by z {z}")
    for sort in ("activation", "z", "gap"):
        values = [r[sort] for r in lines(ask("show", "--json", "--view", "results", "--sort", sort)) if r["round_trip"]]
        check(len(values) > 5 and values == sorted(values, reverse=True), f"sort {sort}: {values}")
        back = [r[sort] for r in lines(ask("show", "--json", "--view", "results", "--sort", sort, "--reverse")) if r["round_trip"]]
        check(back == values[::-1], f"sort {sort}, reversed")
    for r in lines(ask("show", "--json", "--view", "results")):
        line = next(x for x in found if x["type"] == "dream" and x["text"] == r["text"] and x["feature"] == r["feature"])
        gap = (line["activation"]["text"] - line["best_token"]["activation"]) * (1 if line["sign"] == "+" else -1)
        check(abs(gap - r["gap"]) < 1e-6 and line["z"] == r["z"], f"gap of {r}")
    text = found[1]["text"][1:4]
    rows = lines(ask("show", "--json", "--view", "results", "--contains", text))
    want = [r for r in found if r["type"] == "dream" and text in r["text"]]
    check(0 < len({(r["run"], r["feature"], r["sign"], r["rank"]) for r in want}) == len(rows), f"contains {text!r}")
    scan = next(r for r in found if r["type"] == "scan")
    token = scan["top"][0]
    rows = lines(ask("show", "--json", "--token", str(token["id"]), scan["feature"]))
    z = (token["activation"] - scan["mean"]) / scan["sd"]
    check(len(rows) == 1 and rows[0]["rank"] == 0 and rows[0]["end"] == "top" and abs(rows[0]["z"] - z) < 1e-5, f"token: {rows}")
    check("golden b" in ask("show", "--view", "models") and "golden b" in ask("show", "--view", "runs"), "show: models, runs")
    check("the first 2; --top K shows more" in ask("show", "--top", "2"), "show: more rows")
    check(ask("show", "--contains", "no text has this in it") == f"0 rows · {STORE}\n", "show: nothing")
    check(ask("show", "-q", "--contains", "no text has this in it") == "", "show: nothing, quietly")
    map_ = lines(ask("show", "--json", "--view", "map", "--block", "2", "--place", "block"))
    check([r["component"] for r in map_] == list(range(60)), "map: every component")
    check(ask("show", "--view", "lines", "--run", found[0]["id"][:9], "--top", "3").count("\n") >= 3, "show: lines")
    check(len(lines(ask("show", "--json", "-m", TINY, "--view", "blocks"))) == 3, "show: blocks of a model")
    for pattern, *args in (("model zz: nothing of it is in", "show", "-m", "zz"),
                           ("sort beauty: expected activation", "show", "--sort", "beauty"),
                           ("view blocks: cannot be asked by contains", "show", "--view", "blocks", "--contains", "x"),
                           ("--view x: expected features", "show", "--view", "x"),
                           ("--place roof: expected block", "show", "--place", "roof"),
                           ("--features 9-3: runs backwards", "show", "--features", "9-3"),
                           ("--features x: expected a whole number", "show", "--features", "x"),
                           ("--reverse goes with --sort", "show", "--reverse", "--view", "results"),
                           ("--same-text: of which feature", "show", "--same-text"),
                           ("the range 5-2 is empty", "show", "block 1 [:, :, 5-2]"),
                           ("expected block N, embed", "export", "nonsense"), ("expected block N, embed", "report", "nonsense"),
                           ("--format xml: expected jsonl", "export", "--format", "xml"),
                           ("--format npz: where to", "export", "--format", "npz"),
                           ("merge, import or check\\?", "store"), ("burn: expected merge", "store", "burn"),
                           ("merge: which files", "store", "merge"), ("check: takes no files", "store", "check", "x")):
        expect_error(2, pattern, *args, model=None)
    for command in ("export", "report"):  # which print no other JSON Lines
        code, out, err = run(command, "--json", model=None)
        check(code == 2 and out == "" and "unrecognized option '--json'" in err, f"{command} --json: {code} {err}")
    expect_error(1, "there is no store yet", "show", "--store", path("missing"), model=None)
    expect_error(1, "is no store", "show", "--store", TINY, model=None)


def test_export():
    out = ask("export", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    results = lines(ask("show", "--json", "--view", "results"))
    check(len(rows) == len(results) > 10, "csv: every text")
    for r, want in zip(rows, results):
        check(r["feature"] == want["feature"] and r["text"] == want["text"].replace("\0", "") and float(r["activation"]) == want["activation"]
              and r["round_trip"] == str(want["round_trip"]).lower(), f"csv: {r}")
    ask("export", "--output", path("all.npz"))
    with zipfile.ZipFile(path("all.npz")) as z:
        arrays = {name[:-4]: read_npy(z.read(name)) for name in z.namelist()}
    dreams = [r for r in kept("--type", "dream")]
    texts = sorted(arrays["dream_text"][1])
    check(texts == sorted(r["text"].encode().rstrip(b"\0") for r in dreams), "npz: texts")
    shape, ids = arrays["dream_ids"]
    check(shape[0] == len(dreams), f"npz: {shape}")
    for i, (feature, rank, sign, run_) in enumerate(zip(*(arrays["dream_" + k][1] for k in ("feature", "rank", "sign", "run")))):
        r = next(r for r in dreams if (r["feature"].encode(), r["rank"], r["sign"].encode(), r["run"].encode()) == (feature, rank, sign, run_))
        mine = ids[i * shape[1]:(i + 1) * shape[1]]
        check(list(mine) == r["ids"] + [-1] * (shape[1] - len(r["ids"])) and arrays["dream_activation"][1][i] == r["activation"]["text"],
              f"npz: {r['feature']}")
    check(arrays["scan_top_id"][0][0] == len(kept("--type", "scan")), "npz: scans")
    features = json.loads(ask("export", "--format", "neuronpedia", "-q"))
    check(len({(f["modelId"], f["layer"], f["index"]) for f in features}) == len(features) > 100, "neuronpedia: one object a feature")
    for f in features:
        for a in f["activations"]:
            check(len(a["tokens"]) == len(a["values"]) and a["values"][a["maxValueTokenIndex"]] == a["maxValue"] == max(a["values"])
                  and a["minValue"] == min(a["values"]), f"neuronpedia: {f['layer']} {f['index']}")
    one = next(f for f in features if f["layer"] == "1-res-phosphene" and f["index"] == "0")
    texts = {r["text"] for r in found if r["type"] == "dream" and r["feature"] == "block 2 [:, :, 0]"}
    check({a["text"] for a in one["activations"] if "text" in a} == texts and one["modelId"] == "llama_b", f"neuronpedia: {one}")
    empty = path("empty.sqlite")
    ask("store", "import", os.devnull, store=empty)
    check(ask("export", store=empty) == "" and ask("export", "--format", "csv", store=empty).count("\n") == 1 and
          json.loads(ask("export", "--format", "neuronpedia", store=empty)) == [], "export: nothing")
    ask("export", "--output", path("empty.npz"), store=empty)
    expect_error(1, "nowhere/x: No such file", "export", "--output", "nowhere/x", model=None)
    expect_error(1, "nowhere/x.npz: .*No such file", "export", "--output", "nowhere/x.npz", model=None)
    fifo, target, link, loop = (path(name) for name in ("fifo", "target.csv", "link.csv", "loop"))
    os.mkfifo(fifo)  # … which nothing may take the place of
    reader = subprocess.Popen(["timeout", "20", "cat", fifo], stdout=subprocess.PIPE)
    ask("export", "--format", "npz", "--output", fifo)
    with zipfile.ZipFile(io.BytesIO(reader.communicate()[0])) as z:
        check({name[:-4] for name in z.namelist()} == set(arrays) and stat.S_ISFIFO(os.stat(fifo).st_mode), "export: into a FIFO")
    os.symlink(target, link)
    ask("export", "--output", link)
    with open(target, newline="") as f:
        check(os.path.islink(link) and f.read() == out, "export: behind a symbolic link")
    with open(target, "a") as f:
        run("export", "--output", "/dev/stdout", "--format", "csv", model=None, stdout=f)
    with open(target, newline="") as f:
        check(f.read() == 2 * out, "export: /dev/stdout, behind what stands there")
    os.symlink(loop, loop)
    expect_error(1, "loop: Too many levels", "export", "--output", loop, model=None)
    expect_error(1, "/dev/full: No space left", "export", "--output", "/dev/full", "--format", "npz", model=None)


def test_merge():
    """Shards merged either way, and exports imported again, export the same bytes."""
    lines_ = open(path("found.jsonl")).read().split("\n")[:-1]
    runs = [l for l in lines_ if l.startswith('{"type":"run"')]
    rest = [l for l in lines_ if l not in runs]
    random.seed(4)
    random.shuffle(rest)
    for name, part in (("a", rest[::2]), ("b", rest[1::2] + rest[:3])):
        with open(path(name + ".jsonl"), "w") as f:
            f.write("\n".join(runs + part) + "\n\r\n")
        ask("store", "import", path(name + ".jsonl"), store=path(name + ".sqlite"))
    out = ask("store", "merge", path("a.sqlite"), path("b.sqlite"), store=path("ab.sqlite"))
    check(re.search(r"a.sqlite: \d+ runs, \d+ lines: \d+ new, 0 changed, 0 there already\n", out), f"merge: {out}")
    ask("store", "merge", path("b.sqlite"), store=path("ba.sqlite"))
    ask("store", "merge", path("a.sqlite"), store=path("ba.sqlite"))
    whole = open(path("found.jsonl")).read()
    for store in ("ab.sqlite", "ba.sqlite"):
        check(ask("export", store=path(store)) == whole, f"{store}: the same bytes")
        for form in ("csv", "neuronpedia"):
            check(ask("export", "-q", "--format", form, store=path(store)) ==
                  ask("export", "-q", "--format", form, store=path("ab.sqlite")), f"{store}: {form}")
        sound(path(store), store)
    counts = lines(ask("store", "merge", "--json", path("a.sqlite"), store=path("ba.sqlite")))[0]
    check(counts["added"] == counts["changed"] == 0 and counts["lines"] > 5, f"merge again: {counts}")
    p = subprocess.run([TOOL, "store", "import", "-", "--store", path("piped.sqlite")], input=whole.encode(), capture_output=True)
    check(p.returncode == 0 and ask("export", store=path("piped.sqlite")) == whole, f"import of stdin: {p.stderr}")
    with open(path("bad.jsonl"), "w") as f:
        f.write(whole + '{"type":"dream","run":"nowhere"}\n')
    n = whole.count("\n") + 1
    expect_error(1, f"bad.jsonl, line {n}: run nowhere is not in the store", "store", "import", path("bad.jsonl"), "--store",
                 path("bad.sqlite"), model=None)
    check(kept(store=path("bad.sqlite")) == [], "a refused import keeps nothing")
    with open(path("bad.jsonl"), "wb") as f:
        f.write(b'{"type":"run"\xff')
    expect_error(1, "bad.jsonl, line 1: not JSON", "store", "import", path("bad.jsonl"), "--store", path("bad.sqlite"), model=None)
    expect_error(1, "missing: No such file", "store", "import", path("missing"), "--store", path("bad.sqlite"), model=None)
    expect_error(1, "there is no store yet", "store", "merge", path("missing"), "--store", path("bad.sqlite"), model=None)


def test_check():
    store = path("broken.sqlite")
    shutil.copy(STORE, store)
    with sqlite3.connect(store) as db:
        db.execute("UPDATE result SET z = z + 1 WHERE type = 'dream'")
    db.close()
    code, out, err = run("store", "check", "--store", store, model=None)
    n = out.count("\n")
    check(code == 1 and n >= 2 and err == f"phosphene store: {store}: {n} faults\n", f"check: {code} {out[:300]} {err}")
    code, out, err = run("store", "check", "--json", "--store", store, model=None)
    check(code == 1 and all(r["type"] == "fault" for r in lines(out)), "check --json")
    shutil.copy(STORE, store)
    with sqlite3.connect(store) as db:
        db.execute("UPDATE body SET line = substr(line, 1, 150) WHERE result = (SELECT min(id) FROM result WHERE type = 'dream')")
        run_, feature = db.execute("SELECT substr(line, instr(line, '\"run\":\"') + 7, 16), f.text FROM body b JOIN result r ON r.id = b.result "
                                   "JOIN feature f ON f.id = r.feature WHERE length(line) = 150").fetchone()
    db.close()
    for more in (("export", "--output", path("damaged.npz")), ("export", "--format", "neuronpedia"), ("report", "--output", path("damaged.html"))):
        expect_error(1, re.escape(f"a line of run {run_}, {feature} is damaged (") + ".*store check", *more, "--store", store, model=None)
    check(not [f for f in os.listdir(WORK) if f.startswith("damaged")], "a damaged line: no file is written")
    check(ask("export", store=store).count("\n") == ask("export").count("\n"), "a damaged line: jsonl has it as it stands")
    shutil.copy("tests/data/store_v1.sqlite", store)
    old = sorted(open("tests/data/store_v1.jsonl").read().split("\n")[:-1])
    check(sorted(ask("export", store=store).split("\n")[:-1]) == old, "version 1: its lines")
    sound(store, "version 1")
    if os.getuid():  # root writes everywhere
        os.chmod(WORK, 0o500)
        check(lines(ask("show", "--json", store=store)), "a folder that cannot be written")
        os.chmod(WORK, 0o700)


def fill(store, n, tag, **more):
    return subprocess.Popen([TOOL_STORE, "fill", store, str(n), tag], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def features(store):
    return {r["feature"] for r in kept("--type", "dream", store=store)}


def test_kill():
    """kill -9 at any moment: the store is sound, and what was said to be kept is there."""
    store = path("killed.sqlite")
    random.seed(1)
    lost = late = 0
    for i in range(KILLS):
        tag = f"k{i}"
        p = fill(store, 200, tag)
        said = [p.stdout.readline()] if i % 7 else []
        time.sleep(random.random() * 0.25)
        p.kill()
        rest = p.stdout.read()
        p.wait()
        whole = (b"".join(said) + rest).count(b"\n")
        late += whole == 200
        if "there is no store yet" in run("show", "--store", store, model=None)[2]:
            check(whole == 0 and i == 0, f"kill {i}: there is no store after {whole} lines")
            continue
        here = len(kept("--run", tag, "--type", "dream", store=store))
        lost += here < whole
        check(whole <= here <= whole + 1, f"killed after {whole} lines: {here} are there")
        sound(store, f"kill {i}")
    check(late < KILLS, f"kills: {late} of {KILLS} came too late")
    print(f"{KILLS} kills, {late} too late, {lost} with lines lost")


def test_two_writers():
    store = path("two.sqlite")
    n = 40 if SANITIZED else 100
    writers = [fill(store, n, tag) for tag in ("one", "two", "six")]
    done = [p.communicate(timeout=100) for p in writers]
    for (out, err), p in zip(done, writers):
        check(p.returncode == 0 and out.count(b"\n") == n, f"two writers: {p.returncode} {err}")
    for tag in ("one", "two", "six"):
        check(len(kept("--run", tag, "--type", "dream", store=store)) == n, f"{tag}: nothing is lost")
    sound(store, "two writers")


def no_larger(size):
    """For a process whose files have no room beyond so many bytes."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


def test_full():
    """No room: one clear line, the store intact; answers still print."""
    store = path("full.sqlite")
    p = fill(store, 1000, "full", preexec_fn=no_larger(1000000))
    out, err = p.communicate(timeout=60)
    n = out.count(b"\n")
    check(p.returncode == 1 and 5 < n < 1000 and err.count(b"\n") == 1 and b"full.sqlite: " in err and
          re.search(rb"File too large|no space left|in writing", err), f"full: {n} {err}")
    check(len(features(store)) == n, f"full: {n} were kept")
    sound(store, "full")
    for named in (True, False):
        env = os.environ | ({} if named else {"PHOSPHENE_STORE": store})
        p = subprocess.run([TOOL, "scan", "-m", TINY, "-q"] + (["--store", store] if named else []), env=env, capture_output=True,
                           preexec_fn=no_larger(150000))
        err = p.stderr.decode()
        check(p.returncode == (1 if named else 0) and err.count("\n") == 1 and "full.sqlite" in err, f"full: scan {p.returncode} {err}")
        check(named or p.stdout.count(b"\n") == 122, f"full: {p.stdout.count(10)} lines are printed all the same")
    sound(store, "full, after scans")


run_tests(test_keeping, test_identity, test_not_keeping, test_show, test_export, test_merge, test_check, test_kill, test_two_writers, test_full)
