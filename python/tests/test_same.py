"""Results equal those of the command line, field by field, digit by digit."""
import pytest
from conftest import REAL, ROOT, assert_same, tool

import phosphene

SPEC = "block 2 [:, :, 0-1]"
SAE = f"sae:{ROOT}/tests/data/sae/standard [:, :, 3]"
SAE_MODEL = ROOT / "tests/data/llama_c.gguf"
QUICK = {"steps": 6, "restarts": 2}
QUICK_WORDS = ["--steps", "6", "--restarts", "2"]


@pytest.mark.parametrize(("specs", "options", "words"), [
    (SPEC, QUICK, QUICK_WORDS),
    (SPEC, {"budget": 1500}, ["--budget", "1500"]),
    ("block 1 neuron [:, :, 5]", {"budget": 1500, "top": 2, "seed": 7, "sign": -1},
     ["--budget", "1500", "--top", "2", "--seed", "7", "--sign", "-"]),
    (SPEC, {"method": "epo", "budget": 2000, "tokens": (3, 6), "lambda_": (0.1, 2), "population": 4, "children": 8},
     ["--method", "epo", "--budget", "2000", "--tokens", "3:6", "--lambda", "0.1:2", "--population", "4",
      "--children", "8"]),
    (SPEC, {"method": "swap", "budget": 1500, "lambda_": 0.5, "share": False, "top_k": 16, "width": 32, "stay": True},
     ["--method", "swap", "--budget", "1500", "--lambda", "0.5", "--no-share", "--top-k", "16", "--width", "32",
      "--stay"]),
    (SPEC, {"method": "greedy", "ascii": True, "ban": ["a", "the"], "sign": "both", "bos": "off"},
     ["--method", "greedy", "--ascii", "--ban", "a", "--ban", "the", "--sign", "both", "--bos", "off"]),
    ("block 2 [:, -1, 0] - 0.5*block 1 mlp [:, -1, 3]", {**QUICK, "optimizer": "adam", "eta": (0.02, 0.002)},
     [*QUICK_WORDS, "--optimizer", "adam", "--eta", "0.02:0.002"]),
    ("blocks.1.hook_mlp_out[:, :, 2]", {"method": "pez", **QUICK, "eta": "0.1rms:0.01rms", "reduce": "max"},
     ["--method", "pez", *QUICK_WORDS, "--eta", "0.1rms:0.01rms", "--reduce", "max"]),
    (SPEC, {"budget": 1500, "prefix": "ab", "suffix": "c", "corpus": False},
     ["--budget", "1500", "--prefix", "ab", "--suffix", "c", "--corpus", "off"]),
    (SPEC, {"start": "text:abcab", "steps": 3, "target": 5, "objective": "l2", "near_weight": 0.1, "decode": "euclid"},
     ["--start", "text:abcab", "--steps", "3", "--target", "5", "--objective", "l2", "--near-weight", "0.1",
      "--decode", "euclid"]),
])
def test_dream(model, specs, options, words):
    assert_same(model.dream(specs, **options), tool("dream", specs, *words))


def test_dream_allows(model, tmp_path):
    allowed = tmp_path / "allow.txt"
    allowed.write_text("a\nb\nab\n")
    words = ["--method", "greedy", "--allow", str(allowed), "--contains", "a", "--outliers", "keep",
             "--round-trip", "prefer"]
    answers = model.dream(SPEC, method="greedy", allow=["a", "b", "ab"], contains="a", outliers="keep",
                          round_trip="prefer")
    assert_same(answers, tool("dream", SPEC, *words))


def test_scan(model):
    assert_same(model.scan(SPEC, top=4), tool("scan", SPEC, "--top", "4"))
    assert_same(model.scan([SPEC, "logits [:, :, 9]"], prefix="ab"), tool("scan", SPEC, "logits [:, :, 9]", "--prefix", "ab"))


def test_scan_of_everything(model):
    assert_same(model.scan(top=2, depth=1, neurons=True), tool("scan", "--top", "2", "--depth", "1", "--neurons"))


TEXTS = ["abcab", "The sky is blue.", "na\u00efve \u96ea \U0001f600", "<script>&amp;\n\t\"'"]


@pytest.mark.parametrize("text", TEXTS)
def test_score_and_attribute(model, text):
    for spec in (SPEC, "-block 1 [:, 0, 3]", "logits [:, -1, 5] - block 1 neuron [:, :, 2]"):
        assert_same(model.score(spec, text), tool("score", spec, text))
        assert_same(model.attribute(spec, text), tool("attribute", spec, text))


def test_latents(cache):
    own = phosphene.Model(SAE_MODEL)
    for name in ("score", "attribute"):
        results = getattr(own, name)(SAE, "abcab")
        assert results[0].post_values is not None
        assert_same(results, tool(name, SAE, "abcab", path=SAE_MODEL))
    assert_same(own.dream(SAE, budget=500), tool("dream", SAE, "--budget", "500", path=SAE_MODEL))


def test_ids(model):
    assert_same(model.score(SPEC, [64, 146, 201]), tool("score", SPEC, "--ids", "64,146,201"))
    assert model.score(SPEC, [64, 146, 201])[0].token_bytes[1] is not None


def test_effect(model):
    assert_same(model.effect(SPEC), tool("effect", SPEC))
    assert_same(model.effect(SPEC, "abcab", top=3), tool("effect", SPEC, "abcab", "--top", "3"))
    spec = "block 1 mlp [:, :, 0:3]"
    assert_same(model.effect(spec, "abcab", corpus=False), tool("effect", spec, "abcab", "--corpus", "off"))


@pytest.mark.parametrize(("options", "words"), [
    ({"steps": 5, "restarts": 2}, ["--steps", "5", "--restarts", "2"]),
    ({"method": "exact"}, ["--method", "exact"]),
    ({"method": "exact", "unguided": True, "among": [64, 65, 66, 67]},
     ["--method", "exact", "--unguided", "--among-ids", "64,65,66,67"]),
    ({"sequential": True, "steps": 3, "restarts": 1, "among": "abc xyz", "optimizer": "gd", "start": "rms",
      "eta": "0.1rms:0.01rms", "objective": "l2", "decode": "cosine"},
     ["--sequential", "--steps", "3", "--restarts", "1", "--among", "abc xyz", "--optimizer", "gd", "--start", "rms",
      "--eta", "0.1rms:0.01rms", "--objective", "l2", "--decode", "cosine"]),
])
def test_recover(model, options, words):
    assert_same(model.recover("block 2 [:, :, :]", "abcab", **options), tool("recover", "block 2 [:, :, :]", "abcab", *words))


def test_corpus(model, tmp_path):
    file = tmp_path / "own.txt"
    file.write_text("abc abc cab " * 20)
    spec = "block 2 [:, :, 0-1], block 1 neuron [:, :, 4]"
    assert_same(model.corpus(spec, file=file, window=16, top=5), tool("corpus", str(file), spec, "--window", "16", "--top", "5"))
    assert_same(model.corpus(spec, text="abc abc cab " * 20, window=16),
                tool("corpus", str(file), spec, "--window", "16"))
    assert_same(model.dream("block 2 [:, :, 0]", corpus=file, **QUICK),
                tool("dream", "block 2 [:, :, 0]", "--corpus", str(file), *QUICK_WORDS))


def test_untrained_and_backends():
    own = phosphene.Model(ROOT / "tests/data/llama_b.gguf", untrained=True, init_seed=3, backend="ref", threads=1)
    assert own.info.untrained and own.info.backend == "ref" and own.info.threads == 1
    assert_same(own.score(SPEC, "abcab"), tool("score", SPEC, "abcab", "--untrained", "--init-seed", "3", "--backend", "ref"))


@pytest.mark.skipif(REAL is None, reason="no PHOSPHENE_MODEL")
def test_the_default_model():
    real = phosphene.Model(REAL)
    spec = "block 8 [:, :, 2000], block 4 neuron [:, :, 7]".replace("2000", str(real.info.width - 1))
    assert_same(real.score(spec, "The sky is blue."), tool("score", spec, "The sky is blue.", path=REAL))
    assert_same(real.attribute(spec, "The sky is blue."), tool("attribute", spec, "The sky is blue.", path=REAL))
    options = {"steps": 3, "restarts": 2, "corpus": False}
    assert_same(real.dream("block 2 [:, :, 5]", **options),
                tool("dream", "block 2 [:, :, 5]", "--steps", "3", "--restarts", "2", "--corpus", "off", path=REAL))
