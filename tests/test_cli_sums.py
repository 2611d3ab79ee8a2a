"""Features that are sums, directions and SAE latents, as a user meets them.

    test_cli_sums.py TOOL      on the tiny models of tests/data
"""

import json
import os
import struct
import tempfile

from cli import CACHE, WORK, check, expect_error, lines, run, run_tests, strip_times

C = os.path.abspath("tests/data/llama_c.gguf")  # of the width that the files have
SAE = "tests/data/sae/"
A, B = "block 1 [:, -1, 3]", "block 2 [:, -1, 7]"
SUM = f"{A} - 0.5*{B}"


def near(a, b, what, size=1.0):
    check(abs(a - b) <= 1e-5 * (1 + size), f"{what}: {a} and {b}")


def records(*args, model=None):
    code, out, err = run(*args, "--json", **({"model": model} if model else {}))
    check(code == 0, f"{args}: {code} {err}")
    return lines(out)[1:] if code == 0 else []


def test_score():
    a, b, both, minus = records("score", f"{A}, {B}, {SUM}, -{A}", "some text here")
    check(both["feature"] == SUM and minus["feature"] == "-" + A, "canonical texts")
    for x, y, z, m in zip(a["values"], b["values"], both["values"], minus["values"]):
        near(z, x - 0.5 * y, "value of the sum")
        check(m == -x, "negated value")
    near(both["activation"], a["activation"] - 0.5 * b["activation"], "activation")
    many, typed = [f"-block 1 [:, :, {i}]" for i in range(20)], "-block 8 [is a text]"
    check([r["feature"] for r in records("score", ", ".join(many), typed)] == many, "words that begin with a minus")
    check("".join(records("tokenize", typed)[0]["tokens"]) == typed, "and what is typed is what is meant")
    for option in ([f"--suffix={typed}"], ["--suffix", typed]):
        head = lines(run("score", A, "a", *option, "--json")[1])[0]
        check(head["settings"]["suffix"] == typed, f"also where it is an option's: {head['settings']}")
    check("post_values" not in both and both["reduce"] == "mean", "no SAE, no post")
    one, = records("score", 'logits [:, -1, "a"] - logits [:, -1, "b"]', "some text here")
    ids = [str(lines(run("tokenize", t, "--json")[1])[-1]["ids"][0]) for t in "ab"]
    check(one["feature"] == f"logits [:, -1, {ids[0]}] - logits [:, -1, {ids[1]}]", "tokens by their text")


def test_attribute():
    a, b, both = records("attribute", f"{A}, {B}, {SUM}", "some text here")
    for key in ("grad_x_input", "occlusion"):
        for x, y, z in zip(a[key], b[key], both[key]):
            near(z, x - 0.5 * y, f"{key} is linear", 10)


def test_scan():
    spec = "block 1 [:, :, 3] - 0.5*block 2 attn [:, :, 7]"
    full = {t["id"]: t["activation"] for t in records("scan", spec, "--top", "300")[0]["top"]}
    check(len(full) == 300, "every token")
    for i in (0, 5, 77, 299):
        one, = records("score", spec, "--ids", str(i))
        near(one["activation"], full[i], f"token {i}")
    kept = os.path.join(CACHE, "phosphene")
    before = len(os.listdir(kept)) if os.path.isdir(kept) else 0
    results = [[{k: v for k, v in r.items() if k != "run"} for r in records("scan", f"{spec}, -{A}", *more)]
               for more in ((), (), ("--no-cache",))]
    check(results[0] == results[1] == results[2], "the same from the cache, and without one")
    check(len(os.listdir(kept)) >= before + 2, "a file for each sum")
    plain, minus = records("scan", A)[0], records("scan", "-" + A)[0]
    check([t["id"] for t in plain["bottom"]] == [t["id"] for t in minus["top"]], "-f turns the lists round")
    check(minus["mean"] == -plain["mean"], "and the mean")


def test_dream():
    for more in ((), ("--method", "greedy"), ("--method", "softmax"), ("--objective", "cosine"),
                 ("--objective", "linear", "--optimizer", "adam"), ("--sign", "-")):
        args = ("dream", SUM, *(() if "greedy" in more else ("--steps", "6", "--restarts", "2")), *more)
        row, = records(*args)
        check(row["corpus"] is None, "no corpus figures of a sum")
        near(records("score", SUM, row["text"])[0]["activation"], row["activation"]["text"], f"{more}: the law")
        ids = ",".join(map(str, row["ids"]))
        near(records("score", SUM, "--ids", ids)[0]["activation"], row["activation"]["ids"], f"{more}: ids")
        scan = records("scan", SUM)[0]["bottom" if "--sign" in more else "top"]
        check(row["best_token"]["id"] in [t["id"] for t in scan], f"{more}: best token")
        same = [strip_times(run(*args, "--json")[1]) for _ in range(2)]
        check(same[0] == same[1], f"{more}: the same bytes")
    # a sum does not change what its neighbours of other taps are
    both = records("dream", f"{A}, {SUM}", "--steps", "6", "--restarts", "2")
    alone = records("dream", SUM, "--steps", "6", "--restarts", "2")
    check(both[1]["ids"] == alone[0]["ids"] and both[1]["curve"] == alone[0]["curve"], "neighbours")
    # and of one tap: a plain feature beside its negation
    pair = records("dream", f"{A}, -{A}", "--steps", "6", "--restarts", "2")
    one = records("dream", A, "--steps", "6", "--restarts", "2")
    check(pair[0]["ids"] == one[0]["ids"] and pair[0]["activation"] == one[0]["activation"], "beside -f")


def test_files():
    spec = f"dir:{SAE}directions.npy#1 @ block 2 [:, -1]"
    a, b = records("score", f"{spec}, dir:{SAE}directions.safetensors#direction.1 @ block 2 [:, -1]",
                   "--ids", "5,6,7", model=C)
    check(a["feature"] == spec and a["values"] == b["values"], "the same row of two formats")
    row, = records("dream", spec, "--steps", "4", "--restarts", "2", model=C)
    near(records("score", spec, row["text"], model=C)[0]["activation"], row["activation"]["text"], "the law")
    for name in ("topk", "jumprelu", "gated", "layer_norm"):
        spec = f"sae:{SAE}{name} [:, :, 2]"
        row, = records("dream", spec, "--steps", "4", "--restarts", "2", model=C)
        again, = records("score", spec, row["text"], model=C)
        near(again["activation"], row["activation"]["text"], f"{name}: the law")
        near(again["post_activation"], row["post_activation"], f"{name}: post")
        check(again["reduce"] == "max", "a latent's most counts")
        for pre, post in zip(again["values"], again["post_values"]):
            check(post == 0 or post == pre, "post is pre or 0")
    scan, = records("scan", f"sae:{SAE}topk [:, :, 2]", model=C)
    one, = records("score", f"sae:{SAE}topk [:, :, 2]", "--ids", str(scan["top"][0]["id"]), model=C)
    near(one["activation"], scan["top"][0]["activation"], "scan of a latent")


def test_bos():
    """An SAE trained without BOS is shown none, unless somebody asks."""
    for name, bos, context in (("old", (), 0), ("old", ("--bos", "on"), 1), ("topk", (), 1),
                               ("topk", ("--bos", "off"), 0)):
        code, out, _ = run("score", f"sae:{SAE}{name} [:, :, 2]", "--ids", "5,6", "--json", *bos, model=C)
        check(code == 0 and len(lines(out)[0]["context"]) == context, f"{name} {bos}: context")
    got, = records("score", f"sae:{SAE}old [:, :, 2]", "--ids", "5,6", model=C)
    off, = records("score", f"sae:{SAE}old [:, :, 2]", "--ids", "5,6", "--bos", "off", model=C)
    check(got["values"] == off["values"], "measured so too")
    expect_error(2, "was trained behind a BOS", "score",
                 f"sae:{SAE}old [:, :, 2], sae:{SAE}topk [:, :, 2]", "--ids", "5", model=C)


def sae_of(**tensors):
    """An SAE of one latent with biases as given: shape and float64 values."""
    folder, header, data = tempfile.mkdtemp(dir=WORK), {}, b""
    width = 36
    with open(os.path.join(folder, "cfg.json"), "w") as f:
        json.dump({"architecture": "topk", "d_in": width, "d_sae": 1, "k": 1, "hook_name": "blocks.1.hook_resid_post",
                   "apply_b_dec_to_input": True, "dtype": "float32", "normalize_activations": "none"}, f)
    for name, (shape, values) in {"W_enc": ([width, 1], [1.0] * width), "W_dec": ([1, width], [1.0] * width), **tensors}.items():
        header[name] = {"dtype": "F64", "shape": shape, "data_offsets": [len(data), len(data) + 8 * len(values)]}
        data += struct.pack(f"<{len(values)}d", *values)
    head = json.dumps(header).encode()
    with open(os.path.join(folder, "sae_weights.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data)
    return f"sae:{folder} [:, :, 0]"


def test_wide():
    """Numbers too wide for a column have fewer digits; a cut one would be another number."""
    for factor in ("1000", "-3000", "20000", "1e6", "1e8"):
        spec = f"{factor}*block 1 [:, -1, 3]"
        for args, column in ((("dream", spec, "--budget", "200", "--corpus", "off", "--top", "1"), 0), (("score", spec, "abc"), -1)):
            out, (r, *_) = run(*args)[1], records(*args)
            want = r["activation"]["text"] if args[0] == "dream" else r["values"][-1]
            row = next(x for x in out.split("\n") if spec.split("*")[1] in x) if args[0] == "dream" else out.strip().split("\n")[-1]
            words = [w for w in row.rpartition('"  ')[2].split() if w not in "~!"]
            check("…" not in row.partition('"')[0] + row.rpartition('"')[2] and abs(float(words[column]) - want) <= 0.05 * abs(want),
                  f"{args}: {row!r}, {want}")


def test_shapes():
    """A bias counts whole, whether it has one dimension, two or none; other shapes are refused."""
    bias = [0.25 * i for i in range(36)]
    say = lambda spec: lines(run("score", spec, "--ids", "5,6", "--json", model=C)[1])[1]["activation"]
    plain = say(sae_of(b_enc=([1], [0.5]), b_dec=([36], bias)))
    none = say(sae_of(b_enc=([1], [0.0]), b_dec=([36], [0.0] * 36)))
    check(abs(none - plain - sum(bias) + 0.5) < 1e-4 * abs(none), f"an SAE's biases: {plain}, {none}")
    for b_enc, b_dec in (([], [36]), ([1, 1], [36, 1]), ([], [36, 1])):
        found = say(sae_of(b_enc=(b_enc, [0.5]), b_dec=(b_dec, bias)))
        check(found == plain, f"biases of shapes {b_enc} and {b_dec}: {found}, not {plain}")
    for shape in ([1, 36], [36, 1, 1], [35]):
        expect_error(1, "tensor b_dec: its shape is .*, expected 36", "score",
                     sae_of(b_enc=([1], [0.5]), b_dec=(shape, bias[:35] if shape == [35] else bias)), "text", model=C)


def test_errors():
    expect_error(2, "here are 3, before 2", "dream", "block 1 [:, :, 0-1] - block 2 [:, :, 0-2]")
    expect_error(1, "not from a sum", "recover", SUM, "some text")
    expect_error(1, "not of sums", "effect", SUM)
    expect_error(1, "follows single components", "corpus", SUM)
    expect_error(1, "No such file", "score", "dir:nowhere.npy @ block 1", "text")
    expect_error(1, "cfg.json: No such file", "score", "sae:nowhere [:, :, 1]", "text")
    expect_error(1, "36 values, the place has 60", "score", f"dir:{SAE}direction.npy @ block 1", "text")
    expect_error(1, "d_in 36, its place in this model has 60", "score", f"sae:{SAE}topk [:, :, 1]", "text")
    expect_error(2, "its tokens are not in a text of 1 token", "scan", "block 1 [:, 0, 3] - block 1 [:, 1, 3]")
    code, _, err = run("score", f"{A} + 2*block 2 [:, :, 999]", "text")
    check(code == 2 and err.split("\n")[2].index("^") - 2 == len(f"{A} + 2*block 2 [:, :, "), f"caret: {err}")


run_tests(test_score, test_attribute, test_scan, test_dream, test_files, test_bos, test_wide, test_shapes, test_errors)
