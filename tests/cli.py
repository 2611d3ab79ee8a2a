"""What the command-line tests share: running the tool on a tiny model, and counting checks."""

import ast
import atexit
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

WORK = tempfile.mkdtemp(prefix="phosphene-cli-")
CACHE = os.path.join(WORK, "cache")
STORE = os.environ["PHOSPHENE_STORE"] = os.path.join(WORK, "store.sqlite")  # never the user's own
atexit.register(shutil.rmtree, WORK, ignore_errors=True)
TOOL = os.path.abspath(sys.argv[1])
TINY = os.path.abspath("tests/data/llama_b.gguf")
FOLDERS = os.path.abspath(os.environ.get("PH_FOLDERS", "no folders"))  # the families as Hugging Face folders
SANITIZED = "asan" in TOOL
checks = 0
failures = []


def run(*args, model=TINY, env=None, stdout=None):
    full = os.environ | {"XDG_CACHE_HOME": CACHE} | (env or {})
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


def read_npy(data):
    """A .npy of format 1.0: (type, shape, flat values)."""
    check(data[:8] == b"\x93NUMPY\x01\x00", "npy: magic")
    length = struct.unpack("<H", data[8:10])[0]
    check((10 + length) % 64 == 0 and data[9 + length:10 + length] == b"\n", "npy: the header's end")
    head = ast.literal_eval(data[10:10 + length].decode())
    check(head["fortran_order"] is False, "npy: order")
    kind, body = head["descr"], data[10 + length:]
    count = 1
    for n in head["shape"]:
        count *= n
    if kind[1] == "S":
        size = int(kind[2:])
        values = [body[i * size:(i + 1) * size].rstrip(b"\0") for i in range(count)]
    else:
        values = struct.unpack("<" + str(count) + {"<i4": "i", "<i8": "q", "<f4": "f", "<f8": "d", "|b1": "?"}[kind], body)
    return head["shape"], values


def strip_times(out):
    return re.sub(r'"seconds":[^,}]*', '"seconds":0', out)


def run_tests(*tests):
    """Run them, each timed; ends the program."""
    for test in tests:
        began = time.time()
        test()
        print(f"{test.__name__}: {time.time() - began:.1f} s")
    print(f"{checks} checks, {len(failures)} failed")
    sys.exit(1 if failures or not checks else 0)
