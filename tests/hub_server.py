"""A hub on this machine: what huggingface_hub and `phosphene pull` ask of one, and its faults.

Files beyond LFS_FROM bytes are "large": their etag is a sha256, and they are served by a second server,
the "CDN", to which the first redirects. The others' etag is git's sha1 of the blob.

    with Hub({"Org/Name": {"config.json": b"{}"}}) as hub:
        hub.endpoint, hub.commit, hub.log          # log: (server, method, path, headers)
        hub.faults["model.gguf"] = {"drop": 2}     # see the keys in Cdn and Front
"""

import hashlib
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LFS_FROM = 2000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def etag_of(data):
    if len(data) >= LFS_FROM:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        if not any(key.lower() == "content-length" for key, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code="", message="", more=()):
        headers = [("X-Error-Code", code)] if code else []
        self.answer(status, headers + ([("X-Error-Message", message)] if message else []) + list(more), b"no")

    def send_file(self, data, fault, headers=()):
        """The bytes, or from Range on; cut short, slow, or others, as the fault says."""
        if fault.get("busy", 0) > 0:
            fault["busy"] -= 1
            return self.refuse(503, more=[("Retry-After", "0")])
        at = 0
        asked = self.headers.get("Range")
        if asked and not fault.get("no_range"):
            at = int(asked.removeprefix("bytes=").split("-")[0])
            if at >= len(data):
                return self.answer(416, [("Content-Range", f"bytes */{len(data)}")])
        if fault.get("other_part"):
            at += 1
        body = data[at:]
        if fault.get("wrong"):
            body = body[:-1] + bytes([body[-1] ^ 1])
            if fault["wrong"] != "always":
                fault["wrong"] = False
        if fault.get("longer"):
            body += b"more"
        headers = [*headers, ("Content-Length", str(len(body)))]
        if asked and not fault.get("no_range"):
            headers.append(("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}"))
        self.send_response(206 if asked and not fault.get("no_range") else 200)
        for key, value in headers:
            self.send_header(key, value)
        self.end_headers()
        if fault.get("drop", 0) > 0:
            fault["drop"] -= 1
            self.wfile.write(body[:max(1, len(body) // 2)])
            self.close_connection = True
            self.connection.close()
            return None
        step = fault.get("step", len(body) or 1)
        for i in range(0, len(body), step):
            self.wfile.write(body[i:i + step])
            time.sleep(fault.get("pause", 0))
        return None

    def note(self, which):
        self.server.hub.log.append((which, self.command, self.path, dict(self.headers)))


class Cdn(Handler):
    def do_GET(self):
        self.note("cdn")
        _, repository, name = self.path.split("?")[0].split("/", 2)
        name = urllib.parse.unquote(name)
        files = self.server.hub.repositories[urllib.parse.unquote(repository)]
        self.send_file(files[name], self.server.hub.fault(name))


class Front(Handler):
    def allowed(self, repository):
        """Whether the token opens what is closed."""
        hub = self.server.hub
        known = hub.repositories.get(repository)
        given = self.headers.get("Authorization")
        if given and given != "Bearer " + hub.token:
            return self.refuse(401, "", "Invalid credentials in Authorization header") and False
        if known is None or (repository in hub.private and not given):
            return self.refuse(401 if not given else 404, "RepoNotFound", "Repository not found") and False
        if repository in hub.gated:
            return self.refuse(403, "GatedRepo", "Access to it is restricted") and False
        return True

    def listing(self, repository, revision):
        hub = self.server.hub
        if not self.allowed(repository):
            return
        if revision not in ("main", "v1", "refs/pr/1", COMMIT):
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        if "listing" in hub.faults:
            body = hub.faults["listing"]
        else:
            body = json.dumps({"id": repository, "sha": COMMIT, "private": repository in hub.private,
                               "siblings": [{"rfilename": n} for n in hub.repositories[repository]]}).encode()
        self.answer(200, [("Content-Type", "application/json")], body)

    def resolve(self, repository, revision, name):
        hub = self.server.hub
        if not self.allowed(repository):
            return
        if revision not in ("main", "v1", "refs/pr/1", COMMIT):
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        if name not in hub.repositories[repository]:
            self.refuse(404, "EntryNotFound", "Entry not found", [("X-Repo-Commit", COMMIT)])
            return
        data, fault = hub.repositories[repository][name], hub.fault(name)
        etag = fault.get("etag", etag_of(data))
        headers = [("X-Repo-Commit", fault.get("commit", COMMIT)), ("Accept-Ranges", "bytes")]
        if fault.get("status"):
            self.refuse(fault["status"], "", fault.get("message", ""))
        elif fault.get("location"):
            self.answer(302, headers + [("Location", fault["location"]), ("X-Linked-Etag", f'"{etag}"'),
                                        ("X-Linked-Size", str(len(data)))])
        elif len(data) >= LFS_FROM:
            there = f"{hub.cdn}/{urllib.parse.quote(repository, safe='')}/{urllib.parse.quote(name)}?sig=1"
            self.answer(302, headers + [("Location", there), ("X-Linked-Etag", f'"{etag}"'), ("ETag", 'W/"other"'),
                                        ("X-Linked-Size", str(fault.get("size", len(data))))])
        elif self.command == "HEAD":
            self.answer(200, headers + [("ETag", f'"{etag}"'), ("Content-Length", str(len(data)))])
        else:
            self.send_file(data, fault, headers + [("ETag", f'"{etag}"')])

    def route(self):
        self.note("front")
        path = self.path.split("?")[0]
        parts = [urllib.parse.unquote(p) for p in path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and len(parts) == 6 and parts[4] == "revision":
            self.listing("/".join(parts[2:4]), parts[5])
        elif parts[:1] == ["old"]:  # a renamed repository: a relative redirect
            self.answer(307, [("Location", "/Org/" + "/".join(path.strip("/").split("/")[1:]))])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.refuse(404, "", "Not found")

    do_GET = do_HEAD = route


class Hub:
    def __init__(self, repositories):
        self.repositories = repositories
        self.token, self.private, self.gated = "hf_secret", set(), set()
        self.faults, self.log = {}, []
        self.commit = COMMIT

    def fault(self, name):
        return self.faults.get(name, {})

    def __enter__(self):
        self.servers = []
        for handler in (Front, Cdn):
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True
            server.handle_error = lambda *_: None
            server.hub = self
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)
        self.endpoint, self.cdn = (f"http://127.0.0.1:{s.server_port}" for s in self.servers)
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()
