"""Model files as the tool meets them: hostile ones, folders, older forms, and Hugging Face's cache.

    test_cli_files.py TOOL     on the tiny models of tests/data
"""

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile

from cli import FOLDERS, SANITIZED, TINY, TOOL, WORK, check, expect_error, lines, run, run_tests


def hostile(name, data, status, pattern, command=("info",)):
    path = os.path.join(WORK, name)
    with open(path, "wb") as f:
        f.write(data)
    expect_error(status, pattern, *command, model=path)


def test_files():
    with open(TINY, "rb") as f:
        good = f.read()
    expect_error(1, "No such file", "info", model=os.path.join(WORK, "missing.gguf"))
    expect_error(1, "config.json: No such file", "info", model=WORK)
    hostile("empty.gguf", b"", 1, "the file is empty")
    hostile("text.gguf", b"hello, this is not a model\n" * 10, 1, "GGUF")
    parts = [f"tests/data/split/llama_c-0000{i}-of-00004.gguf" for i in range(1, 5)]
    whole = run("score", "block 2 [:, :, 1]", "abc", "--json", model="tests/data/llama_c.gguf")[1]
    for part in (parts[0], parts[2]):
        code, out, err = run("score", "block 2 [:, :, 1]", "abc", "--json", model=part)
        check(code == 0 and lines(out)[1]["values"] == lines(whole)[1]["values"], f"{part}: {err}")
        check(lines(out)[0]["model"]["sha256"] == hashlib.sha256(b"".join(open(p, "rb").read() for p in parts))
              .hexdigest(), f"{part}: sha256")
    alone = shutil.copy(parts[1], WORK)
    expect_error(1, "llama_c-00001-of-00004.gguf: part 1 of 4 is missing$", "info", model=alone)
    step = 1000 if len(good) < 200000 and not SANITIZED else 5000
    for n in range(1, len(good), step):
        hostile("cut.gguf", good[:n], 1, ".")
    rename = lambda old, new: good.replace(old, new)
    hostile("arch.gguf", rename(b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05\x00\x00\x00\x00\x00\x00\x00lemma"), 1,
            'architecture "lemma" is not supported yet')
    at = good.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 16
    for number, pattern in ((16, "blk.0.attn_q.weight.*not supported"), (999, "blk.0.attn_q.weight.*type 999")):
        hostile("type.gguf", good[:at] + number.to_bytes(4, "little") + good[at + 4:], 1, pattern)
    at = good.index(b"blk.0.attn_norm.weight") + len(b"blk.0.attn_norm.weight") + 4
    hostile("large.gguf", good[:at] + (1 << 40).to_bytes(8, "little") + good[at + 8:], 1, "blk.0.attn_norm.weight")
    nan = bytearray(good)
    nan[-4:] = b"\x00\x00\xc0\x7f"
    for i in range(len(nan) - 4096, len(nan), 2):
        nan[i:i + 2] = b"\x00\x7e"  # NaN in F16, and in F32 too
    hostile("nan.gguf", bytes(nan), 1, "NaN", ("scan", "logits [:, :, 1-3]", "block 2 [:, :, 1]", "--no-cache"))
    header = good.index(b"token_embd.weight")
    flips = range(0, min(header, 4000), 97 if not SANITIZED else 397)
    for i in flips:
        broken = bytearray(good)
        broken[i] ^= 0xFF
        path = os.path.join(WORK, "flip.gguf")
        with open(path, "wb") as f:
            f.write(bytes(broken))
        code, out, err = run("info", model=path)
        check(code in (0, 1) and "Sanitizer" not in err and (code == 0 or err.count("\n") == 1),
              f"byte {i} flipped: exit {code}: {err!r}")
    path = os.path.join(WORK, "secret.gguf")
    with open(path, "wb") as f:
        f.write(good)
    os.chmod(path, 0)
    os.chmod(WORK, 0o755)
    nobody = {"user": 65534} if os.geteuid() == 0 else {}
    try:
        p = subprocess.run([TOOL, "info", "-m", path], capture_output=True, timeout=60, **nobody)
        check(p.returncode == 1 and b"Permission denied" in p.stderr, f"no permission: {p.stderr!r}")
    except PermissionError:
        print("skipped: no permission (nobody may not run the tool here)")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            code, _, err = run("scan", "block 1 [:, :, 1]", stdout=full)
        check(code == 1 and "could not be written: No space left on device" in err, f"full disk: {code} {err!r}")


def copy_folder(name, change=None, **files):
    """A folder of the families with its config.json changed and files replaced (None: removed)."""
    to = os.path.join(tempfile.mkdtemp(dir=WORK), name)
    shutil.copytree(os.path.join(FOLDERS, name), to)
    config = json.load(open(os.path.join(to, "config.json")))
    if change is not None:
        config = {k: v for k, v in (config | change).items() if v != "remove"}
        json.dump(config, open(os.path.join(to, "config.json"), "w"))
    for file, data in files.items():
        os.remove(os.path.join(to, file)) if data is None else open(os.path.join(to, file), "wb").write(data)
    return to


def halved(name, kind):
    """A folder whose one file's F32 numbers lose their lower half, kept as F32 or as BF16."""
    to = copy_folder(name)
    path = os.path.join(to, "model.safetensors")
    data = open(path, "rb").read()
    (n,) = struct.unpack("<Q", data[:8])
    header, body, at = json.loads(data[8 : 8 + n]), b"", 0
    for t in (v for k, v in header.items() if k != "__metadata__"):
        begin, end = (8 + n + x for x in t["data_offsets"])
        upper = b"".join(data[i + 2 : i + 4] if kind == "BF16" else b"\0\0" + data[i + 2 : i + 4]
                         for i in range(begin, end, 4))
        t.update(dtype=kind, data_offsets=[at, at + len(upper)])
        body, at = body + upper, at + len(upper)
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)
    return to


def test_partial():
    """Of tensors that go together none may be missing: what is left would be ignored, or read where nothing is."""
    for name, tensors, pattern in (
            ("llama_bias", ["attn_q.bias", "attn_k.bias", "attn_v.bias"],
             "block 1: of the tensors attn_q.bias, attn_k.bias and attn_v.bias some are missing"),
            ("llama_bias", ["ffn_gate.bias", "ffn_up.bias"], "block 1: of the tensors ffn_gate.bias and ffn_up.bias some are missing"),
            ("stablelm_parallel", ["attn_q_norm.weight", "attn_k_norm.weight"],
             "block 1: of the tensors attn_q_norm.weight and attn_k_norm.weight some are missing")):
        with open(f"tests/data/families/{name}.gguf", "rb") as f:
            good = f.read()
        away = lambda data, tensor: data.replace(f"blk.1.{tensor}".encode(), f"blk.1.{tensor[:-1]}_".encode())
        for tensor in tensors:
            check(away(good, tensor) != good, f"{name} has {tensor}")
            hostile("partial.gguf", away(good, tensor), 1, pattern, ("score", "block 2 [:, :, 0]", "The sky"))
    without = away(away(good, "attn_q_norm.weight"), "attn_k_norm.weight")  # of the last family
    hostile("partial.gguf", without, 1, "blk.1.attn_q_norm.weight is missing, unlike in other blocks", ("score", "block 2 [:, :, 0]", "The sky"))


def test_bf16():
    """Copied norms, permuted heads and plain tensors in BF16 are the same numbers in F32."""
    if not os.path.isdir(FOLDERS):
        print("skipped: BF16 (folders were not made)")
        return
    for name in ("gemma2", "gptneox_series", "llama_llama3"):
        rows = [lines(run("score", "block 2 [:, :, 0-2]", "The end", "--json", model=halved(name, kind))[1])
                for kind in ("F32", "BF16")]
        check(rows[0][0]["model"]["quant"] == "F32" and rows[1][0]["model"]["quant"] == "BF16", f"{name}: types")
        check([r["activation"] for r in rows[0][1:]] == [r["activation"] for r in rows[1][1:]] and len(rows[0]) == 4,
              f"{name}: BF16 {rows}")


def test_folders():
    """A Hugging Face folder says what the GGUF of the same weights says; errors name what is wrong."""
    if not os.path.isdir(FOLDERS):
        print("skipped: folders (they were not made)")
        return
    for name in sorted(n for n in os.listdir(FOLDERS) if n != "made"):
        gguf, folder = os.path.abspath(f"tests/data/families/{name}.gguf"), os.path.join(FOLDERS, name)
        both = [run("score", "block 2 [:, :, 0-2]", "The end of it", "--json", model=m) for m in (gguf, folder)]
        check(both[0][0] == both[1][0] == 0, f"{name}: {both}")
        for a, b in zip(lines(both[0][1])[1:], lines(both[1][1])[1:], strict=True):
            check(a["ids"] == b["ids"], f"{name}: the same tokens")
            check(abs(a["activation"] - b["activation"]) <= 1e-4 * max(1, abs(a["activation"])), f"{name}: {a} {b}")
    folder = os.path.join(FOLDERS, "gemma")  # two files and an index
    row = lines(run("info", "--json", model=folder)[1])
    check(row[1]["name"] == "gemma" and row[1]["family"] == "gemma", f"info of a folder: {row}")
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)
               if f.endswith(".safetensors") or f == "config.json")
    check(row[1]["file_bytes"] == size, "all files count")
    sha = {row[0]["model"]["sha256"]}
    read = lines(run("tokenize", "a", "--json", model=folder)[1])[0]["model"]
    check(read["file"] == folder and read["sha256"] is None, f"tokenize reads no weights of a folder: {read}")
    shard = "model-00002-of-00002.safetensors"
    data = open(os.path.join(folder, shard), "rb").read()
    for other in (copy_folder("gemma", {"rms_norm_eps": 1e-4}),
                  copy_folder("gemma", **{"tokenizer_config.json": b"{}"}),
                  copy_folder("gemma", **{shard: data[:-1] + bytes([data[-1] ^ 1])})):
        sha.add(lines(run("info", "--json", model=other)[1])[0]["model"]["sha256"])
    check(len(sha) == 4, f"config and every file make the identity: {sha}")
    check("Gemma" not in run("info", model=folder + "/")[1] and run("info", model=folder + "/")[0] == 0, "gemma/")

    def wrong(pattern, *args, **more):
        expect_error(1, pattern, "info", model=copy_folder(*args, **more))

    wrong('model_type "bert" is not supported yet .supported: llama, mistral', "gemma", {"model_type": "bert"})
    wrong('config.json: "hidden_size" is missing', "gemma", {"hidden_size": "remove"})
    wrong('config.json: "hidden_size" is no integer', "gemma", {"hidden_size": "wide"})
    wrong('"hidden_size" is -3, expected', "gemma", {"hidden_size": -3})
    wrong('"quantization_config" is not supported yet', "gemma", {"quantization_config": {"bits": 4}})
    wrong('"hidden_activation" "relu" is not supported yet', "gemma", {"hidden_activation": "relu"})
    wrong('"scale_attn_by_inverse_layer_idx" true is not', "gpt2", {"scale_attn_by_inverse_layer_idx": True})
    wrong('rope scaling "alibi" is not supported yet', "mistral", {"rope_parameters": {"rope_type": "alibi"}})
    for order in ("ffs", "fff", "sss", "fsf", "sf", "sxs"):
        types = [{"f": "full_attention", "s": "sliding_attention"}.get(x, x) for x in order]
        wrong('order of "layer_types" is not supported', "gemma2", {"layer_types": types})
    sliding = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}}
    wrong('rope scaling of "sliding_attention" is not', "gemma3", {"rope_parameters": sliding})
    wrong("lm_head.weight is missing", "gemma", {"tie_word_embeddings": False})
    wrong("blk.2.attn_norm.weight is missing", "gemma", {"num_hidden_layers": 3})
    wrong("neither model.safetensors nor model.safetensors.index.json", "llama_yarn", **{"model.safetensors": None})
    wrong("model-00002-of-00002.safetensors: No such file", "gemma", **{shard: None})
    wrong("model-00002-of-00002.safetensors: tensor model.norm.weight: its data_offsets", "gemma", **{shard: data[:-4]})
    wrong("config.json: not JSON, line 1", "gemma", **{"config.json": b"{]"})
    wrong("is no file of this folder", "gemma",
          **{"model.safetensors.index.json": b'{"weight_map": {"a": "../b.safetensors"}}'})
    wrong("tensor a: model-00002-of-00002.safetensors does not hold it", "gemma", **{
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": shard}}).encode()})
    huge = b"\x00\xe1\xf5\x05\0\0\0\0{" + b" " * 100  # a header of 100,000,000 bytes
    wrong("the header has 100000000 bytes, the file 109", "llama_yarn", **{"model.safetensors": huge})
    bare = copy_folder("llama_yarn", **{"tokenizer.json": None})
    check(run("info", model=bare)[0] == 0, "no tokenizer.json: info")
    expect_error(1, "tokenizer.json", "tokenize", "a", model=bare)


def test_older():
    """A tokenizer.model, and vocab.json with merges.txt, by file and by folder."""
    for name, what, ids in (("llama", "", None), ("llama", "/tokenizer.model", None), ("gpt2", "", None), ("qwen2", "", None)):
        path = "tests/data/older/" + name + what
        code, out, err = run("tokenize", "--json", "The sky  is <b>", model=path)
        row = lines(out)[1] if code == 0 else {}
        text = "".join(row.get("tokens", []))
        check(text.removeprefix("<s>").removeprefix(" ") == "The sky  is <b>", f"{path}: {out} {err}")
        code, out, err = run("tokenize", "--json", "--ids", ",".join(map(str, row["ids"])), model=path)
        check(lines(out)[1]["text"].endswith("The sky  is <b>"), f"{path}: back: {out} {err}")
    place = tempfile.mkdtemp(dir=WORK)
    shutil.copy("tests/data/older/gpt2/vocab.json", place)
    expect_error(1, "no tokenizer.json is there, no tokenizer.model, nor vocab.json with merges.txt", "tokenize", "a", model=place)
    shutil.copy("tests/data/older/gpt2/merges.txt", place)
    expect_error(1, "nothing says how they cut a text", "tokenize", "a", model=place)
    with open(os.path.join(place, "tokenizer.model"), "wb") as f:
        f.write(b"\x0a\x08\x0a\x04<unk\x18\x02\x0a\x03\x0a\x01a")
    expect_error(1, "a SentencePiece model of Unigram is not supported yet, BPE is", "tokenize", "a", model=place)
    with open(os.path.join(place, "tokenizer.model"), "wb") as f:
        f.write(b"\x0a\xff\xff\xff\xff\x0f")
    expect_error(1, "tokenizer.model: byte 6: a field is longer than what is left", "tokenize", "a", model=place)


def test_cache():
    """-m ORG/NAME is found where Hugging Face's own tools keep it."""
    if not os.path.isdir(FOLDERS):
        print("skipped: the cache (folders were not made)")
        return
    home = tempfile.mkdtemp(dir=WORK)
    model = os.path.join(home, ".cache/huggingface/hub/models--Org--Tiny-1.5")
    os.makedirs(os.path.join(model, "refs"))
    os.makedirs(os.path.join(model, "snapshots/abc123"))
    blobs = os.path.join(FOLDERS, "qwen2")
    for file in os.listdir(blobs):  # the cache's are links as well
        os.symlink(os.path.join(blobs, file), os.path.join(model, "snapshots/abc123", file))
    shutil.copy(TINY, os.path.join(model, "snapshots/abc123/x.gguf"))
    with open(os.path.join(model, "refs/main"), "w") as f:
        f.write("abc123")
    hub = os.path.dirname(model)
    places = [{"HF_HUB_CACHE": hub}, {"HF_HOME": os.path.dirname(hub)},
              {"XDG_CACHE_HOME": os.path.join(home, ".cache")}, {"HOME": home, "XDG_CACHE_HOME": ""}]
    for env in places:
        env = {"HF_HUB_CACHE": "", "HF_HOME": ""} | env
        code, out, err = run("info", "--json", model="Org/Tiny-1.5", env=env)
        check(code == 0 and lines(out)[1]["name"] == "Org/Tiny-1.5", f"{env}: {code} {err}")
    env = {"HF_HUB_CACHE": hub, "HF_HOME": ""}
    check(lines(run("info", "--json", model="Org/Tiny-1.5:x.gguf", env=env)[1])[1]["width"] == 60, "ORG/NAME:FILE")
    check("Org/Tiny-1.5 F16" in run("score", "block 1 [:, :, 1]", "ab", model="Org/Tiny-1.5", env=env)[1], "the title")
    expect_error(1, re.escape(f"Org/Tony: no such file, nor a model in Hugging Face's cache (looked for {hub}/models--Org--Tony)"),
                 "info", model="Org/Tony", env=env)
    expect_error(1, r'Org/Tiny-1.5: no file is meant by "y.gguf"; there are x.gguf', "info", model="Org/Tiny-1.5:y.gguf", env=env)
    expect_error(1, "No such file", "info", model="Org/Tiny-1.5:../x", env=env)
    expect_error(1, "^phosphene info: nothing: No such file", "info", model="nothing", env=env)
    with open(os.path.join(model, "refs/main"), "w") as f:
        f.write("../../../etc")
    expect_error(1, "refs/main names no snapshot", "info", model="Org/Tiny-1.5", env=env)


run_tests(test_files, test_partial, test_folders, test_bf16, test_older, test_cache)
