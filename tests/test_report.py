"""phosphene report: what the file holds, what it may load, and its errors. How it looks: browser.py."""

import base64
import hashlib
import json
import os
import re
import stat

from cli import TINY, WORK, check, expect_error, run, run_tests
from serve_client import HOSTILE, hostile_model

STORE = os.path.join(WORK, "report.sqlite")
PAGE = "app/page"


def fill(*args, model=TINY):
    code, _, err = run(*args, "--store", STORE, "-q", model=model)
    check(code == 0, f"{args}: exit {code}: {err}")


def report(*args):
    code, out, err = run("report", "--store", STORE, *args, model=None)
    check(code == 0, f"{args}: exit {code}: {err}")
    return out, err


def held(page):
    return json.loads(re.search(r'<script type="application/json" id="lines">(.*?)</script>', page, re.S).group(1))


def features(page):
    return list(dict.fromkeys(line["feature"] for line in held(page)["lines"] if "feature" in line))


def test_content():
    fill("dream", "block 2 [:, :, 0-3]", "--method", "descent", "--steps", "5", "--restarts", "2")
    fill("dream", "block 2 [:, :, 2-5]", "--method", "greedy")
    fill("scan", "block 2 [:, :, 0-9]")
    page, _ = report()
    lines = held(page)["lines"]
    check(features(page) == [f"block 2 [:, :, {i}]" for i in range(10)], f"in order: {features(page)}")
    runs = [line["id"] for line in lines if line["type"] == "run"]
    check(len(runs) == len(set(runs)) == 3, f"three runs, each once: {runs}")
    check([line["type"] for line in lines].index("dream") == 3, "runs stand before what is of them")
    code, stored, _ = run("export", "--store", STORE, "--type", "dream", model=None)
    kept = {(r["feature"], r["text"]): r for r in map(json.loads, stored.splitlines())}
    for line in (r for r in lines if r["type"] == "dream"):
        of = kept[line["feature"], line["text"]]
        check(abs(line["activation"]["text"] - of["activation"]["text"]) <= 1e-5 * abs(of["activation"]["text"]), f"{line['feature']}: its activation")
        check(line["tokens"] == of["tokens"] and "rows" not in line, f"{line['feature']}: its tokens, and nothing that is not shown")
    again, _ = report()
    check(page == again, "the same bytes again")


def test_choosing():
    check(features(report("--limit", "2")[0]) == ["block 2 [:, :, 0]", "block 2 [:, :, 1]"], "--limit")
    check("2 of 10 features" in report("--limit", "2")[1], "what is left out is said")
    check(report("--limit", "2", "-q")[1] == "", "-q says nothing")
    check(features(report("block 2 [:, :, 3]")[0]) == ["block 2 [:, :, 3]"], "a spec")
    check(features(report("--features", "2-3")[0]) == ["block 2 [:, :, 2]", "block 2 [:, :, 3]"], "--features")
    check(sorted(features(report("--method", "greedy")[0])) == [f"block 2 [:, :, {i}]" for i in range(2, 6)], "--method")
    page, _ = report("--method", "greedy", "--texts", "1", "--title", "a <b> & \"c\"")
    check(all(line["method"] == "greedy" for line in held(page)["lines"] if line["type"] == "dream"), "texts of that method only")
    check("<title>a &lt;b> &amp; &quot;c&quot;</title>" in page and held(page)["title"] == 'a <b> & "c"', "a title is text")
    z = [max(line["z"] for line in held(report("--sort", "z", "--limit", "1")[0])["lines"] if line["type"] == "dream")]
    check(z == [max(line["z"] for line in held(report()[0])["lines"] if line["type"] == "dream")], "--sort z begins with the largest")


def test_order():
    """Features in their order, of texts the best of each search, and the scan of the plainest context."""
    low, high = (f"final [:, :, {c}]" for c in (1, 2))
    said = {"file": "m.gguf", "sha256": "c" * 64, "name": "m", "blocks": 2, "width": 60}
    top = [{"id": 1, "token": "a", "activation": 2.0}]
    all = [{"type": "run", "id": id, "model": said, "command": "scan", "settings": {"bos": "auto", "prefix": prefix}}
           for id, prefix in (("z1", "x"), ("z2", None))]
    all += [{"type": "scan", "run": r["id"], "feature": low, "top": top, "bottom": top, "mean": 0, "sd": 1, "n": 9} for r in all]
    all += [{"type": "dream", "run": "z2", "feature": feature, "method": "beam", "sign": sign, "rank": i, "text": f"t{i}", "z": 1,
             "activation": {"text": float(sign + str(i))}} for feature, sign in ((low, "-"), (high, "+")) for i in range(9)]
    path = os.path.join(WORK, "order.jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in all)
    check(run("store", "import", path, "--store", STORE, model=None)[0] == 0, "import")
    lines = held(report("--place", "final")[0])["lines"]
    dreams = [(r["feature"], r["rank"]) for r in lines if r["type"] == "dream"]
    check(dreams == [(f, i) for f in (low, high) for i in range(8, 2, -1)], f"the best six of each: {dreams}")
    check([r["run"] for r in lines if r["type"] == "scan"] == ["z2"], "the scan of the plainest context")
    check(features(report("--method", "beam", "--limit", "1")[0]) == [low], "--method keeps the order")
    page = held(report("--place", "final", "--sort", "best")[0])
    check(features(report("--place", "final", "--sort", "best")[0]) == [high, low], "--sort best")
    check(held(report("--sort", "feature")[0])["selection"] == "in order" and "the best first" in page["selection"], "it says its order")


def test_policy():
    """Scripts and styles are those whose hashes the policy names, all of them; nothing comes from elsewhere."""
    page, _ = report()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    parts = re.findall(r"<style>(.*?)</style>", page, re.S) + re.findall(r'<script(?: type="module")?>(.*?)</script>', page, re.S)
    hashes = {"sha256-" + base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts}
    check(len(parts) == 5 and hashes == set(re.findall(r"sha256-[^' ]+", policy)), "the policy names each part by its hash")
    check("default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy, f"the policy: {policy}")
    check(not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", page, re.I), "an address of the network in a src or href")
    check(len(page.encode()) < 600_000, f"{len(page.encode())} bytes for ten features")


def test_hostile():
    model = os.path.join(WORK, "hostile.gguf")
    hostile_model(model)
    fill("scan", "block 1 [:, :, 0-2]", "--top", "300", model=model)
    page, _ = report("--block", "1")
    check(HOSTILE[0] not in page and len(re.findall(r"<script[ >]", page)) == 4, "a token is markup")
    tokens = {t["token"] for line in held(page)["lines"] if line["type"] == "scan" for t in line["top"]}
    check(all(h in tokens for h in HOSTILE), "the tokens are there as they are")


def test_modules():
    """Joined to one, modules share a scope: no name twice, imports on one line, each behind what it uses."""
    names, order = [], re.search(r"PH_REPORT_MODULES (.*?)\)", open(f"{PAGE}/files.cmake").read(), re.S).group(1).split()
    for module in order:
        text = open(f"{PAGE}/{module}").read()
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let) (\w+)", text, re.M)
        for line in re.findall(r"^import.*", text, re.M):
            check(line.endswith('";'), f"{module}: {line} goes on")
            used = re.search(r'"\./(.*)"', line).group(1)
            check(used in order, f"{module} uses {used}, which the report lacks")
    check(len(names) == len(set(names)), f"twice: {sorted(n for n in set(names) if names.count(n) > 1)}")
    check(len(names) > 100, f"{len(names)} names")


def test_errors():
    def fails(status, pattern, *args):
        expect_error(status, pattern, "report", *args, model=None)
    fails(1, "there is no store", "--store", os.path.join(WORK, "none.sqlite"))
    fails(2, "--limit 0: expected at least 1", "--store", STORE, "--limit", "0")
    fails(1, "No such file", "--store", STORE, "--output", os.path.join(WORK, "none", "r.html"))
    path = os.path.join(WORK, "r.html")
    code, out, _ = run("report", "--store", STORE, "--output", path, model=None)
    check(code == 0 and out == "" and stat.S_ISREG(os.stat(path).st_mode), "--output")
    before = os.stat(path).st_mtime_ns
    code, out, err = run("report", "--store", STORE, "--block", "77", "--output", path, model=None)
    check(code != 0 and "holds nothing" in err and out == "", f"nothing matches: {code} {err}")
    check(os.stat(path).st_mtime_ns == before and len(os.listdir(WORK)) < 20, "a report that fails leaves the file as it was")


if __name__ == "__main__":
    run_tests(test_content, test_choosing, test_order, test_policy, test_modules, test_hostile, test_errors)
