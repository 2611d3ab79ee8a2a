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


run_tests(test_chat)
