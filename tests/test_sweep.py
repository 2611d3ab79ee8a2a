"""phosphene sweep on a tiny model: alone, with workers, under MPI; killed, hung, interrupted.

    test_sweep.py TOOL [TEST…]
"""

import glob
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

from cli import SANITIZED, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests

MPIRUN = shutil.which("mpirun")
HAS_MPI = (MPIRUN and not SANITIZED and shutil.which("ldd")
           and "libmpi" in subprocess.run(["ldd", TOOL], capture_output=True, text=True).stdout)
PLAN = os.path.join(WORK, "plan.txt")
TEXT = f"""# a tiny atlas
model    = {TINY}
features = block 1 [:, :, 0-9]     # ten
features = block 2 [:, :, 0-4], block 1 mlp [:, :, 0-2]
method   = scan
method   = auto
method   = descent
seed = 0
seed = 1
budget = 300
steps  = 5
restarts = 2
unit   = 4
"""
LONG = os.path.join(WORK, "long.txt")  # some seconds of work in forty units
LONG_TEXT = f"""model = {TINY}
features = block 2 [:, :, 0-39]
method = descent
tokens = 8
steps = {40 if SANITIZED else 300}
restarts = 4
unit = 1
"""


def environment(cache):
    more = {"XDG_CACHE_HOME": os.path.join(WORK, cache), "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
    return os.environ | more


def store(name):
    return os.path.join(WORK, name + ".sqlite")


def start(name, *args, plan=PLAN, ranks=0, cache="cache"):
    mpi = [MPIRUN, "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    return subprocess.Popen([*mpi, TOOL, "sweep", plan, "--store", store(name), *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment(cache), start_new_session=True)


def sweep(name, *args, **more):
    p = start(name, *args, **more)
    out, err = p.communicate(timeout=300)
    return p.returncode, out, err


def export(name):
    return run("export", "--format", "jsonl", "--store", store(name), model=None)[1]


def same_for_all(text):
    """An export without what differs from time to time and from host to host."""
    return re.sub(r'"(seconds|ended)":[^,}]*|"host":"[^"]*"', "", text)


def units(name):
    """What is done: {(run, unit): line}."""
    return {(u["run"], u["unit"]): u for u in lines(export(name)) if u["type"] == "unit"}


def status(name):
    code, out, err = run("sweep", "--status", "--json", "--store", store(name), model=None)
    check(code == 0, f"--status: exit {code}: {err}")
    return lines(out)


def done(name):
    """Units that are done; none while the store is being made."""
    code, out, _ = run("sweep", "--status", "--json", "--store", store(name), model=None)
    return lines(out)[-1]["done"] if code == 0 else 0


def wait_for(condition, seconds=120):
    until = time.time() + seconds
    while time.time() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def children(pid):
    out = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = open(path).read().rsplit(")", 1)
        except OSError:
            continue
        if int(fields[1].split()[1]) == pid and fields[1].split()[0] != "Z":
            out.append(int(path.split("/")[2]))
    return out


def descendants(pid):
    own = children(pid)
    return own + [p for c in own for p in descendants(c)]


def ranks_of(pid):
    return [p for p in descendants(pid)
            if os.path.exists(f"/proc/{p}/exe") and os.path.realpath(f"/proc/{p}/exe") == os.path.realpath(TOOL)]


def end(p):
    try:
        os.killpg(p.pid, signal.SIGKILL)
    except OSError:
        pass
    p.communicate()


# ---- the same results, whoever does them


def test_alone():
    code, out, err = sweep("one", "--json")
    check(code == 0, f"one process: exit {code}: {err}")
    all_lines = lines(export("one"))
    kinds = {}
    for line in all_lines:
        kinds[line["type"]] = kinds.get(line["type"], 0) + 1
    # two lines of features; scan is one run, auto and descent have two seeds
    check(kinds["run"] == kinds["sweep"] == 10, f"runs: {kinds}")
    check(kinds["scan"] == 18, f"every feature is scanned once: {kinds}")
    check(len({(l["feature"], l["method"], l["seed"]) for l in all_lines if l["type"] == "dream"}) == 18 * 4,
          "every feature by every method from every seed")
    # units of 4 features, of one place each: 4+4+2, 4+1+3; scans: a place each
    check(kinds["unit"] == 4 * (3 + 3) + 1 + 2, f"units: {kinds}")
    check(len(lines(out)) == kinds["unit"] and all(l["type"] == "unit" for l in lines(out)),
          "--json prints the units")
    for u in all_lines:
        if u["type"] == "unit":
            features = [l["feature"] for l in all_lines if l["type"] in ("dream", "scan") and l["run"] == u["run"]]
            check(u["first"] in features and u["last"] in features and u["features"] <= 10, f"{u}")
    code, out, err = run("store", "check", "--store", store("one"), model=None)
    check(code == 0, f"store check: {out}{err}")


def test_against_dream():
    """A unit's answers are those of dream on the same features, with as many threads."""
    code, out, err = run("dream", "--method", "descent", "--steps", "5", "--restarts", "2", "--seed", "1", "--threads", "1",
                         "--corpus", "off", "--json", "--no-store", "block 1 [:, :, 4-7]")
    direct = [l for l in lines(out) if l["type"] == "dream"]
    runs = {l["id"] for l in lines(export("one")) if l["type"] == "run" and l["seed"] == 1}
    kept = {(l["feature"], l["rank"]): l for l in lines(export("one"))
            if l["type"] == "dream" and l["method"] == "descent" and l["run"] in runs}
    check(len(direct) >= 4, f"dream: {err}")
    for line in direct:
        other = kept[line["feature"], line["rank"]]
        for field in ("ids", "text", "activation", "curve", "z"):
            check(line[field] == other[field], f"{line['feature']}: {field} differs from dream's")


def test_shared():
    reference = same_for_all(export("one"))
    code, _, err = sweep("two", "--workers", "2", cache="cache2")
    check(code == 0 and same_for_all(export("two")) == reference, f"2 workers: {code}: {err}")
    sweep("again")
    before = export("again")
    code, _, err = sweep("again", "--workers", "3")
    check(code == 0 and export("again") == before, "a second time nothing is done")
    for n in (1, 2, 4) if HAS_MPI else ():
        name = f"ranks{n}"
        code, _, err = sweep(name, ranks=n, cache=f"cache-{name}")
        check(code == 0 and same_for_all(export(name)) == reference, f"{n} ranks: {code}: {err}")
        check(not glob.glob(store(name) + ".rank-*"), f"{n} ranks: shards are left")
    if HAS_MPI:  # what ranks did, others go on from
        code, _, err = sweep("ranks2", "--seed", "2", "--workers", "2")
        check(code == 0 and set(units("one")) < set(units("ranks2")), f"more seeds: {err}")
        check(all(units("ranks2")[u]["features"] for u in units("one")), "units of the ranks stay")


# ---- killed, hung, interrupted


def kill_again_and_again(name, reference, ranks=0):
    """Start, wait for progress, kill -9 one of those at work; what was done stays, to the byte."""
    last = {}
    for turn in range(3 if SANITIZED else 10):
        p = start(name, *([] if ranks else ["--workers", "2"]), plan=LONG, ranks=ranks)
        enough = min(len(last) + 2, 38)
        wait_for(lambda: done(name) >= enough or p.poll() is not None)
        victims = ranks_of(p.pid) if ranks else children(p.pid)
        for victim in victims[turn % 2:][:1] or victims[:1]:
            os.kill(victim, signal.SIGKILL)
        if not ranks:
            time.sleep(0.05)
            os.kill(p.pid, signal.SIGKILL)  # and who watches them
            p.wait()
            wait_for(lambda: not any(os.path.exists(f"/proc/{v}") for v in victims), 20)
        try:
            p.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            check(False, f"{name}: the job does not end with its rank")
            end(p)
        now = units(name)
        check(all(now.get(u) == line for u, line in last.items()), f"{name}: turn {turn}: something was lost")
        last = now
    code, _, err = sweep(name, plan=LONG, ranks=ranks)
    now = units(name)
    check(code == 0 and len(now) == 40, f"{name}: {len(now)} units in the end: {err}")
    check(all(now.get(u) == line for u, line in last.items()), f"{name}: a unit was done twice")
    check(same_for_all(export(name)) == reference, f"{name}: another result")
    code, out, err = run("store", "check", "--store", store(name), model=None)
    check(code == 0, f"{name}: store check: {out}{err}")


def test_killed():
    kill_again_and_again("killed", whole())
    if HAS_MPI:
        kill_again_and_again("killed-ranks", whole(), ranks=2)


def whole():
    """The long plan, done at once."""
    if not os.path.exists(store("whole")):
        code, _, err = sweep("whole", plan=LONG)
        check(code == 0, err)
    return same_for_all(export("whole"))


def lease(name, owner, seconds):
    """Somebody else has the first unit."""
    unit = next(f"{u['run']}/{u['unit']}" for u in units("whole").values() if u["unit"] == "0-0")
    with sqlite3.connect(store(name)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS lease (unit TEXT PRIMARY KEY, owner TEXT NOT NULL, "
                   "until REAL NOT NULL) STRICT, WITHOUT ROWID")
        db.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?)", (unit, owner, time.time() + seconds))
    db.close()


def empty(name):
    p = start(name, plan=LONG)
    wait_for(lambda: done(name) >= 1)
    end(p)
    with sqlite3.connect(store(name)) as db:
        ids = [i for i, in db.execute("SELECT id FROM result WHERE type = 'unit' ")]
        db.execute("DELETE FROM lease")
        db.executemany("DELETE FROM body WHERE result = ?", [(i,) for i in ids])
        db.executemany("DELETE FROM result WHERE id = ?", [(i,) for i in ids])
    db.close()


def test_leases():
    reference = whole()
    empty("leased")
    lease("leased", "elsewhere:17", 600)
    p = start("leased", plan=LONG)
    check(wait_for(lambda: done("leased") == 39), "all but the leased unit")
    time.sleep(0.5)
    check(p.poll() is None and done("leased") == 39, "a unit that another has is left to it")
    check(status("leased")[-1]["under_way"] == 1, "it is under way")
    lease("leased", "elsewhere:17", 0.2)
    out, err = p.communicate(timeout=60)
    check(p.returncode == 0 and same_for_all(export("leased")) == reference, f"a lease that ran out: {err}")
    empty("dead")
    lease("dead", f"{socket.gethostname()}:{2 ** 22 - 1}", 600)
    code, _, err = sweep("dead", plan=LONG)
    check(code == 0 and len(units("dead")) == 40, f"a process that is dead has no lease: {err}")


def stop(pid, name):
    """Stop a process, but not while it has the store for itself: then nobody could go on."""
    os.kill(pid, signal.SIGSTOP)
    db = sqlite3.connect(store(name), timeout=0, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
        return True
    except sqlite3.OperationalError:
        os.kill(pid, signal.SIGCONT)
        return False
    finally:
        db.close()


def test_hung():
    p = start("hung", "--workers", "2", "--lease", "2", plan=LONG)
    wait_for(lambda: done("hung") >= 2)
    victims = children(p.pid)
    check(len(victims) == 2 and wait_for(lambda: stop(victims[0], "hung")), "a worker is stopped")
    out, err = p.communicate(timeout=120)
    check(p.returncode == 0 and len(units("hung")) == 40, f"a worker hung: {p.returncode}: {err}")
    check(same_for_all(export("hung")) == whole(), "hung: another result")
    check(victims and not os.path.exists(f"/proc/{victims[0]}"), "the hung worker is ended")


def test_interrupted():
    for name, args in (("ctrl-c", []), ("ctrl-c-2", ["--workers", "2"])):
        p = start(name, *args, plan=LONG)
        wait_for(lambda: done(name) >= 3)
        os.killpg(p.pid, signal.SIGINT)
        out, err = p.communicate(timeout=60)
        kept = units(name)
        check(p.returncode == 130 and err.count("interrupted") == 1, f"{name}: {p.returncode}: {err}")
        check(2 < len(kept) < 40, f"{name}: {len(kept)} units were kept")
        check(status(name)[-1]["under_way"] == 0, f"{name}: leases are given back")
        code, _, err = sweep(name, plan=LONG)
        now = units(name)
        check(code == 0 and len(now) == 40 and all(now[u] == kept[u] for u in kept), f"{name}: goes on: {err}")


def test_interrupted_ranks():
    if not HAS_MPI:
        return
    p = start("ctrl-c-ranks", plan=LONG, ranks=2)
    wait_for(lambda: done("ctrl-c-ranks") >= 3)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    check(p.returncode != 0, f"mpirun says that it was interrupted: {err}")
    code, _, err = sweep("ctrl-c-ranks", plan=LONG)  # not as ranks: takes in what they left
    check(code == 0 and len(units("ctrl-c-ranks")) == 40, f"one process goes on where ranks were: {err}")
    check(same_for_all(export("ctrl-c-ranks")) == whole(), "interrupted ranks: another result")
    check(not glob.glob(store("ctrl-c-ranks") + ".rank-*"), "their shards are taken in")


# ---- status, mistakes


def test_status():
    rows = status("one")
    check(len(rows) == 11 and sum(r["units"] for r in rows[:-1]) == rows[-1]["units"] == rows[-1]["done"] == 27,
          f"--status: {rows[-1]}")
    code, out, err = run("sweep", "--status", "--store", store("one"), model=None)
    check(code == 0 and "27 of 27 units" in out and "scan" in out, f"--status: {out}{err}")
    code, out, err = sweep("one", "--seed", "7", "--method", "greedy")
    check(code == 0 and re.search(r"^(\d+) of \1 units", err, re.M), f"a sweep's own units are told: {err}")
    p = start("running", plan=LONG)
    check(wait_for(lambda: done("running") >= 2), "--status while it runs")
    row = status("running")[-1]
    check(row["under_way"] == 1 and row["units_per_minute"] > 0 and row["seconds_left"] > 0, f"{row}")
    out, err = p.communicate(timeout=120)
    check(p.returncode == 0, err)
    expect_error(1, "there is no store yet", "sweep", "--status", "--store", store("nowhere"), model=None)


def plan_error(text, pattern, status=2):
    path = os.path.join(WORK, "broken.txt")
    with open(path, "w") as f:
        f.write(text)
    expect_error(status, pattern, "sweep", path, "--store", store("broken"), model=None)


def test_mistakes():
    head = f"model = {TINY}\n\n"
    plan_error(head + "features = block 1 [:, :, 0]\nfeature = x\n", r'broken.txt:4: unknown key "feature"')
    plan_error(head + "features = block 1 [:, :, 0\n", r"broken.txt:3: ")
    plan_error(head + "features = block 99 [:, :, 0]\n", r"broken.txt:3: .*99")
    plan_error(head + "features = block 1 [:, :, 0]\nunit = some\n", r"broken.txt:4: --unit some: expected a whole")
    plan_error(head + "features = block 1 [:, :, 0]\nmethod = magic\n", r"broken.txt:4: --method magic: expected")
    plan_error(head + "features = block 1 [:, :, 0]\neta = 1\n", r"broken.txt:4: --eta 1: expected two")
    plan_error(head + "features\n", r"broken.txt:3: features: a value is missing")
    plan_error(head + "untrained = yes\n", r"broken.txt:3: untrained: stands alone")
    plan_error(head + "what is this\n", r'broken.txt:3: expected "key = value"')
    plan_error(head + 'prefix = "open\n', r"broken.txt:3: a quotation mark is not closed")
    plan_error(head + "status\n", r'broken.txt:3: unknown key "status"')
    plan_error(head + "features = block 1 [:, :, 0]\ntime = 3\n", r"--time: ")
    plan_error(head, "which features")
    plan_error("model = nowhere.gguf\nfeatures = block 1 [:, :, 0]\n", r"nowhere.gguf", status=1)
    plan_error(head + "features = block 1 [:, :, 0]\nmethod=scan\nmethod=descent\nobjective = joy\n",
               r'objective "?joy')
    check(not os.path.exists(store("broken")), "a plan with a mistake in it does nothing")
    expect_error(1, "no-plan.txt: ", "sweep", "no-plan.txt", "--store", store("broken"), model=None)
    expect_error(2, "one plan", "sweep", PLAN, PLAN, model=None)
    expect_error(2, "which features", "sweep", model=None)
    code, out, err = run("sweep", "--features", "block 1 [:, :, 0]", "--method", "greedy", "--steps", "9", "--store", store("flags"))
    check(code == 0 and len(units("flags")) == 1, f"flags in place of a plan: {err}")
    check("phosphene sweep: --steps: greedy does not look at it" in err, f"what no method looks at is said: {err}")
    if not HAS_MPI and not SANITIZED:
        code, out, err = run("sweep", PLAN, "--store", store("flags"), model=None, env={"PMI_SIZE": "2"})
        check(code == 1 and "without MPI" in err, f"without MPI: {code} {err}")


for path, text in ((PLAN, TEXT), (LONG, LONG_TEXT)):
    with open(path, "w") as f:
        f.write(text)
TESTS = [test_alone, test_against_dream, test_shared, test_killed, test_leases, test_hung, test_interrupted,
         test_interrupted_ranks, test_status, test_mistakes]
run_tests(*[t for t in TESTS if len(sys.argv) == 2 or t.__name__ in sys.argv])
