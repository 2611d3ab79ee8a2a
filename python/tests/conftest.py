"""What the tests share: a tiny model, and the tool that Python's results are compared with.

$PHOSPHENE_TOOL is the tool; the package is the one that is installed, or on PYTHONPATH.
"""
import json
import os
import subprocess
from pathlib import Path

import pytest

import phosphene

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests/data/llama_b.gguf"
TOOL = os.environ.get("PHOSPHENE_TOOL") or str(ROOT / "build/release/app/phosphene")
for name, value in (("OMP_WAIT_POLICY", "passive"), ("OMP_NUM_THREADS", "1")):  # the models are tiny
    os.environ.setdefault(name, value)
REAL = os.environ.pop("PHOSPHENE_MODEL", None)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A cache of the tests' own, for the tool and the package."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def model(cache):
    return phosphene.Model(TINY)


def tool(*arguments, path=TINY):
    """The lines of a command's --json but for the run."""
    done = subprocess.run([TOOL, *arguments, "--json", "-q", "-m", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line][1:]


def refused(*arguments):
    """What a command says of a mistake."""
    done = subprocess.run([TOOL, *arguments, "-m", str(TINY)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stderr


def printed(value):
    """As JSON with the tool's nine digits."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: printed(v) for key, v in value.items() if key not in ("seconds", "run")}
    return [printed(v) for v in value] if isinstance(value, list) else value


def assert_same(results, lines):
    """Python's results are the tool's lines, to the last digit."""
    assert len(results) == len(lines) > 0
    for result, line in zip(results, lines):
        ours, theirs = printed(json.loads(json.dumps(result.to_dict(), allow_nan=False))), printed(line)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert ours[key] == value, key
