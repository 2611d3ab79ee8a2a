"""Progress, cancelling and Ctrl-C: what is done is returned."""
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from conftest import TINY

import phosphene

SPEC = "block 2 [:, :, 0-59]"


def test_progress_is_told(model):
    seen = []
    model.dream("block 2 [:, :, 0]", steps=5, restarts=1, progress=lambda stage, done: seen.append((stage, done)))
    assert seen and all(isinstance(stage, str) and 0 <= done <= 1 for stage, done in seen)


def test_progress_cancels(model):
    count = iter(range(10**9))
    with pytest.warns(RuntimeWarning, match="interrupted: [1-9]"):
        results = model.score(SPEC, "abcab", progress=lambda stage, done: next(count) >= 4)
    assert results.interrupted and 0 < len(results) < 60
    whole = model.score(SPEC, "abcab")
    assert not whole.interrupted
    assert [r.to_dict() for r in results] == [r.to_dict() for r in whole[:len(results)]]


def test_a_cancelled_corpus(tmp_path):
    own = phosphene.Model(TINY, cache=False)
    with pytest.warns(RuntimeWarning, match="interrupted: 0"):
        results = own.dream("block 2 [:, :, 0]", steps=1, progress=lambda stage, done: True)
    assert results.interrupted and len(results) == 0
    assert own.corpus("block 2 [:, :, 0]", progress=lambda stage, done: True).interrupted


def test_what_progress_raises_arrives(model):
    def bad(stage, done):
        raise KeyError(stage)

    for ask in (lambda: model.score(SPEC, "abcab", progress=bad),
                lambda: phosphene.Model(TINY, cache=False).dream("block 2 [:, :, 0]", steps=1, progress=bad)):
        with pytest.raises(KeyError):
            ask()
    assert len(model.score("block 2 [:, :, 0]", "ab")) == 1, "the model is as good as before"


def run(program):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=100,
                          env=os.environ | {"TINY": str(TINY)})


def test_ctrl_c_returns_what_is_done():
    done = run("""
        import os, signal, warnings
        import phosphene
        warnings.simplefilter("ignore")
        model = phosphene.Model(os.environ["TINY"], cache=False)
        pressed, stages = [], set()
        def watch(stage, done):
            stages.add(stage)
            if len(stages) > 2 and not pressed:
                pressed.append(1)
                os.kill(os.getpid(), signal.SIGINT)
        results = model.dream("block 2 [:, :, 0-59]", method="greedy", corpus=False, progress=watch)
        print(results.interrupted, len(results) < 60, bool(pressed))
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "True", "True"]
    assert "Exception ignored" not in done.stderr


def test_ctrl_c_from_outside_while_it_computes():
    program = """
        import os, sys
        import phosphene
        model = phosphene.Model(os.environ["TINY"])
        print("ready", flush=True)
        results = model.dream("block 2 [:, :, 0-59]", budget=10**9, corpus=False)
        print("after", results.interrupted, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=os.environ | {"TINY": str(TINY)})
    assert child.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert out == "after True\n" and child.returncode == 0 and "Exception ignored" not in err, err


def test_other_threads(model):
    found = []

    def work():
        found.append(model.score("block 2 [:, :, 0]", "abcab")[0].activation)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
