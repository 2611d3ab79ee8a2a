"""phosphene serve over HTTP: every route, what is refused, searches to their end, many clients.

    test_serve.py TOOL            on a tiny model; on the default one too where $PHOSPHENE_MODEL is set
    test_serve.py TOOL --minute   also 64 clients for a minute, with figures
"""

import json
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
import traceback

from cli import TINY, WORK, check, lines, run, run_tests
from serve_client import HOSTILE, PATIENCE, Server, hammer, hostile_model

MODEL = os.environ.get("PHOSPHENE_MODEL")
FEATURE = "block 1 [:, :, 0]"
server = None


def refused(answer, status, part, what):
    """An error: that status, and one JSON line that says so."""
    got, body = answer
    error = body.get("error", "") if isinstance(body, dict) else ""
    check(got == status, f"{what}: {got}, expected {status}: {body}")
    check(error and "\n" not in error and part in error, f"{what}: {body!r} does not say {part!r}")


# ---- what is served, and to whom ----

def test_pages():
    for path in ("/", "/model/x", "/model/x/block/8", "/model/x/feature/block%208%20%5B:,%20:,%205%5D", "/search/1",
                 "/tokens?token=a", "/compare?a=1&b=2", "/results"):
        status, headers, page = server.request("GET", path)
        check(status == 200 and "phosphene-token" in page, f"{path}: {status}")
        check(headers["Content-Type"].startswith("text/html"), f"{path}: {headers['Content-Type']}")
        policy = headers["Content-Security-Policy"]
        check("default-src 'none'" in policy and "unsafe" not in policy, f"{path}: CSP {policy}")
        check(headers["X-Content-Type-Options"] == "nosniff", f"{path}: nosniff")
        check(headers["Cache-Control"] == "no-store", f"{path}: no-store")
    status, headers, _ = server.request("HEAD", "/")
    check(status == 200 and int(headers["Content-Length"]) > 100, "HEAD /")
    for path, kind in (("/page/app.js", "text/javascript"), ("/page/app.css", "text/css"),
                       ("/lib/chart.js", "text/javascript"), ("/lib/dygraph.js", "text/javascript"),
                       ("/lib/dygraph.css", "text/css")):
        status, headers, text = server.request("GET", path)
        check(status == 200 and headers["Content-Type"].startswith(kind) and len(text) > 20, f"{path}: {status}")
    chart = server.request("GET", "/lib/chart.js")[2]
    installed = open("/usr/share/javascript/chart.js/chart.min.js", encoding="utf-8", errors="replace").read()
    check(chart == installed, "/lib/chart.js is the installed file")
    for path in ("/nothing", "/page/", "/page/../app.js", "/page/..%2f..%2fetc%2fpasswd", "/page/%2e%2e/x", "/lib/x.js",
                 "//etc/passwd", "/index.html", "/api", "/api/", "/api/search/x/y", "/page/app.js/"):
        refused(server.get(path), 404, "", path)


def test_addresses():
    """Targets that are none, too long, of the wrong method."""
    for path in ("/%", "/%4", "/%zz", "/a%00b", "/a%0ab", "/x?a=%01", "/%ff", "/x?a=%c3", "/x?" + "&".join(f"a{i}=1" for i in range(40))):
        refused(server.get(path), 400, "address", path[:40])
    check(server.get("/model/x?text=a%0Ab%09c%0D")[0] == 200 and server.get("/api/results", contains="a\n")[0] == 200, "a text with line breaks")
    refused(server.get("/" + "a" * 9000), 414, "8192", "a long address")
    for method, path in (("PUT", "/"), ("DELETE", "/api/search"), ("OPTIONS", "/api/models")):
        status, headers, body = server.request(method, path)
        check(status == 405, f"{method} {path}: {status}")
    refused(server.post("/api/models", {}), 405, "expected GET", "POST /api/models")
    refused(server.get("/api/score"), 405, "expected POST", "GET /api/score")


def test_strangers():
    """Host, Origin and the token."""
    own = f"127.0.0.1:{server.port}"
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1:{server.port}x",
                 f"localhost.evil.example:{server.port}", f"127.0.0.1.evil.example:{server.port}", "", f"[::1:{server.port}",
                 f"10.0.0.1:{server.port}"):
        got = server.request("GET", "/api/models", headers={"Host": host})
        refused((got[0], got[2]), 403, "Host", f"Host {host!r}")
    for host in (own, f"localhost:{server.port}", f"LOCALHOST:{server.port}", f"[::1]:{server.port}"):
        check(server.request("GET", "/api/models", headers={"Host": host})[0] == 200, f"Host {host}")
    for origin in ("http://evil.example", "null", f"https://{own}", "http://127.0.0.1:1", f"http://{own}.evil.example", ""):
        got = server.request("GET", "/api/models", headers={"Origin": origin})
        refused((got[0], got[2]), 403, "origin", f"Origin {origin!r}")
        refused(server.post("/api/score", {}, Origin=origin), 403, "origin", f"POST with Origin {origin!r}")
    check(server.request("GET", "/api/models", headers={"Origin": f"http://{own}"})[0] == 200, "our own Origin")
    got = server.request("GET", "/api/models", headers={"Sec-Fetch-Site": "cross-site"})
    refused((got[0], got[2]), 403, "origin", "a cross-site script")
    got = server.request("GET", "/%61pi/models", headers={"Sec-Fetch-Site": "cross-site"})
    refused((got[0], got[2]), 403, "origin", "a cross-site script that writes it otherwise")
    check(server.request("GET", "/model/x", headers={"Sec-Fetch-Site": "cross-site"})[0] == 200, "a link from elsewhere")
    twice = server.raw(f"GET /api/models HTTP/1.1\r\nHost: {own}\r\nHost: {own}\r\nConnection: close\r\n\r\n".encode())
    check(b"200" not in twice.split(b"\r\n")[0], f"two Hosts: {twice[:60]}")
    body = {"features": FEATURE}
    for token in (None, "", "0" * 32, server.token[:-1], server.token + "0", server.token.upper() + " "):
        for path in ("/api/search", "/api/score", "/api/across", "/api/search/x/cancel", "/api/search/x/keep"):
            refused(server.post(path, body, X_Phosphene_Token=token), 403, "Token", f"{path} with token {token!r}")
    refused(server.post("/api/search", "features=1", Content_Type="application/x-www-form-urlencoded"), 415, "json", "a form")
    refused(server.post("/api/search", "{}", Content_Type="text/plain"), 415, "json", "a plain form")
    check(server.get("/api/search")[1] == {"searches": []}, "nothing was begun by all that")


def test_bodies():
    for body, part in (("", "JSON"), ("{", "JSON"), ("[]", "object"), ("3", "JSON"), ('{"a":1,"a":2}', "JSON"), (b'{"a":"\xff"}', "JSON"),
                       ("[" * 100000, "JSON"), ('{"a":"\\ud800"}', "JSON")):
        for path in ("/api/search", "/api/score", "/api/across"):
            refused(server.post(path, body), 400, part, f"{path} {body[:20]!r}")
    refused(server.post("/api/score", " " * (1 << 20) + "{}"), 413, "1048576", "a body that is too long")
    head = (f"POST /api/score HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Phosphene-Token: {server.token}\r\n"
            "Content-Type: application/json\r\n").encode()
    got = server.raw(head + b"Content-Length: 99999999999999999999\r\nConnection: close\r\n\r\n{}")
    check(b" 200 " not in got[:40], f"a silly length: {got[:60]}")
    chunks = head + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20 + b"0\r\n\r\n"
    got = server.raw(chunks)
    check(got.startswith(b"HTTP/1.1 413 ") and b"1048576" in got, f"a body without length that is too long: {got[:60]}")
    check(server.get("/api/models")[0] == 200, "still there")


# ---- what the store knows ----

def test_store_routes():
    """Empty at first; then what dream --json prints, put there by a search that is kept."""
    status, body = server.get("/api/models")
    model = body["models"][0]
    key = model["model"]
    check(status == 200 and model["open"] is True and len(model["sha256"]) == 64, f"models: {body}")
    check((model["blocks"], model["width"], model["results"]) == (2, 60, 0), f"models: {model}")
    check(server.get("/api/blocks", model=key)[1]["blocks"] == [], "no blocks yet")
    check(server.get("/api/results")[1] == {"rows": []}, "no results yet")

    id = server.search("block 1 [:, :, 0-2]")
    server.wait(id)
    check(server.get("/api/results")[1] == {"rows": []}, "nothing is kept before it is asked for")
    status, kept = server.post(f"/api/search/{id}/keep", {})
    check(status == 200 and kept["kept"] and kept["keep"], f"keep: {kept}")
    rows = server.get("/api/results", model=key)[1]["rows"]
    mine = [line for line in server.state(id)["lines"] if line["type"] == "dream"]
    check(len(rows) == 3 and {r["text"] for r in rows} == {m["text"] for m in mine}, f"results: {rows}")
    check([r["activation"] for r in rows] == sorted((r["activation"] for r in rows), reverse=True), "the best first")
    check(len(server.get("/api/results", model=key, limit=2)[1]["rows"]) == 2, "limit")
    second = server.get("/api/results", model=key, limit=2, offset=1)[1]["rows"]
    check(second == rows[1:3], "offset")
    part = rows[0]["text"][:1]
    found = server.get("/api/results", model=key, contains=part)[1]["rows"]
    check(rows[0] in found and all(part in r["text"] for r in found), f"contains {part!r}: {found}")
    blocks = server.get("/api/blocks", model=key)[1]["blocks"]
    check([(b["place"], b["block"], b["features"]) for b in blocks] == [("block", 1, 3)], f"blocks: {blocks}")
    status, m = server.get("/api/map", model=key, place="block", block=1)
    check(status == 200 and m["component"] == [0, 1, 2] and m["width"] == 60, f"map: {m}")
    best = {c: max(r["activation"] for r in rows if r["feature"] == f"block 1 [:, :, {c}]") for c in range(3)}
    check(m["activation"] == [best[0], best[1], best[2]], f"map: {m['activation']} {best}")
    status, f = server.get("/api/feature", model=key, feature=FEATURE)
    check(status == 200 and f["feature"] == FEATURE and f["scan"] is None, f"feature: {f}")
    check(f["results"] == [line for line in mine if line["feature"] == FEATURE], "a feature's lines are the search's own")
    check([r["type"] for r in f["runs"]] == ["run"] and f["runs"][0]["id"] == mine[0]["run"], "its run")
    both = server.get("/api/compare", a=key, b=key, place="block", block=1)[1]
    check(both["a"] == both["b"] and both["a"]["component"] == [0, 1, 2], f"compare: {both}")
    status, t = server.get("/api/tokens", model=key, token="a")
    check(status == 200 and t == {"tokens": [], "rows": []}, f"tokens without a scan: {t}")

    for path, fields, status, part in (("/api/map", {}, 400, "model is missing"), ("/api/feature", {"model": key}, 400, "feature is missing"),
                                       ("/api/tokens", {"model": key}, 400, "token is missing"), ("/api/compare", {"a": key}, 400, "b is missing"),
                                       ("/api/map", {"model": key, "block": "x"}, 400, "block: expected"),
                                       ("/api/results", {"limit": "-1"}, 400, "limit: expected"),
                                       ("/api/results", {"sort": "nonsense"}, 400, "sort"),
                                       ("/api/map", {"model": "f" * 64}, 404, "nothing")):
        refused(server.get(path, **fields), status, part, f"{path} {fields}")
    command = run("dream", "--json", "--no-store", "--method", "greedy", "--tokens", "3", "block 1 [:, :, 0-2]")[1]
    strip = lambda objects: [{k: v for k, v in o.items() if k != "seconds"} for o in objects]
    check(strip(lines(command)) == strip(server.state(id)["lines"]), "the page's search gives the lines of dream --json")


def test_feature_of_many_lines():
    """More texts than one answer holds, found for the lowest, and scans behind two contexts."""
    model, feature = server.get("/api/models")[1]["models"][0], "final [:, :, 3]"
    said = {"file": model["file"], "sha256": model["model"], "name": model["name"], "blocks": 2, "width": 60}
    top = [{"id": 1, "token": "a", "activation": 2.0}]
    all = [{"type": "run", "id": id, "model": said, "command": "scan", "settings": {"bos": "auto", "prefix": prefix}}
           for id, prefix in (("z1", None), ("z2", "x"))]
    all += [{"type": "scan", "run": r["id"], "feature": feature, "top": top, "bottom": top, "mean": 0, "sd": 1, "n": 9} for r in all]
    all += [{"type": "dream", "run": "z1", "feature": feature, "sign": "-", "rank": i, "text": f"t{i}", "activation": {"text": -i}}
            for i in range(600)]
    all.append({"type": "score", "run": "z2", "feature": feature, "ids": [1], "activation": 9})
    path = os.path.join(WORK, "many.jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in all)
    check(run("store", "import", path, "--store", server.store, model=None)[0] == 0, "import")
    status, f = server.get("/api/feature", model=model["model"], feature=feature)
    check(status == 200 and [r["rank"] for r in f["results"]] == list(range(599, 99, -1)), f"the lowest first: {f['results'][:2]}")
    check(f["scan"] and f["scan"]["run"] == "z1", f"the scan that the map shows: {f['scan']}")
    check([line["type"] for line in f["others"]] == ["score"] and len(f["runs"]) == 2, f"lines of other types: {f['others']}")


# ---- what a model answers ----

def test_score():
    text = "hello there"
    status, line = server.post("/api/score", {"feature": FEATURE, "text": text})
    command = lines(run("score", "--json", "--no-store", FEATURE, text)[1])[1]
    check(status == 200 and line == command, f"score: {line} is not the command's {command}")
    status, line = server.post("/api/score", {"feature": FEATURE, "text": text, "attribute": True})
    command = lines(run("attribute", "--json", "--no-store", FEATURE, text)[1])[1]
    check(status == 200 and line == command, f"attribute: {line} is not the command's {command}")
    ids = line["ids"]
    check(server.post("/api/score", {"feature": FEATURE, "ids": ids})[1]["activation"] == line["activation"], "score of ids")
    off = server.post("/api/score", {"feature": FEATURE, "ids": ids, "options": {"bos": "off"}})[1]
    want = lines(run("score", "--json", "--no-store", "--bos", "off", FEATURE, text)[1])[1]
    check(off["values"] == want["values"] != line["values"], "bos off")

    status, across = server.post("/api/across", {"feature": "block 2 [:, :, 5]", "ids": ids})
    want = [lines(run("score", "--json", "--no-store", f"block {b} [:, :, 5]", text)[1])[1]["activation"] for b in (1, 2)]
    check(status == 200 and across == {"blocks": [1, 2], "values": want}, f"across: {across}, {want}")

    for body, part in (({"text": "a"}, "feature"), ({"feature": FEATURE}, "text"), ({"feature": FEATURE, "text": ""}, "text"),
                       ({"feature": FEATURE, "text": 3}, "text"), ({"feature": FEATURE, "ids": []}, "ids"),
                       ({"feature": FEATURE, "ids": [1.5]}, "ids"), ({"feature": FEATURE, "ids": [-1]}, "ids"),
                       ({"feature": FEATURE, "ids": [99999]}, "id 99999"), ({"feature": FEATURE, "ids": [1] * 5000}, "ids"),
                       ({"feature": FEATURE, "text": "x" * 20000}, "bytes"), ({"feature": "block 1 [:, :, 0-1]", "text": "a"}, "single"),
                       ({"feature": FEATURE, "text": "a" * 3000, "attribute": True}, "tokens"),
                       ({"feature": FEATURE, "text": "a", "options": {"method": "auto"}}, "method"),
                       ({"feature": FEATURE, "text": "a", "options": []}, "options"),
                       ({"feature": "dir:/etc/passwd @ block 1 [:, :]", "text": "a"}, "names a file"),
                       ({"feature": "block 1 [:, :, 0], dir:/etc/passwd @ block 1 [:, :]", "text": "a"}, "names a file"),
                       ({"feature": "dir:/etc/passwd @ block 1 [:, :], block 1 [:, :, 0]", "text": "a"}, "names a file"),
                       ({"feature": "sae:/etc/passwd[3]", "text": "a"}, "names a file")):
        refused(server.post("/api/score", body), 400, part, f"score {str(body)[:70]}")
    status, error = server.post("/api/score", {"feature": "block 1 [:, :, 99]", "text": "a"})
    check(status == 400 and error["pos"] == 15, f"an error of a spec says where: {error}")
    refused(server.post("/api/across", {"feature": "embed [:, :, 1]", "text": "a"}), 400, "block", "across of the embedding")
    refused(server.post("/api/score", {"model": "f" * 64, "feature": FEATURE, "text": "a"}), 404, "no model", "an unknown model")
    refused(server.post("/api/score", {"model": "../../x", "feature": FEATURE, "text": "a"}), 404, "no model", "a key that is none")


# ---- searches ----

def test_search_events():
    id = server.search(["block 1 [:, :, 3]", "block 2 [:, :, 4]"], method="auto", budget=3000, top=2, seed=7)
    seen = list(server.events(id))
    names = [name for _, name, _ in seen]
    check(names[-1] == "done" and "progress" in names and "current" in names, f"events: {sorted(set(names))}")
    state = server.state(id)
    check([d for _, name, d in seen if name in ("run", "result")] == state["lines"], "the lines come as they are kept")
    check([d for _, name, d in seen if name == "current"] == state["glimpses"], "so do the glimpses")
    check(names.count("run") == 1 and names.count("result") == 4 == state["results"], f"results: {names.count('result')}")
    check(state["features"] == ["block 1 [:, :, 3]", "block 2 [:, :, 4]"], f"features: {state['features']}")
    for feature in state["features"]:
        best = [g["activation"]["ids"] for g in state["glimpses"] if g["feature"] == feature and g["ids"]]
        found = next(line for line in state["lines"] if line.get("feature") == feature and line["rank"] == 0)
        check(best == sorted(best), f"{feature}: every glimpse is better than the one before: {best}")
        check(abs(best[-1] - found["activation"]["ids"]) < 1e-4 * max(1, abs(best[-1])), f"{feature}: the last is the answer")
    # whoever comes late sees all of it; whoever comes back the rest
    after = list(server.events(id))
    for kind in ("run", "current", "result", "done"):
        check([d for _, name, d in after if name == kind] == [d for _, name, d in seen if name == kind], f"all of it, afterwards: {kind}")
    third = [i for i, name, _ in seen if name == "result"][2]
    rest = [(name, d) for _, name, d in server.events(id, last=third)]
    check([name for name, _ in rest] == ["result", "done"] and rest[0][1] == state["lines"][-1], f"the rest: {[n for n, _ in rest]}")
    check(list(server.events(id, last="nonsense"))[-1][1] == "done", "a Last-Event-ID that is none")
    check(server.get("/api/search/0123456789abcdef/events")[0] == 404, "events of an unknown search")

    id = server.search("block 2 [:, :, 4]", method="descent", steps=200, restarts=2, sign="-")
    check((state["sign"], server.state(id)["sign"]) == ("+", "-"), "a search says which way it goes")
    soft = [d for _, name, d in server.events(id) if name == "current"]
    check(soft and all(g["ids"] is None and "soft" in g["activation"] and "text" not in g for g in soft),
          f"a descent's glimpses are of embeddings: {soft[:1]}")


def test_search_refused():
    for body, part in (({}, "features"), ({"features": ""}, "features"), ({"features": [1]}, "?"), ({"features": "block 1 [:, :, 0:60], nonsense"}, "nonsense"),
                       ({"features": "block 1 [:, :, 0-59], block 2 [:, :, 0-59]"}, "at most 64"), ({"features": FEATURE, "options": {"budgett": 3}}, "budgett"),
                       ({"features": FEATURE, "options": {"method": "magic"}}, "method"), ({"features": FEATURE, "options": {"budget": 0}}, "budget"),
                       ({"features": FEATURE, "options": {"budget": "1000"}}, "budget"), ({"features": FEATURE, "options": {"budget": 1e300}}, "budget"),
                       ({"features": FEATURE, "options": {"tokens": "5:3"}}, "tokens"), ({"features": FEATURE, "options": {"tokens": "1:2x"}}, "tokens"),
                       ({"features": FEATURE, "options": {"tokens": 65}}, "tokens"), ({"features": FEATURE, "options": {"seed": -1}}, "seed"),
                       ({"features": FEATURE, "options": {"sign": "both"}}, "sign"), ({"features": FEATURE, "options": {"eta": [0, 0]}}, "eta"),
                       ({"features": FEATURE, "options": {"fluent": "yes"}}, "fluent"), ({"features": FEATURE, "options": {"contains": "a\0b"}}, "u0000"),
                       ({"features": "sae:/dev/zero[1]"}, "names a file")):
        refused(server.post("/api/search", body), 400, part, f"search {str(body)[:80]}")
    status, error = server.post("/api/search", {"features": "block 1 [:, :, 0], block 9 [:, :, 0]"})
    check(status == 400 and error["pos"] == 25, f"pos: {error}")
    refused(server.post("/api/search", {"model": "f" * 64, "features": FEATURE}), 404, "no model", "an unknown model")
    for path in ("/api/search/none", "/api/search/none/events"):
        refused(server.get(path), 404, "no search", path)
    for path in ("/api/search/none/cancel", "/api/search/none/keep"):
        refused(server.post(path, {}), 404, "no search", path)
    # what only shows when it runs fails by itself, and says so
    id = server.search(method="greedy", tokens=64, prefix="x" * 3000)
    s = server.wait(id)
    check(s["state"] == "failed" and "tokens" in s["error"], f"too long for the model: {s}")


def test_without_a_store():
    s = Server(store=False)
    long = s.search(method="auto", tokens=8, budget=50000000)
    for id in (long, s.search()):  # at work, and one that has no line yet
        refused(s.post(f"/api/search/{id}/keep", {}), 400, "no store", "keep")
        check(not s.state(id)["keep"], "and it is not said that it will be kept")
    check(s.get("/api/about")[1]["store"] is None, "no store")
    check(s.end() == 0, "the end")


def found_and_kept(s):
    """A long search that is to be kept, once it has found something."""
    id = s.search(method="auto", tokens=8, budget=50000000)
    s.wait(id, "running")
    s.post(f"/api/search/{id}/keep", {})
    until = time.time() + PATIENCE
    while not s.state(id)["glimpses"] and time.time() < until:
        time.sleep(0.02)
    return id


def test_store_that_breaks():
    """What was to be kept and cannot be is said, though the search itself ended well; not any more once it is kept."""
    s = Server()
    id = found_and_kept(s)
    with sqlite3.connect(s.store) as db:
        db.execute("ALTER TABLE body RENAME TO elsewhere")
    s.post(f"/api/search/{id}/cancel", {})
    ended = s.wait(id)
    check(ended["state"] == "cancelled" and not ended["kept"] and "body" in ended.get("error", ""), f"not kept: {ended.get('error')}")
    with sqlite3.connect(s.store) as db:
        db.execute("ALTER TABLE elsewhere RENAME TO body")
    status, kept = s.post(f"/api/search/{id}/keep", {})
    check(status == 200 and kept["kept"] and "error" not in kept, f"kept after all: {status} {kept.get('error')}")
    check(s.end() == 0, "the end")


def test_queue_cancel_reload():
    long = server.search(method="auto", tokens=8, budget=50000000)
    next = server.search("block 1 [:, :, 1]")
    last = server.search("block 1 [:, :, 2]")
    server.wait(long, "running")
    check(server.state(next)["state"] == "queued" and server.state(next)["before"] == 1, "one works, the other waits")
    check(server.state(last)["before"] == 2, "two before the last")
    listed = [s["id"] for s in server.get("/api/search")[1]["searches"]]
    check(listed[:3] == [last, next, long], "the newest first")
    check(server.post(f"/api/search/{last}/cancel", {})[1]["state"] == "cancelled", "one that waits is gone at once")
    until = time.time() + PATIENCE
    while not server.state(long)["glimpses"] and time.time() < until:
        time.sleep(0.02)
    again = server.state(long)  # what a page that is loaded anew asks
    check(again["state"] == "running" and again["glimpses"] and again["options"]["tokens"] == 8, "a reload finds it at work")
    watcher = []
    thread = threading.Thread(target=lambda: watcher.extend(server.events(long)))
    thread.start()
    time.sleep(0.3)
    check(server.post(f"/api/search/{long}/cancel", {})[0] == 200, "cancel")
    s = server.wait(long)
    check(s["state"] == "cancelled", f"cancelled: {s['state']}")
    check(any(line["type"] == "dream" for line in s["lines"]), "what was found until then is there")
    thread.join(PATIENCE)
    check(not thread.is_alive() and watcher[-1][1] == "done" and watcher[-1][2]["state"] == "cancelled", "the watcher saw its end")
    check(server.wait(next)["state"] == "done", "the next one had its turn")
    check(server.post(f"/api/search/{long}/cancel", {})[1]["state"] == "cancelled", "cancelling again changes nothing")
    # kept while it runs: its lines are in the store when it ends
    before = len(server.get("/api/results")[1]["rows"])
    id = server.search("block 2 [:, :, 7]", method="auto", budget=4000)
    check(server.post(f"/api/search/{id}/keep", {})[1]["keep"] is True, "keep ahead")
    s = server.wait(id)
    check(s["kept"] and len(server.get("/api/results")[1]["rows"]) == before + s["results"], "kept when it ended")


def test_too_many_searches():
    ids = [server.search(method="auto", tokens=8, budget=50000000)]
    server.wait(ids[0], "running")
    answers = [server.search() for _ in range(20)]
    ids += [a for a in answers if isinstance(a, str)]
    full = [a for a in answers if not isinstance(a, str)]
    check(len(ids) == 17 and len(full) == 4, f"{len(ids)} taken, {len(full)} refused")
    refused(full[0], 503, "too many", "one too many")
    for id in reversed(ids):
        server.post(f"/api/search/{id}/cancel", {})
    check(server.wait(ids[0])["state"] == "cancelled", "all ended")
    for _ in range(42):  # more than are remembered
        last = server.search("block 1 [:, :, 5]", tokens=1)
        server.wait(last)
    listed = server.get("/api/search")[1]["searches"]
    check(len(listed) <= 40 and listed[0]["id"] == last, f"{len(listed)} are remembered")
    check(server.get(f"/api/search/{ids[0]}")[0] == 404, "the oldest is forgotten")


# ---- a hostile vocabulary, models that are gone ----

def test_hostile_vocabulary():
    path = os.path.join(WORK, "hostile.gguf")
    ids = hostile_model(path)
    s = Server(model=path)
    status, line = s.post("/api/score", {"feature": FEATURE, "ids": ids})
    check(status == 200 and line["tokens"] == HOSTILE, f"tokens as they are: {line}")
    status, headers, raw = s.request("POST", "/api/score", json.dumps({"feature": FEATURE, "ids": ids}),
                                     {"Content-Type": "application/json", "X-Phosphene-Token": s.token})
    check(headers["Content-Type"] == "application/json" and headers["X-Content-Type-Options"] == "nosniff", "never HTML")
    id = s.search("block 1 [:, :, 1]", method="swap", tokens=14, budget=4000, contains="<script>\u202e", top=1)
    state = s.wait(id)
    check(state["state"] == "done", f"a search for such texts: {state}")
    found = next(x for x in state["lines"] if x["type"] == "dream")["text"]
    check("<script>\u202e" in found, f"as it is: {found!r}")
    s.post(f"/api/search/{id}/keep", {})
    rows = s.get("/api/results")[1]["rows"]
    check(rows and rows[0]["text"] == found, "through the store")
    check(s.get("/api/results", contains="<script>\u202e")[1]["rows"] == rows, "asking for it")
    refused(s.get("/api/results", contains="\u202e\x01"), 400, "", "a control character in an address")
    refused(s.get("/<script>alert(1)</script>"), 404, "<script>", "an error that quotes the address")
    check(s.end() == 0, "the end")


def test_models_that_are_gone():
    path = os.path.join(WORK, "moved.gguf")
    with open(TINY, "rb") as f:
        data = f.read()
    with open(path, "wb") as f:
        f.write(data)
    s = Server(model=path)
    key = s.get("/api/models")[1]["models"][0]["model"]
    id = s.search()
    s.wait(id)
    s.post(f"/api/search/{id}/keep", {})
    check(s.end() == 0, "the end")
    again = Server(model=None, store=s.store)
    status, body = again.post("/api/score", {"model": key, "feature": FEATURE, "text": "a"})
    check(status == 200, f"found by the store's path: {body}")
    again.end()
    with open(path, "r+b") as f:
        f.seek(len(data) - 8)
        f.write(b"\x11" * 4)
    again = Server(model=None, store=s.store)
    refused(again.post("/api/score", {"model": key, "feature": FEATURE, "text": "a"}), 409, "no longer", "another content")
    again.end()
    os.remove(path)
    again = Server(model=None, store=s.store)
    refused(again.post("/api/score", {"model": key, "feature": FEATURE, "text": "a"}), 404, "moved.gguf", "a file that is gone")
    refused(again.post("/api/search", {"model": key, "features": FEATURE}), 404, "moved.gguf", "a search in a file that is gone")
    check(again.get("/api/results", model=key)[1]["rows"], "its results are still there")
    check(again.end() == 0, "the end")


def test_several_models():
    others = ["tests/data/llama_a.gguf", "tests/data/llama_c.gguf"]
    s = Server("-m", others[0], "-m", others[1], "-m", f"untrained:{TINY}")
    models = s.get("/api/models")[1]["models"]
    check(len({m["model"] for m in models}) == 4, f"four models: {[m['model'] for m in models]}")
    check(sum(m["open"] for m in models) <= 2, "no more than two are open")
    bare = [m for m in models if m["model"].startswith("untrained:")]
    check(len(bare) == 1, "one untrained")
    for m in models + models:
        status, line = s.post("/api/score", {"model": m["model"], "feature": FEATURE, "text": "hello"})
        check(status == 200, f"{m['file']}: {line}")
    want = lines(run("score", "--json", "--no-store", "--untrained", FEATURE, "hello")[1])[1]
    got = s.post("/api/score", {"model": bare[0]["model"], "feature": FEATURE, "text": "hello"})[1]
    check(got == want, f"the untrained one: {got} {want}")
    id = s.search(model=bare[0]["model"])
    s.wait(id)
    s.post(f"/api/search/{id}/keep", {})
    kept = [m for m in s.get("/api/models")[1]["models"] if m["results"]]
    check([m["model"] for m in kept] == [bare[0]["model"]], f"the store knows it by the same key: {kept}")
    check(s.end() == 0, "the end")
    again = Server(model=None, store=s.store)
    status, line = again.post("/api/score", {"model": bare[0]["model"], "feature": FEATURE, "text": "hello"})
    check(status == 200 and line["values"] == want["values"], f"an untrained model of the store: {line}")
    again.end()


# ---- many clients, slow ones, the end ----

def test_many_clients():
    """64 clients at once are all answered, and memory that was freed is used again."""
    requests, errors = hammer(server, lambda asked: asked < 6)
    check(requests == 64 * 6 and not errors, f"{requests} answers, errors: {errors[:5]}")
    if PATIENCE > 60:  # where allocations are watched, freed memory is not given out again
        return
    before = server.memory()
    requests, errors = hammer(server, lambda asked: asked < 12)
    check(requests == 64 * 12 and not errors, f"{requests} answers, errors: {errors[:5]}")
    check(server.memory() < 1.1 * before + 8000, f"memory grew from {before} to {server.memory()} kB")


def test_slow_and_silent():
    """Connections that say nothing, or half of something, disturb nobody."""
    own = f"127.0.0.1:{server.port}".encode()
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    for i, c in enumerate(idle):
        c.sendall((b"", b"GET / HT", b"POST /api/score HTTP/1.1\r\nHost: " + own + b"\r\nContent-Length: 10\r\n\r\n{")[i % 3])
    check(server.get("/api/models")[0] == 200, "answered beside 60 silent connections")
    for c in idle:  # nobody waited until one of them was given up
        c.setblocking(False)
        try:
            check(False, f"a silent connection is still open, and got {c.recv(99)}")
        except BlockingIOError:
            c.close()
    for junk in (b"\0" * 100, b"GET\r\n\r\n", b"\xff\xfe", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50000):
        server.raw(junk, 2)
    check(server.get("/api/models")[0] == 200, "still there")


def test_ports_and_ends():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run("serve", "--port", str(port))
        check(code == 1 and out == "" and f"port {port}" in err and "another program" in err, f"a port in use: {code} {err!r}")
    code, out, err = run("serve", "--host", "no.such.host.invalid", "--port", "0")
    check(code == 1 and "no.such.host.invalid" in err, f"a host that is none: {code} {err!r}")
    code, out, err = run("serve", "--port", "99999")
    check(code == 2, f"a port that is none: {code} {err!r}")
    code, out, err = run("serve", "word")
    check(code == 2 and "options only" in err, f"a word: {code} {err!r}")
    code, out, err = run("serve", "--port", "0", model="nowhere.gguf")
    check(code == 1 and "nowhere.gguf" in err, f"a model that is not there: {code} {err!r}")
    code, out, err = run("serve", "--port", "0", "--store", TINY)
    check(code == 1 and TINY in err, f"a store that is none: {code} {err!r}")
    for number in (signal.SIGINT, signal.SIGTERM):
        s = Server()
        running = found_and_kept(s)
        stream = []
        watcher = threading.Thread(target=lambda: stream.extend(s.events(running)))
        watcher.start()
        time.sleep(0.2)
        status = s.end(number)
        watcher.join(PATIENCE)
        check(status == 0, f"{number.name}: {status}: {s.said}")
        check(not watcher.is_alive() and stream[-1][1] == "done", f"{number.name}: the watcher is let go")
        check("Sanitizer" not in s.said and "runtime error" not in s.said, f"{number.name}: {s.said}")
        again = Server(store=s.store)
        check(again.get("/api/results")[1]["rows"], f"{number.name}: what was to be kept is")
        again.end()


def test_open():
    """The browser is started with signals as any program has them."""
    folder = os.path.join(WORK, "bin")
    told = os.path.join(folder, "told")
    os.mkdir(folder)
    with open(os.path.join(folder, "xdg-open"), "w") as f:
        f.write(f"#!/bin/sh\n(echo \"URL: $1\"; cat /proc/self/status) > {told}.new\nmv {told}.new {told}\n")
    os.chmod(f.name, 0o755)
    s = Server("--open", env={"PATH": f"{folder}:{os.environ['PATH']}"})
    until = time.time() + PATIENCE
    while not os.path.exists(told) and time.time() < until:
        time.sleep(0.02)
    said = dict(line.split(":", 1) for line in open(told).read().splitlines())
    check(said["URL"].strip() == s.url, f"its address: {said['URL']}")
    check(int(said["SigBlk"], 16) == 0, f"blocked: {said['SigBlk']}")
    ours = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGCHLD))
    check(int(said["SigIgn"], 16) & ours == 0, f"ignored: {said['SigIgn']}")
    check(s.end() == 0, "the end")


def test_default_model():
    if not MODEL or not os.path.exists(MODEL):
        print("the default model: skipped, $PHOSPHENE_MODEL is not set")
        return
    s = Server(model=MODEL)
    key = s.get("/api/models")[1]["models"][0]["model"]
    feature = "block 8 [:, :, 2]"
    status, line = s.post("/api/score", {"model": key, "feature": feature, "text": "The sky is blue."})
    check(status == 200 and len(line["values"]) == len(line["tokens"]) == 5, f"score: {line}")
    status, across = s.post("/api/across", {"feature": feature, "ids": line["ids"]})
    check(status == 200 and across["blocks"] == list(range(1, 31)), f"across: {across}")
    check(abs(across["values"][7] - line["activation"]) < 1e-5, "its own block's is the score")
    id = s.search("block 1 [:, :, 2]", method="swap", budget=3000)
    check(s.wait(id, seconds=600)["state"] == "done", "a search")
    check(s.end() == 0, "the end")


def test_minute():
    for model, score in ((TINY, "hello"), (MODEL, "The sky is blue.")):
        if not model or "--minute" not in sys.argv:
            continue
        s = Server(model=model)
        for seconds in (20, 40):
            until = time.time() + seconds
            requests, errors = hammer(s, lambda _: time.time() < until, score)
            print(f"{os.path.basename(model)}: 64 clients, {seconds} s: {requests} requests, {len(errors)} errors, {s.memory()} kB")
            check(not errors, f"errors: {errors[:5]}")
        s.end()


server = Server()
try:
    run_tests(test_pages, test_addresses, test_strangers, test_bodies, test_store_routes, test_score, test_search_events,
              test_search_refused, test_without_a_store, test_store_that_breaks, test_queue_cancel_reload, test_too_many_searches, test_hostile_vocabulary, test_models_that_are_gone,
              test_several_models, test_feature_of_many_lines, test_many_clients, test_slow_and_silent, test_ports_and_ends, test_open, test_default_model, test_minute)
except Exception:
    traceback.print_exc()
    sys.exit(1)
finally:
    if server.end() != 0 or "Sanitizer" in server.said or "runtime error" in server.said:
        print("FAIL the server's end:", server.said, flush=True)
        os._exit(1)
