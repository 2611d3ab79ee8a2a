"""--chat, info and compare-models, as a user meets them.

    test_cli_models.py TOOL           on the tiny models of tests/data
"""

import json
import os
import shutil
import tempfile

from cli import FOLDERS, TINY, WORK, check, expect_error, lines, run, run_tests

QWEN = os.path.join(FOLDERS, "qwen2")
OPENING, CLOSING = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"


def folder_with(**files):
    """The Qwen folder with other files; a dict becomes JSON on top of what is there."""
    to = os.path.join(tempfile.mkdtemp(dir=WORK), "qwen2")
    shutil.copytree(QWEN, to)
    for file, data in files.items():
        path = os.path.join(to, file)
        if isinstance(data, dict):
            data = json.dumps(json.load(open(path)) | data)
        with open(path, "w") as f:
            f.write(data)
    return to


def test_chat():
    if not os.path.isdir(FOLDERS):
        print("skipped: --chat (folders were not made)")
        return
    spec, text = "block 2 [:, :, 0-1]", "The end"
    drop = lambda out: [{k: v for k, v in r.items() if k != "run"} for r in lines(out)[1:]]
    by_hand = ("--bos", "off", "--prefix", OPENING, "--suffix", CLOSING)
    ids = lines(run("tokenize", OPENING, "--json", model=QWEN)[1])[1]["ids"]
    for args in (("score", spec, text), ("attribute", spec, text), ("scan", spec), ("corpus", spec),
                 ("effect", spec, text), ("dream", spec, "--budget", "300", "--tokens", "3", "--corpus", "off"),
                 ("recover", "block 1 [:, :, :]", text, "--steps", "3", "--restarts", "1"),
                 ("scan", "--depth", "1")):
        code, out, err = run(*args, "--chat", "--json", model=QWEN)
        check(code == 0, f"{args} --chat: {code} {err}")
        head = lines(out)[0]
        check(head["context"] == ids and head["settings"]["chat"] == "ChatML", f"{args[0]} --chat: {head}")
        code, same, err = run(*args, *by_hand, "--json", model=QWEN)
        times = lambda rows: [{k: v for k, v in r.items() if k != "seconds"} for r in rows]
        check(times(drop(out)) == times(drop(same)), f"{args[0]}: --chat is the turn written out")
        check(lines(same)[0]["settings"]["chat"] is None, f"{args[0]}: no chat")
    code, out, err = run("score", spec, text, "--chat", model=QWEN)
    check(code == 0 and f"in a user's turn (ChatML) · after '<|im_start|>user\\n'" in out, f"the title: {out}")
    inside = ("--prefix", "Say ", "--suffix", "!")
    code, out, err = run("score", spec, text, "--chat", *inside, "--json", model=QWEN)
    same = run("score", spec, text, "--bos", "off", "--prefix", OPENING + "Say ", "--suffix", "!" + CLOSING, "--json", model=QWEN)[1]
    check(drop(out) == drop(same), "--prefix and --suffix stand inside the turn")
    begins = [lines(run("score", spec, text, "--chat", "--bos", b, "--json", model=QWEN)[1])[0]["context"] for b in ("auto", "on", "off")]
    check(begins[0] == begins[2] == ids and begins[1] == [0, *ids], f"--bos beside --chat: {begins}")
    code, out, err = run("compare", "block 1 [:, :, 0]", "--methods", "greedy", "--seeds", "1", "--chat", "--json", model=QWEN)
    check(code == 0 and lines(out)[0]["context"] == ids, f"compare --chat: {err}")
    jinja = folder_with(**{"chat_template.jinja": "{{ bos_token }}<start_of_turn>"})
    head = lines(run("score", spec, text, "--chat", "--json", model=jinja)[1])[0]
    check(head["settings"]["chat"] == "Gemma" and head["context"][0] == 0, f"chat_template.jinja counts: {head}")
    expect_error(1, "has no chat template .tokenizer.chat_template.: is it a base model", "score", spec, text, "--chat")
    other = folder_with(**{"tokenizer_config.json": {"chat_template": "{{ '<|User|>' }}"}})
    expect_error(1, "of no format that is known .ChatML, Llama 3, ", "dream", spec, "--chat", model=other)


def test_info():
    """What it says of the families' tiny models is what their config.json says."""
    for name in sorted(f[:-5] for f in os.listdir("tests/data/families") if f.endswith(".json")):
        c = json.load(open(f"tests/data/families/{name}.json"))
        code, out, err = run("info", "--json", model=f"tests/data/families/{name}.gguf")
        check(code == 0 and len(lines(out)) == 2, f"{name}: {err}")
        i = lines(out)[1]
        heads = c.get("num_attention_heads", c.get("n_head"))
        kv = c.get("num_key_value_heads", heads)
        check((i["heads"], i["kv_heads"]) == (heads, kv), f"{name}: heads")
        rope = c.get("rope_parameters") or {}
        rope = rope.get("full_attention", rope)
        if c["model_type"] == "gpt2":
            check(i["rope"] is None and i["learned_positions"], f"{name}: positions")
        else:
            part = rope.get("partial_rotary_factor", c.get("partial_rotary_factor", c.get("rotary_pct", 1)))
            check(i["rope"]["dims"] == int(i["head_width"] * part), f"{name}: {i['rope']}")
            check(abs(i["rope"]["base"] / rope["rope_theta"] - 1) < 1e-6, f"{name}: base {i['rope']}")
            kind = {"default": "none", "proportional": "none"}.get(rope["rope_type"], rope["rope_type"])
            check(i["rope"]["scaling"] == kind, f"{name}: scaling {i['rope']}")
            check(i["rope"]["pairs"] == ("neighbours" if i["family"] == "llama" else "halves"), f"{name}: pairs")
            if kind == "yarn":
                check(i["rope"]["factor"] == rope["factor"], f"{name}: factor")
        windowed = c.get("layer_types", []).count("sliding_attention")
        if "layer_types" in c:
            check(i["attention"]["windowed_blocks"] == windowed, f"{name}: {i['attention']}")
            check(i["attention"]["window"] == (c["sliding_window"] if windowed else 0), f"{name}: {i['attention']}")
        for key, value in (("attn_logit_softcapping", i["attention"]["soft_cap"]), ("final_logit_softcapping", i["logit_cap"])):
            check(c.get(key) == value, f"{name}: {key} {value}")
        eps = next(c[k] for k in ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon") if k in c)
        check(abs(i["norm"]["eps"] / eps - 1) < 1e-6, f"{name}: eps {i['norm']}")
        check(i["norm"]["kind"] == ("rms" if "rms_norm_eps" in c else "layer"), f"{name}: norm")
        check(i["norm"]["before"] == (name != "olmo2"), f"{name}: norms before")
        check(i["norm"]["after"] == (name in ("olmo2", "gemma2", "gemma3")), f"{name}: norms after")
        check(i["mlp"]["parallel"] == (name in ("gptneox", "phi2", "stablelm_parallel")), f"{name}: {i['mlp']}")
        check(i["mlp"]["activation"].startswith("gelu") == (i["family"][:3] in ("gem", "gpt", "phi") and i["family"] != "phi3"),
              f"{name}: {i['mlp']}")
        check(i["tied"] == c["tie_word_embeddings"], f"{name}: tied")
        check(sum(t["bytes"] for t in i["types"]) == sum(t["bytes"] for t in i["tensors"]), f"{name}: bytes by type")
        check({t["type"]: t["tensors"] for t in i["types"]} ==
              {k: [t["type"] for t in i["tensors"]].count(k) for k in {t["type"] for t in i["tensors"]}}, f"{name}: types")
        check(sum(t["weights"] for t in i["types"]) == i["parameters"], f"{name}: weights by type")
        code, table, err = run("info", model=f"tests/data/families/{name}.gguf")
        check(code == 0 and err == "" and len(table.splitlines()) >= 12, f"{name}: table {err}")
    i = lines(run("info", "--json")[1])[1]
    end = {"id": i["tokenizer"]["end_of_text"], "token": "<|endoftext|>", "kind": "control"}
    check(i["tokenizer"]["special"] == [end] and end["id"] is not None, f"special tokens {i['tokenizer']}")
    check(i["chat"] is None, "no chat template")
    code, out, err = run("info", "--tensors")
    check(code == 0 and len(out.splitlines()) == 1 + len(i["tensors"]) + len(run("info")[1].splitlines()), "--tensors lists all")
    for t in i["tensors"]:
        check(f"{t['name']} " in out and f" {t['bytes']} bytes" in out, f"--tensors: {t['name']}")
    check("untrained" in run("info", "--untrained")[1], "info of an untrained model")
    if os.path.isdir(FOLDERS):
        i = lines(run("info", "--json", model=QWEN)[1])[1]
        check(i["chat"]["format"] == "ChatML" and "<|im_start|>" in i["chat"]["template"], f"chat: {i['chat']}")
        check("chat        ChatML" in run("info", model=QWEN)[1], "the table names the chat format")
        other = folder_with(**{"chat_template.jinja": "{{ x }}"})
        check(lines(run("info", "--json", model=other)[1])[1]["chat"]["format"] is None, "a format that is not known")
        check("of no format that is known" in run("info", model=other)[1], "… in the table")


def places(values):
    """1 for the lowest; equal values share their places."""
    order = sorted(values)
    return [(order.index(v) + 1 + len(order) - order[::-1].index(v)) / 2 for v in values]


def spearman(a, b):
    a, b = places(a), places(b)
    x, y = sum(a) / len(a), sum(b) / len(b)
    top = sum((p - x) * (q - y) for p, q in zip(a, b))
    return top / (sum((p - x) ** 2 for p in a) * sum((q - y) ** 2 for q in b)) ** 0.5


def of(rows, kind):
    return [r for r in rows if r["type"] == kind]


def all_corpus(model, block, *more):
    rows = lines(run("corpus", "--depth", str(block), "--json", "-q", *more, model=model)[1])
    return [r for r in rows if r.get("feature", "").startswith(f"block {block} ")]


def test_compare_models():
    """Each figure again from what scan, score and corpus say of each model."""
    a, b = TINY, "untrained:" + TINY
    specs = ("block 1 [:, :, 3]", "block 2 [:, :, 7-8]", "block 2 neuron [:, :, 5]")
    for sign in ("+", "-"):
        args = ("compare-models", a, b, *specs, "--json", "--budget", "400", "--tokens", "4", "--top", "7", "--sign", sign)
        code, out, err = run(*args, model=None)
        rows = lines(out)
        check(code == 0 and err == "" and [r["type"] for r in rows[:2]] == ["run", "run"], f"compare-models: {code} {err}")
        check(rows[0]["model"].get("untrained") is None and rows[1]["model"]["untrained"], "the first run line is A's")
        check(all((r["run"], r["other_run"]) == (rows[0]["id"], rows[1]["id"]) for r in rows[2:]), "both runs are named")
        scans, ranks = of(rows, "scan_agreement"), []
        for r in scans:
            tops = [lines(run("scan", r["feature"], "--json", "--top", "300", model=m)[1])[1] for m in (a, b)]
            values = [{t["id"]: t["activation"] for t in top["top"]} for top in tops]
            ids = sorted(values[0])
            ranks.append(spearman([values[0][i] for i in ids], [values[1][i] for i in ids]))
            check(abs(r["ranks"] - ranks[-1]) < 1e-6, f"{r['feature']}: ranks {r['ranks']} {ranks[-1]}")
            lists = [[t["id"] for t in top["bottom" if sign == "-" else "top"]][:7] for top in tops]
            check(r["top_common"] == len(set(lists[0]) & set(lists[1])), f"{r['feature']}: common")
            check([r["best"][m]["id"] for m in "ab"] == [lists[0][0], lists[1][0]], f"{r['feature']}: best")
        (s,) = of(rows, "scan_summary")
        check(s["features"] == len(scans) == 4 and abs(s["ranks"]["value"] - sum(ranks) / 4) < 1e-6, f"scan summary {s}")
        answers = of(rows, "answer_agreement")
        for r in answers:
            for x, other in (("a", "b"), ("b", "a")):
                for m, model in (("a", a), ("b", b)):
                    code, out, _ = run("score", "--json", "--sign", sign, "-m", model, "--", r["feature"], r[x]["text"], model=None)
                    check(abs(lines(out)[1]["activation"] - r[x]["activation"][m]) < 1e-5, f"{r['feature']}: {x} in {m}")
                v, w = r[x]["activation"][other], r[other]["activation"][other]
                zv, zw = r[x]["z"][other], r[other]["z"][other]
                if abs(zv - zw) > 1e-3:  # z = (v - mean)/sd of random texts there: two of them give the mean
                    mean = v - zv * (v - w) / (zv - zw)
                    check(abs(r[x]["share"] - (v - mean) / (w - mean)) < 1e-3 * (1 + abs(r[x]["share"])), f"{r['feature']}: share")
        (s,) = of(rows, "answer_summary")
        for x in "ab":
            check(abs(s[x]["ranks"]["value"] - spearman(*[[r[x]["z"][m] for r in answers] for m in "ab"])) < 1e-6, "texts' ranks")
            check(abs(s[x]["share"]["value"] - sum(r[x]["share"] for r in answers) / 4) < 1e-6, "mean share")
        (one, two, neurons) = of(rows, "corpus_agreement")
        check((one["block"], two["block"], neurons["place"]) == (1, 2, "neuron"), "a line for each place")
        for r in (one, two):
            both = [all_corpus(m, r["block"]) for m in (a, b)]
            key, places_of = ("min", "worst") if sign == "-" else ("max", "best")
            check(abs(r["ranks"]["value"] - spearman(*[[x[key] for x in rows] for rows in both])) < 1e-6, "corpus ranks")
            same = sum(x[places_of][0]["ids"] == y[places_of][0]["ids"] for x, y in zip(*both)) / r["components"]
            check(abs(r["same_window"] - same) < 1e-9, f"same window {r['same_window']} {same}")
        code, again, _ = run(*args, model=None)
        check(lines(again) == rows, "the same command twice")
    code, out, err = run("compare-models", a, a, "--sample", "4", "--budget", "300", model=None)
    check(code == 0 and "ranks 1.0000" in out and "4 of 4 answers the same" in out and "same window 100 %" in out, f"with itself: {out} {err}")
    code, out, err = run("compare-models", b, "--sample", "5", "--budget", "0", "--corpus", "off", "--json", model=a)
    names = [r["feature"] for r in of(lines(out), "scan_agreement")]
    check(code == 0 and len(names) == 5 and len(set(names)) == 5 and not of(lines(out), "answer_summary"), f"-m A, B: {names} {err}")
    check({n.split(" [")[0] for n in names} == {"block 1", "block 2"}, f"a sample spread over blocks {names}")
    other = os.path.abspath("tests/data/llama_a.gguf")
    expect_error(2, "different shapes: blocks 2 and 3, width 60 and 64, heads 5 and 4", "compare-models", a, other, model=None)
    expect_error(2, "family gemma and qwen2", "compare-models", "tests/data/families/gemma.gguf", "tests/data/families/qwen2.gguf", model=None)
    expect_error(2, "expected two models", "compare-models", a, model=None)
    expect_error(2, "expected two models", "compare-models", specs[0], model=None)
    expect_error(2, "three: two models are compared", "compare-models", a, a, "three", model=None)
    expect_error(2, "block 9: this model has blocks 1 to 2", "compare-models", a, b, "block 9 [:, :, 1]", model=None)
    expect_error(1, "nowhere.gguf: No such file", "compare-models", a, "nowhere.gguf", model=None)
    if os.path.isdir(FOLDERS):
        vocabulary = json.load(open(os.path.join(QWEN, "tokenizer.json")))
        model = vocabulary["model"]
        x, y = list(model["vocab"])[40:42]
        model["vocab"][x], model["vocab"][y] = model["vocab"][y], model["vocab"][x]
        swapped = folder_with(**{"tokenizer.json": json.dumps(vocabulary)})
        expect_error(2, "different vocabularies: token 40 is", "compare-models", QWEN, swapped, model=None)


run_tests(test_chat, test_info, test_compare_models)
