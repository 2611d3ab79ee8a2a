"""What the tests of `phosphene serve` share: a server of one's own, requests, many clients, and a hostile vocabulary."""

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

from cli import CACHE, SANITIZED, TINY, TOOL, WORK

sys.path.insert(0, os.path.abspath("tools"))
from folder_families import SCALARS  # noqa: E402


PATIENCE = 600 if SANITIZED or "tsan" in TOOL else 60  # seconds


class Server:
    """`phosphene serve` with its own store (False: none); .get and .post give (status, headers, parsed body)."""

    def __init__(self, *args, model=TINY, store=None, env=None):
        Server.number = getattr(Server, "number", 0) + 1
        self.store = store or os.path.join(WORK, f"serve{Server.number}.sqlite")
        full = os.environ | {"XDG_CACHE_HOME": CACHE, "XDG_DATA_HOME": os.path.join(WORK, "data")} | (env or {})
        full.pop("PHOSPHENE_MODEL", None)
        models = [word for m in ([model] if isinstance(model, str) else model or []) for word in ("-m", m)]
        self.errors = open(os.path.join(WORK, f"serve{Server.number}.err"), "w+")
        self.process = subprocess.Popen([TOOL, "serve", "--port", "0", *(["--no-store"] if store is False else ["--store", self.store]), *models, *args],
                                        stdout=subprocess.PIPE, stderr=self.errors, env=full, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = urllib.parse.urlsplit(self.url).port if self.url else None
        self.token = None
        if self.port:
            _, _, page = self.request("GET", "/")
            self.token = re.search(r'name="phosphene-token" content="([0-9a-f]{32})"', page).group(1)

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.request(method, path, body=body, headers=headers or {})
            return self.read(c.getresponse())
        finally:
            c.close()

    @staticmethod
    def read(r):
        raw = r.read()
        kind = r.headers.get("Content-Type", "")
        return r.status, r.headers, json.loads(raw) if kind == "application/json" else raw.decode("utf-8", "replace")

    def get(self, path, **fields):
        query = "?" + urllib.parse.urlencode(fields) if fields else ""
        status, _, body = self.request("GET", path + query)
        return status, body

    def post(self, path, body, **headers):
        given = {"Content-Type": "application/json", "X-Phosphene-Token": self.token}
        given |= {k.replace("_", "-"): v for k, v in headers.items()}
        text = body if isinstance(body, (str, bytes)) else json.dumps(body)
        status, _, answer = self.request("POST", path, text, {k: v for k, v in given.items() if v is not None})
        return status, answer

    def search(self, features="block 1 [:, :, 0]", model=None, **options):
        body = {"features": features, "options": {"method": "greedy", "tokens": 3} | options}
        if model:
            body["model"] = model
        status, answer = self.post("/api/search", body)
        return answer["id"] if status == 200 else (status, answer)

    def state(self, id):
        return self.get(f"/api/search/{id}")[1]

    def wait(self, id, *states, seconds=PATIENCE):
        """The state of a search once it is one of these (by default: ended)."""
        until = time.time() + seconds
        while time.time() < until:
            s = self.state(id)
            if s["state"] in (states or ("done", "cancelled", "failed")):
                return s
            time.sleep(0.02)
        raise TimeoutError(f"search {id}: {s['state']}, {s['stage']} {s['done']}")

    def events(self, id, last=None, timeout=PATIENCE):
        """Yield (id, event, data) until the server ends the stream."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c.request("GET", f"/api/search/{id}/events", headers={"Last-Event-ID": last} if last else {})
        r = c.getresponse()
        assert r.status == 200 and r.headers["Content-Type"] == "text/event-stream", r.status
        event = {}
        for raw in r:
            line = raw.decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if line and name:
                event[name] = value
            elif event:
                yield event["id"], event["event"], json.loads(event["data"])
                event = {}
        c.close()

    def raw(self, text, seconds=5):
        """What comes back for these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as s:
            s.sendall(text)
            out = b""
            try:
                while part := s.recv(65536):
                    out += part
            except OSError:
                pass
        return out

    def memory(self):
        """Resident kilobytes."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    def end(self, number=signal.SIGINT, seconds=PATIENCE / 2):
        """The exit status; stderr is in .said afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "it did not end"
        self.errors.seek(0)
        self.said = self.errors.read()
        return status


# ---- many clients ----

def hammer(s, go_on, score="hello", clients=64):
    """So many clients at once, each going on while go_on(how often it asked): how many answers they got, and errors."""
    counts, errors, lock = [0] * clients, [], threading.Lock()
    key = s.get("/api/models")[1]["models"][0]["model"]
    headers = {"Content-Type": "application/json", "X-Phosphene-Token": s.token}

    def client(number):
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=PATIENCE)
        asked = 0
        while go_on(asked):
            kind = ("/api/results", "/", f"/api/map?model={key}&block=1", "score", "/api/search", "/lib/chart.js")[(number + asked) % 6]
            asked += 1
            try:
                if kind == "score":
                    c.request("POST", "/api/score", json.dumps({"feature": "block 1 [:, :, 0]", "text": f"{score} {number}"}), headers)
                else:
                    c.request("GET", kind)
                r = c.getresponse()
                r.read()
                counts[number] += 1
                if r.status != 200:
                    with lock:
                        errors.append((kind, r.status))
            except OSError as e:
                with lock:
                    errors.append((kind, repr(e)))
                c.close()
        c.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(counts), errors


# ---- a model whose vocabulary attacks the page ----

HOSTILE = ["<script>alert(1)</script>", "\u202eright-to-left\u202c", "\"><img src=x onerror=alert(1)>"]


def byte_alphabet():
    """GPT-2's: how each byte is written in a token."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return {b: chr(b) if b in plain else chr(next(others)) for b in range(256)}


def hostile_model(path):
    """TINY with its last ordinary tokens renamed to HOSTILE; returns their ids."""
    data = open(TINY, "rb").read()
    spans, at = {}, 8

    def take(form):
        nonlocal at
        out = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return out

    def text():
        nonlocal at
        (n,) = take("Q")
        at += n
        return data[at - n:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind != 9:
            return take(SCALARS[kind])[0]
        inner, n = take("IQ")
        return [value(inner) for _ in range(n)]

    n_tensors, n_keys = take("QQ")
    for _ in range(n_keys):
        name, (kind,) = text(), take("I")
        begin, v = at, value(kind)
        spans[name] = (begin, at, v)
    for _ in range(n_tensors):
        text()
        take("Q" * take("I")[0])
        take("IQ")
    head, body = at, data[-(-at // 32) * 32:]

    tokens, merges = spans["tokenizer.ggml.tokens"], spans["tokenizer.ggml.merges"]
    made = [m.replace(" ", "") for m in merges[2]]
    alphabet = byte_alphabet()
    # tokens that no merge goes on from, the last made first
    ids = [tokens[2].index(m) for m in reversed(made)
           if not any(m in pair.split(" ") for pair in merges[2])][:len(HOSTILE)]
    renamed = list(tokens[2])
    for id, name in zip(ids, HOSTILE):
        renamed[id] = "".join(alphabet[b] for b in name.encode())
    left = [m for m in merges[2] if tokens[2].index(m.replace(" ", "")) not in ids]

    def array(values):
        encoded = [v.encode() for v in values]
        return struct.pack("<IQ", 8, len(values)) + b"".join(struct.pack("<Q", len(e)) + e for e in encoded)

    out, last = b"", 0
    for begin, end, values in sorted([(*tokens[:2], renamed), (*merges[:2], left)]):
        out += data[last:begin] + array(values)
        last = end
    out += data[last:head]
    out += b"\0" * (-len(out) % 32)
    with open(path, "wb") as f:
        f.write(out + body)
    return ids
