"""`phosphene pull` against a hub on this machine (hub_server.py): the cache it leaves, and every fault.

    test_cli_pull.py TOOL
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from cli import SANITIZED, TINY, TOOL, WORK, check, lines, run_tests
from hub_server import COMMIT, LFS_FROM, Hub, etag_of

with open(TINY, "rb") as file:
    GGUF = file.read()
BIG = bytes(range(256)) * 4000  # 1 MB
FOLDER = {
    "README.md": b"# hello", "config.json": b'{"model_type":"llama"}', "tokenizer.json": b"{}" * 3000,
    "tokenizer_config.json": b"{}", "special_tokens_map.json": b"{ }", "chat_template.jinja": b"hi",
    "model.safetensors": BIG, "pytorch_model.bin": BIG[:5000], "onnx/model.onnx": b"x", "sub/config.json": b"{}",
}
SHARDS = {"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map":{}}',
          "model-00001-of-00002.safetensors": BIG[:9000], "model-00002-of-00002.safetensors": BIG[:8000],
          "consolidated.safetensors": b"no", "vocab.json": b"{}", "merges.txt": b"#version\n", "a b/ü #?.json": b"odd"}
QUANTS = {"README.md": b"", "tiny-Q4_K_M.gguf": GGUF, "tiny-Q4_K_S.gguf": b"GGUF s", "tiny-Q8_0.gguf": b"GGUF 8",
          "mmproj-tiny-Q8_0.gguf": b"GGUF vision", "tiny-F16-00001-of-00002.gguf": b"GGUF 1",
          "tiny-F16-00002-of-00002.gguf": b"GGUF 2", "big/tiny-BF16-00001-of-00002.gguf": b"GGUF 1"}
REPOSITORIES = {"Org/Folder": FOLDER, "Org/Shards": SHARDS, "Org/Quants": QUANTS, "Org/One": {"one.gguf": GGUF},
                "Org/Bin": {"config.json": b"{}", "pytorch_model.bin": b"x"}, "Org/None": {"README.md": b""},
                "Org/Big": {"big.gguf": BIG, "small.gguf": b"GGUF"}}


def home():
    return tempfile.mkdtemp(dir=WORK)


def command(hub, *args, cache=None, env=None):
    full = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    full |= {"HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9", "HF_HOME": cache or home()} | (env or {})
    return [TOOL, "pull", *args], full


def pull(hub, *args, cache=None, env=None, **more):
    line, full = command(hub, *args, cache=cache, env=env)
    p = subprocess.run(line, capture_output=True, env=full, timeout=120, **more)
    out, err = p.stdout.decode(), p.stderr.decode()
    check("Sanitizer" not in err and "runtime error" not in err, f"{args}: sanitizer: {err}")
    return p.returncode, out, err


def refused(status, pattern, hub, *args, **more):
    code, out, err = pull(hub, *args, **more)
    check(code == status, f"{args}: exit {code}, expected {status}: {err!r}")
    check(re.search(pattern, err), f"{args}: {err!r} does not match {pattern!r}")
    check(err.count("\n") == 1, f"{args}: one line, not {err!r}")
    return out


def files_of(cache, repository):
    """{name: bytes} of the snapshot that refs/main names; every one a relative link to a blob of its etag."""
    model = os.path.join(cache, "hub", "models--" + repository.replace("/", "--"))
    with open(os.path.join(model, "refs", "main")) as f:
        check(f.read() == COMMIT, "refs/main is the commit and nothing else")
    snapshot, found = os.path.join(model, "snapshots", COMMIT), {}
    for folder, _, names in os.walk(snapshot):
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, snapshot)
            with open(path, "rb") as f:
                found[relative] = f.read()
            expected = "../" * (2 + relative.count("/")) + "blobs/" + etag_of(found[relative])
            check(os.readlink(path) == expected, f"{relative} -> {os.readlink(path)}")
    blobs = os.listdir(os.path.join(model, "blobs"))
    check(not any(b.endswith(".incomplete") for b in blobs), f"no parts stay: {blobs}")
    return found


def test_folder():
    with Hub(REPOSITORIES) as hub:
        cache = home()
        code, out, err = pull(hub, "Org/Folder", cache=cache)
        check(code == 0 and err == "", f"folder: {code} {err}")
        wanted = {n: FOLDER[n] for n in FOLDER if n not in ("README.md", "pytorch_model.bin") and "/" not in n}
        check(files_of(cache, "Org/Folder") == wanted, "what a folder needs, no more")
        path = out.splitlines()[-1]
        check(path == os.path.realpath(os.path.join(cache, "hub/models--Org--Folder/snapshots", COMMIT)), path)
        check("-m Org/Folder\n" in out and out.count(" checked ") == len(wanted), f"how to use it: {out}")
        asked = len(hub.log)
        code, out, err = pull(hub, "Org/Folder", cache=cache)
        check(code == 0 and out.count(" was there ") == len(wanted), f"again: {out} {err}")
        check(not any(s == "cdn" for s, *_ in hub.log[asked:]), "nothing is loaded twice")
        check(etag_of(BIG) + "\n" in pull(hub, "Org/Folder", "-v", cache=cache)[1], "-v: hashes")
        code, out, err = pull(hub, "Org/Folder", "-q", cache=cache)
        check((code, out, err) == (0, path + "\n", ""), f"-q: the path only: {out}")
        cache = home()
        code, out, err = pull(hub, "Org/Shards", cache=cache)
        check(code == 0 and set(files_of(cache, "Org/Shards")) == set(SHARDS) - {"consolidated.safetensors", "a b/ü #?.json"},
              f"shards: {err}")
        code, out, err = pull(hub, "Org/Shards:a b/ü #?.json", cache=cache)
        check(code == 0 and files_of(cache, "Org/Shards")["a b/ü #?.json"] == b"odd", f"an odd name: {err}")
        refused(1, "Org/Bin holds its weights as pytorch_model.bin only, not yet supported", hub, "Org/Bin")
        refused(1, "Org/None holds neither safetensors nor GGUF", hub, "Org/None")


def test_names():
    with Hub(REPOSITORIES) as hub:
        for what, expected in (("Q8_0", ["tiny-Q8_0.gguf"]), ("q4_k_m", ["tiny-Q4_K_M.gguf"]), ("*K_S*", ["tiny-Q4_K_S.gguf"]),
                               ("tiny-Q4_K_M.gguf", ["tiny-Q4_K_M.gguf"]), ("mmproj-tiny-Q8_0.gguf", ["mmproj-tiny-Q8_0.gguf"]),
                               ("F16", ["tiny-F16-00001-of-00002.gguf", "tiny-F16-00002-of-00002.gguf"]),
                               ("tiny-F16-00002-of-00002.gguf", ["tiny-F16-00001-of-00002.gguf", "tiny-F16-00002-of-00002.gguf"])):
            cache = home()
            code, out, err = pull(hub, "Org/Quants:" + what, cache=cache)
            check(code == 0 and sorted(files_of(cache, "Org/Quants")) == expected, f"{what}: {err}")
            check(f"-m Org/Quants:{expected[0]}\n" in out and out.endswith("/" + expected[0] + "\n"), f"{what}: {out}")
        refused(1, r'Org/Quants: "Q4_K" may mean tiny-Q4_K_M.gguf, tiny-Q4_K_S.gguf', hub, "Org/Quants:Q4_K")
        refused(1, r'no file is meant by "Q2_K"; there are tiny-Q4_K_M.gguf, ', hub, "Org/Quants:Q2_K")
        refused(1, r"1 of the 2 parts of big/tiny-BF16-00001-of-00002.gguf are there", hub, "Org/Quants:BF16")
        refused(1, 'no file is meant by "x", and no GGUF file is there', hub, "Org/None:x")
        out = refused(2, "Org/Quants holds 5 GGUF models: name one, as in Org/Quants:tiny-Q4_K_M.gguf", hub, "Org/Quants")
        check("Org/Quants:tiny-Q8_0.gguf\n" in out and "mmproj" not in out and "README" not in out, f"which there are: {out}")
        out = refused(2, "name one", hub, "Org/Quants", "--json")
        check({r["file"] for r in lines(out)} == {n for n in QUANTS if n.endswith("gguf") and "mmproj" not in n}, out)
        cache = home()
        code, out, err = pull(hub, "Org/One", cache=cache)
        check(code == 0 and files_of(cache, "Org/One") == {"one.gguf": GGUF} and "-m Org/One:one.gguf" in out, err)
        env = os.environ | {"HF_HOME": cache}
        for model in ("Org/One", "Org/One:one.gguf", "Org/One:one"):
            p = subprocess.run([TOOL, "tokenize", "-m", model, "ab"], env=env, capture_output=True)
            check(p.returncode == 0, f"-m {model} finds it: {p.stderr}")
        pull(hub, "Org/Quants:Q4_K_M", cache=cache)
        p = subprocess.run([TOOL, "info", "-m", "Org/Quants:Q4_K_M", "--json"], env=env, capture_output=True)
        check(p.returncode == 0, f"-m ORG/NAME:QUANT finds it: {p.stderr}")
        for wrong in ("Org", "Org/", "/x", "Org/a b", "Org/x:", "Org/x:../y", "a/b/c", "Org/a--b"):
            refused(2, "expected ORG/NAME or ORG/NAME:FILE", hub, wrong)
        refused(2, "no revision has such a name", hub, "Org/One", "--revision", "../x")
        refused(2, "which model", hub)
        refused(2, "one model at a time", hub, "Org/One", "Org/Two")


def test_json():
    with Hub(REPOSITORIES) as hub:
        code, out, err = pull(hub, "Org/Big:big", "--json")
        rows = lines(out)
        check(code == 0 and [r["type"] for r in rows] == ["run", "file", "pull"], f"json: {out} {err}")
        check(rows[0]["id"] == COMMIT and all(r["run"] == COMMIT for r in rows[1:]), "run and its id")
        f = rows[1]
        check((f["name"], f["bytes"], f["etag"], f["there"], f["checked"]) ==
              ("big.gguf", len(BIG), hashlib.sha256(BIG).hexdigest(), False, True), f"file: {f}")
        check(rows[2]["model"] == "Org/Big:big.gguf" and rows[2]["path"].endswith(COMMIT + "/big.gguf"), "the path")
        cache = home()
        code, out, err = pull(hub, "Org/Big:big", "--json", "--revision", "refs/pr/1", cache=cache)
        check(code == 0 and lines(out)[-1]["model"] == lines(out)[-1]["path"], "another revision is used by its path")
        with open(os.path.join(cache, "hub/models--Org--Big/refs/refs/pr/1")) as f:
            check(f.read() == COMMIT, "its ref")
        code, out, err = pull(hub, "Org/Big:big", "--revision", COMMIT, cache=cache)
        check(code == 0 and " was there " in out, "a commit")
        check(not os.path.exists(os.path.join(cache, "hub/models--Org--Big/refs/main")), "which needs no ref")


def test_broken_line():
    with Hub(REPOSITORIES) as hub:
        hub.faults["big.gguf"] = {"drop": 3}
        cache = home()
        code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
        check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"dropped: {err}")
        ranges = [h.get("Range") for s, m, _, h in hub.log if s == "cdn"]
        check(ranges == [None, "bytes=512000-", "bytes=768000-", "bytes=896000-"], f"goes on from there: {ranges}")
        hub.log.clear()
        hub.faults["big.gguf"] = {"drop": 1, "no_range": True}
        cache = home()
        code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
        check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"without Range: {err}")
        hub.faults["big.gguf"] = {"busy": 2}
        code, out, err = pull(hub, "Org/Big:big.gguf")
        check(code == 0, f"503 twice: {err}")
        hub.faults["big.gguf"] = {"drop": 99}
        cache = home()
        refused(1, "127.0.0.1:[0-9]+: .*(closed|transfer)", hub, "Org/Big:big.gguf", "--retries", "0", cache=cache)
        part = os.path.join(cache, "hub/models--Org--Big/blobs", hashlib.sha256(BIG).hexdigest() + ".incomplete")
        check(os.path.getsize(part) == 512000, "the part stays")
        check(not os.path.exists(os.path.join(cache, "hub/models--Org--Big/refs/main")), "no ref to half a model")
        hub.faults.clear()
        hub.log.clear()
        code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
        check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"resumed: {err}")
        check([h.get("Range") for s, *_, h in hub.log if s == "cdn"] == ["bytes=512000-"], "from where it stopped")
        for what, content in (("of other bytes", b"\0" * 700000), ("too long", BIG + b"x"), ("whole", BIG)):
            cache = home()
            part = os.path.join(cache, "hub/models--Org--Big/blobs", hashlib.sha256(BIG).hexdigest() + ".incomplete")
            os.makedirs(os.path.dirname(part))
            with open(part, "wb") as f:
                f.write(content)
            code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
            check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"a part {what}: {err}")
        refused(1, "is there a network", None, "Org/Big")
        refused(1, "no-such-host.invalid", None, "Org/Big", env={"HF_ENDPOINT": "https://no-such-host.invalid"})
        refused(1, "HF_HUB_OFFLINE is set", hub, "Org/Big", env={"HF_HUB_OFFLINE": "1"})
        refused(2, "HF_ENDPOINT ftp://x: expected https://HOST", hub, "Org/Big", env={"HF_ENDPOINT": "ftp://x"})


def test_wrong_bytes():
    with Hub(REPOSITORIES) as hub:
        for name in ("big.gguf", "small.gguf"):
            hub.faults[name] = {"wrong": "always"}
            cache = home()
            refused(1, f"{name}: wrong (sha256|git hash): [0-9a-f]{{16}}…, expected [0-9a-f]{{16}}…; what came is removed",
                    hub, "Org/Big:" + name, cache=cache)
            check(os.listdir(os.path.join(cache, "hub/models--Org--Big/blobs")) == [], "nothing of it stays")
            check(not os.path.exists(os.path.join(cache, "hub/models--Org--Big/snapshots")), "and no link")
        for fault, pattern in (({"longer": True}, "more than the 1024000 bytes"), ({"commit": "f" * 40}, "answers for commit f"),
                               ({"etag": "../../x"}, "no etag that names it"), ({"etag": ""}, "no etag that names it"),
                               ({"size": 10 ** 16}, r"Org/Big:big.gguf needs 10000.0 TB more, but at .* are free"),
                               ({"size": 2 * 10 ** 18}, "needs 2000000.0 TB more"),
                               ({"location": "file:///etc/passwd"}, "redirects to file:///etc/passwd, which is not https"),
                               ({"location": "http://"}, "redirects to no address"),
                               ({"location": "/old/Big/resolve/x"}, "nothing of that name|redirects in circles"),
                               ({"status": 500, "message": "boom\x1b[31m"}, r"the hub answers 500: boom\?\[31m")):
            hub.faults["big.gguf"] = fault
            refused(1, pattern, hub, "Org/Big:big.gguf", "--retries", "0")
        hub.faults = {"big.gguf": {"etag": "no-hash.1"}}
        code, out, err = pull(hub, "Org/Big:big.gguf")
        check(code == 0 and " size only " in out, f"an etag that is no hash: {out} {err}")
        hub.faults["big.gguf"] = {"other_part": True, "drop": 1}
        refused(1, "another part|wrong|bytes came", hub, "Org/Big:big.gguf", "--retries", "1")
        loop = hub.endpoint + "/Org/Big/resolve/" + COMMIT + "/big.gguf"
        hub.faults["big.gguf"] = {"location": loop}
        refused(1, "redirects in circles", hub, "Org/Big:big.gguf")


def test_access():
    with Hub(REPOSITORIES) as hub:
        hub.private, hub.gated = {"Org/Big"}, {"Org/One"}
        good, bad = {"HF_TOKEN": hub.token}, {"HF_TOKEN": "hf_bad"}
        refused(1, "Org/Big: not on the hub, or private: set HF_TOKEN", hub, "Org/Big:big.gguf")
        refused(1, "Org/Big: the hub does not accept the token", hub, "Org/Big:big.gguf", env=bad)
        refused(1, "Org/One is gated: accept its terms", hub, "Org/One", env=good)
        refused(1, "Org/Nobody: not on the hub, or private", hub, "Org/Nobody")
        refused(1, "Org/Nobody: the hub has nothing of that name", hub, "Org/Nobody", env=good)
        refused(1, "Org/Folder: the hub has no such revision", hub, "Org/Folder", "--revision", "v2")
        refused(2, "holds what no token has", hub, "Org/Big", env={"HF_TOKEN": "a\nX-Evil: 1"})
        hub.log.clear()
        code, out, err = pull(hub, "Org/Big:big.gguf", env=good)
        check(code == 0, f"with a token: {err}")
        check(all(h.get("Authorization") == "Bearer hf_secret" for s, *_, h in hub.log if s == "front"), "the hub sees it")
        seen = [h for s, *_, h in hub.log if s == "cdn"]
        check(seen and all("hf_secret" not in json.dumps(h) for h in seen), "nobody else does")
        cache = home()
        with open(os.path.join(cache, "token"), "w") as f:
            f.write("hf_secret\n")
        code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
        check(code == 0, f"the token's file: {err}")
        hub.faults["small.gguf"] = {"status": 403, "message": "not for you"}
        refused(1, "small.gguf: the hub forbids it: not for you", hub, "Org/Big:small.gguf", env=good)
        code, out, err = pull(hub, "Org/Folder")
        check(code == 0, f"public things need none: {err}")


def test_hostile_listing():
    def listing(*names, sha=COMMIT):
        return json.dumps({"sha": sha, "siblings": [{"rfilename": n} for n in names]}).encode()

    with Hub(REPOSITORIES) as hub:
        for name in ("../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "a//x.gguf", ".", "a/.", "", "x\n.gguf",
                     "a\\b.gguf", "x" * 300 + ".gguf", 7, None):
            hub.faults["listing"] = listing(name, "one.gguf")
            cache = home()
            refused(1, "lists a file whose name would leave the folder, or is none", hub, "Org/One", cache=cache)
            check(os.listdir(cache) == [], f"{name!r}: nothing is written")
        for body, pattern in ((b"", "no JSON object"), (b"[]", "no JSON object"), (b"{", "no JSON object"),
                              (b"[" * 100000, "no JSON object"), (b'{"sha":"x","siblings":[]}', "names no commit"),
                              (listing("a.gguf", sha="../" * 13 + "x"), "names no commit"), (b'{"siblings":3}', "lists no files"),
                              (listing(*["x"] * 20001), "too many files"), (listing("x\0y.gguf"), "no JSON object"), (b'{"siblings":[' + b"0," * 9 + b"0]}", "is none")):
            hub.faults["listing"] = body
            refused(1, pattern, hub, "Org/One")
        hub.faults["listing"] = listing("one.gguf", "one.gguf", "not-there.txt")
        code, out, err = pull(hub, "Org/One")
        check(code == 0, f"a name twice: {err}")
        hub.faults["listing"] = listing("gone.gguf")
        refused(1, "gone.gguf: the hub has no such file", hub, "Org/One")
        many = [f"m{i}.gguf" for i in range(20000)]
        hub.faults["listing"] = listing(*many)
        refused(2, "holds 20000 GGUF models", hub, "Org/One")


def test_two_at_once():
    with Hub(REPOSITORIES) as hub:
        hub.faults["big.gguf"] = {"step": 50000, "pause": 0.05}
        cache = home()
        line, env = command(hub, "Org/Big:big.gguf", cache=cache)
        both = [subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        outs = [p.communicate(timeout=60) for p in both]
        check([p.returncode for p in both] == [0, 0], f"two at once: {outs}")
        check(sum(s == "cdn" for s, *_ in hub.log) == 1, "one of them loads")
        check(files_of(cache, "Org/Big") == {"big.gguf": BIG}, "the bytes")


def test_interrupted():
    with Hub(REPOSITORIES) as hub:
        for number in (signal.SIGINT, signal.SIGTERM):
            hub.faults["big.gguf"] = {"step": 20000, "pause": 0.05}
            cache = home()
            line, env = command(hub, "Org/Big:big.gguf", cache=cache)
            p = subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            part = os.path.join(cache, "hub/models--Org--Big/blobs", hashlib.sha256(BIG).hexdigest() + ".incomplete")
            for _ in range(200):
                if os.path.exists(part) and os.path.getsize(part) > 100000:
                    break
                time.sleep(0.05)
            p.send_signal(number)
            out, err = p.communicate(timeout=30)
            check(p.returncode == 130 and b"interrupted; the same command goes on" in err, f"{p.returncode} {err}")
            size = os.path.getsize(part)
            hub.faults.clear()
            hub.log.clear()
            code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
            check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"goes on: {err}")
            check([h.get("Range") for s, *_, h in hub.log if s == "cdn"] == [f"bytes={size}-"], "from there")


def test_full_disk():
    """A file may not grow beyond a limit: as on a disk that is full."""
    def limited():
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))

    with Hub(REPOSITORIES) as hub:
        cache = home()
        refused(1, "incomplete: File too large|blobs/.*: File too large", hub, "Org/Big:big.gguf", cache=cache, preexec_fn=limited)
        code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
        check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"afterwards: {err}")
        blob = os.path.join(cache, "hub/models--Org--Big/blobs", hashlib.sha256(BIG).hexdigest())
        with open(blob, "wb") as f:
            f.write(b"short")
        code, out, err = pull(hub, "Org/Big:big.gguf", cache=cache)
        check(code == 0 and files_of(cache, "Org/Big") == {"big.gguf": BIG}, f"a damaged blob: {err}")
        if os.getuid() != 0:
            os.chmod(cache, 0o500)
            refused(1, "Permission denied", hub, "Org/One", cache=cache)
        with open(os.path.join(home(), "file"), "w") as f:
            refused(1, "Not a directory|File exists", hub, "Org/One", env={"HF_HUB_CACHE": f.name})


def test_huggingface_hub():
    """Both ways, where the Python package is installed: $PH_HUB_PYTHON, else this Python."""
    python = os.environ.get("PH_HUB_PYTHON", "python3")
    probe = subprocess.run([python, "-c", "import huggingface_hub"], capture_output=True)
    if probe.returncode:
        print("huggingface_hub: skipped, it is not installed")
        return
    fetch = "import huggingface_hub as h, sys; print(h.hf_hub_download(sys.argv[1], sys.argv[2], local_files_only=sys.argv[3] == '1'))"
    with Hub(REPOSITORIES) as hub:
        cache = home()
        pull(hub, "Org/Folder", cache=cache)
        pull(hub, "Org/Shards:a b/ü #?.json", cache=cache)
        _, env = command(hub, cache=cache)
        for repository, name in (("Org/Folder", "config.json"), ("Org/Folder", "model.safetensors"), ("Org/Shards", "a b/ü #?.json")):
            p = subprocess.run([python, "-c", fetch, repository, name, "1"], env=env, capture_output=True)
            check(p.returncode == 0 and p.stdout.decode().strip().endswith(name), f"it finds {name}: {p.stderr[-300:]}")
        hub.log.clear()
        p = subprocess.run([python, "-c", fetch, "Org/Folder", "model.safetensors", "0"], env=env, capture_output=True)
        check(p.returncode == 0 and not any(s == "cdn" for s, *_ in hub.log), f"nor loads it again: {p.stderr[-300:]}")
        cache = home()
        _, env = command(hub, cache=cache)
        for name in ("big.gguf", "small.gguf"):
            p = subprocess.run([python, "-c", fetch, "Org/Big", name, "0"], env=env, capture_output=True)
            check(p.returncode == 0, f"it loads {name} of this hub: {p.stderr[-300:]}")
        hub.log.clear()
        for name in ("big.gguf", "small.gguf"):
            code, out, err = pull(hub, "Org/Big:" + name, cache=cache)
            check(code == 0 and " was there " in out, f"what it loaded is there: {out} {err}")
        check(all(m == "HEAD" or "/api/" in path for _, m, path, _ in hub.log), "and not loaded again")
        check(files_of(cache, "Org/Big") == {"big.gguf": BIG, "small.gguf": b"GGUF"}, "the same cache")


assert len(BIG) > LFS_FROM and (SANITIZED or shutil)
run_tests(test_folder, test_names, test_json, test_broken_line, test_wrong_bytes, test_access, test_hostile_listing,
          test_two_at_once, test_interrupted, test_full_disk, test_huggingface_hub)
