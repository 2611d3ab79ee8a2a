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


run_tests(test_chat, test_info)
