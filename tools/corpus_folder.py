"""Make fuzz/corpus/folder: the families' folders with smaller sizes, and folders that are wrong.

    corpus_folder.py FOLDERS OUT      FOLDERS as made by folder_families.py; standard library only

The format is that of fuzz_folder.c.
"""

import json
import os
import struct
import sys

# sizes of the tiny models to smaller ones that keep their proportions
LESS = {260: 5, 36: 12, 48: 12, 12: 4, 16: 4, 40: 4, 80: 8, 108: 36, 60: 20, 64: 8, 32: 4, 3: 3}
KEYS = ("hidden_size n_embd intermediate_size n_inner head_dim vocab_size max_position_embeddings n_positions "
        "original_max_position_embeddings").split()  # fmt: skip


def less(config):
    """The configuration with smaller sizes."""
    out = {}
    for key, value in config.items():
        if isinstance(value, dict):
            value = less(value)
        elif key in KEYS and value:
            value = LESS.get(value, value)
        elif key in ("short_factor", "long_factor"):
            value = value[:2]
        out[key] = value
    return out


def shapes(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
    return {name: (t["dtype"], t["shape"]) for name, t in header.items() if name != "__metadata__"}


def safetensors(tensors):
    header, at = {}, 0
    for name, (kind, shape) in tensors.items():
        shape = [LESS[size] for size in shape]
        n = {"F32": 4, "F16": 2}[kind]
        for size in shape:
            n *= size
        header[name] = dict(dtype=kind, shape=shape, data_offsets=[at, at + n])
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def entry(config, index, first, rest=b""):
    text = [x if isinstance(x, bytes) else json.dumps(x, separators=(",", ":")).encode() for x in (config, index)]
    return text[0] + b"\0" + text[1] + b"\0" + struct.pack("<I", len(first)) + first + rest


def family(folder):
    with open(os.path.join(folder, "config.json")) as f:
        config = less(json.load(f))
    path = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(path):
        return entry(config, b"", safetensors(shapes(os.path.join(folder, "model.safetensors"))))
    with open(path) as f:
        index = json.load(f)
    files = sorted(set(index["weight_map"].values()))
    return entry(config, index, *(safetensors(shapes(os.path.join(folder, f))) for f in files))


def wrong():
    yield "no_type", entry({}, b"", b"")
    yield "bert", entry({"model_type": "bert\n"}, b"", b"")
    yield "escape", entry({"model_type": "llama"}, {"weight_map": {"a": "../../etc/passwd"}}, b"")
    yield "huge", entry({"model_type": "llama", "hidden_size": 1 << 62}, b"", safetensors({}))
    yield "header", entry({"model_type": "gpt2"}, b"", struct.pack("<Q", 90000000) + b"{\"a\":")
    yield "vision", entry({"model_type": "gemma3", "text_config": {"hidden_size": 4}}, b"", safetensors({}))


def main():
    folders, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    names = sorted(n for n in os.listdir(folders) if os.path.isdir(os.path.join(folders, n)))
    for name, data in [(n, family(os.path.join(folders, n))) for n in names] + list(wrong()):
        with open(os.path.join(out, name), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
