"""Make tests/data/sae: tiny SAEs in SAELens's files with their latents in float64, and directions.

    golden_sae.py [--out FOLDER]    all of it; seeded: the same versions give the same bytes
    golden_sae.py --check           SAELens itself (package sae-lens) on the same folders

Each SAE is a folder with cfg.json and sae_weights.safetensors for model c (width 36), and beside them
inputs.npy (T,W), pre.npy and post.npy (T,S), float64. The formulas are written from SAELens's
definitions of encode() (version 6.54): see pre_and_post. direction*.npy, .safetensors and .gguf hold
rows of one array, `rows` below, in the formats that directions are read from.
"""

import argparse
import json
import os
import struct

import numpy as np

W, S, T, K = 36, 10, 5, 3
VECTORS = {"standard": ["b_enc"], "topk": ["b_enc"], "batchtopk": ["b_enc"], "jumprelu": ["b_enc", "threshold"],
           "gated": ["b_gate", "b_mag", "r_mag"]}


def v6(architecture, hook, **more):
    meta = {"hook_name": hook, "sae_lens_version": "6.54.12", "prepend_bos": more.pop("prepend_bos", True),
            "model_name": "golden c", "context_size": 64}
    return {"d_in": W, "d_sae": S, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
            "normalize_activations": "none", "reshape_activations": "none", "metadata": meta,
            "architecture": architecture, **more}


def old(**more):
    return {"d_in": W, "d_sae": S, "dtype": "float32", "device": "cpu", "model_name": "golden c",
            "activation_fn_str": "relu", "activation_fn_kwargs": {}, "hook_head_index": None,
            "normalize_activations": "none", **more}


POST = "blocks.0.hook_resid_post"
SAES = {
    "standard": v6("standard", POST),
    "old": old(hook_point="blocks.1.hook_resid_pre", apply_b_dec_to_input=False, prepend_bos=False),
    "topk": v6("topk", POST, k=K),
    "topk_norms": v6("topk", POST, k=K, rescale_acts_by_decoder_norm=True),
    "topk_old": old(hook_name=POST, architecture="standard", activation_fn_str="topk",
                    activation_fn_kwargs={"k": K}, apply_b_dec_to_input=True),
    "batchtopk": v6("batchtopk", POST, k=2.5, rescale_acts_by_decoder_norm=True),
    "jumprelu": v6("jumprelu", "blocks.0.hook_mlp_out", dtype="bfloat16"),
    "gated": v6("gated", POST),
    "layer_norm": v6("jumprelu", POST, normalize_activations="layer_norm", dtype="float16"),
    "constant_norm": v6("standard", "blocks.0.hook_attn_out", normalize_activations="constant_norm_rescale"),
    "scaled": v6("standard", POST, normalize_activations="expected_average_only_in", norm_scaling_factor=0.37),
}


def architecture(cfg):
    return "topk" if cfg.get("activation_fn_str") == "topk" else cfg.get("architecture", "standard")


# ---- files ----

def encode(array, dtype):
    if dtype == "float16":
        return "F16", array.astype("<f2").tobytes()
    if dtype == "bfloat16":
        return "BF16", (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return "F32", array.astype("<f4").tobytes()


def stored(array, dtype):
    """What a reader gets back."""
    if dtype == "float16":
        return array.astype("<f2").astype(np.float64)
    if dtype == "bfloat16":
        return (array.astype("<f4").view("<u4") & 0xFFFF0000).view("<f4").astype(np.float64)
    return array.astype("<f4").astype(np.float64)


def write_safetensors(path, tensors, dtype="float32"):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        kind, raw = encode(array, dtype)
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def write_control_vector(path, rows):
    """A GGUF of llama.cpp's control vectors, whose direction.N is added behind layer N, counted from 0."""
    import gguf
    w = gguf.GGUFWriter(path, "controlvector")
    w.add_string("controlvector.model_hint", "llama")
    w.add_uint32("controlvector.layer_count", 1)
    for i, row in enumerate(rows):
        w.add_tensor(f"direction.{i + 1}", row.astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- the formulas ----

def normalise(x, cfg):
    kind = cfg["normalize_activations"]
    if kind == "layer_norm":
        x = x - x.mean(-1, keepdims=True)
        return x / (x.std(-1, ddof=1, keepdims=True) + 1e-5)
    if kind == "constant_norm_rescale":
        return x * (W ** 0.5 / np.linalg.norm(x, axis=-1, keepdims=True))
    return x * cfg.get("norm_scaling_factor", 1)


def pre_and_post(x, w, cfg):
    kind = architecture(cfg)
    x = normalise(x, cfg) - (w["b_dec"] if cfg["apply_b_dec_to_input"] else 0)
    if kind == "gated":
        gate = x @ w["W_enc"] + w["b_gate"] > 0
        pre = x @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"]
        return pre, gate * np.maximum(pre, 0)
    pre = x @ w["W_enc"] + w["b_enc"]
    if cfg.get("rescale_acts_by_decoder_norm"):
        pre = pre * np.linalg.norm(w["W_dec"], axis=-1)
    post = np.maximum(pre, 0)
    if kind == "topk":
        kept = np.argsort(-pre, axis=-1, kind="stable")[:, :K]
        mask = np.zeros_like(pre, bool)
        np.put_along_axis(mask, kept, True, -1)
        post = post * mask
    if kind in ("jumprelu", "batchtopk"):
        post = post * (pre > w["threshold" if kind == "jumprelu" else "topk_threshold"])
    return pre, post


def make_weights(rng, kind):
    w = {"W_enc": rng.normal(0, 0.3, (W, S)), "W_dec": rng.normal(0, 0.3, (S, W)), "b_dec": rng.normal(0, 0.2, W)}
    for name in VECTORS[kind]:
        w[name] = rng.normal(0, 0.3, S)
    if kind == "jumprelu":
        w["threshold"] = np.abs(w["threshold"]) + 0.5
    if kind == "batchtopk":
        w["topk_threshold"] = np.array(0.8)
    return w


def make(out):
    rng = np.random.default_rng(5)
    for name, cfg in SAES.items():
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        w = make_weights(rng, architecture(cfg))
        x = rng.normal(0, 1, (T, W))
        with open(os.path.join(folder, "cfg.json"), "w", encoding="utf-8") as f:
            json.dump(cfg, f, indent=1)
            f.write("\n")
        write_safetensors(os.path.join(folder, "sae_weights.safetensors"), w, cfg["dtype"])
        pre, post = pre_and_post(x, {k: stored(v, cfg["dtype"]) for k, v in w.items()}, cfg)
        silenced = (pre > 0) & (post == 0)
        assert (post > 0).any() and (architecture(cfg) == "standard" or silenced.any()), name
        for file, array in (("inputs", x), ("pre", pre), ("post", post)):
            np.save(os.path.join(folder, file + ".npy"), array.astype("<f8"))
    rows = rng.normal(0, 1, (3, W)).astype("<f4")
    np.save(os.path.join(out, "direction.npy"), rows[0])
    np.save(os.path.join(out, "directions.npy"), rows.astype("<f8"))
    np.save(os.path.join(out, "directions_half.npy"), rows.astype("<f2"))
    write_safetensors(os.path.join(out, "direction.safetensors"), {"probe": rows[0]})
    write_safetensors(os.path.join(out, "directions.safetensors"),
                      {"direction.0": rows[0], "direction.1": rows[1], "blocks.1.hook_mlp_out": rows[2], "a/b": rows})
    write_control_vector(os.path.join(out, "directions.gguf"), rows[:1])


def check(out):
    """The library's own classes; hooks and their packages are not needed for encode()."""
    import torch
    from sae_lens import SAE
    for name, cfg in SAES.items():
        if architecture(cfg) == "batchtopk" or name == "scaled":
            continue  # SAELens encodes neither from such a file
        folder = os.path.join(out, name)
        sae = SAE.load_from_disk(folder, dtype="float64")
        x, post = (np.load(os.path.join(folder, f + ".npy")) for f in ("inputs", "post"))
        got = sae.encode(torch.tensor(x)).detach().numpy()
        print(f"{name:14} largest difference {abs(got - post).max():.2e}")
        assert abs(got - post).max() < 1e-6


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="tests/data/sae")
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    check(a.out) if a.check else make(a.out)


if __name__ == "__main__":
    main()
