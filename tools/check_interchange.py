#!/usr/bin/env python3
"""check_interchange.py: what phosphene says of a place against TransformerLens and SAELens.

    tools/check_interchange.py lens FOLDER…        Hugging Face folders of tiny models, build/release/tests/folders/*
    tools/check_interchange.py sae MODEL SAE…      SAELens's folders on a model, tests/data/llama_c.gguf tests/data/sae/*

Needs phosphene for Python (PYTHONPATH=build/release/python, PHOSPHENE_LIBRARY=build/release/src/libphosphene.so)
and in the same environment transformer-lens, or sae-lens, which at the time ask for different versions of the
former. Exit status 1 if anything differs by more than float32 rounding of sums as long as these.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch

import phosphene

IDS = [5, 6, 7, 8, 9]
PLACES = ("hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "mlp.hook_post")
TOLERANCE = 1e-5  # of the largest value: float32, sums of some hundred terms; found were 1e-6


def compare(what, ours, theirs):
    if ours.shape != theirs.shape:
        print(f"{what}: shape {ours.shape}, {theirs.shape}")
        return False
    worst = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)
    fine = bool(worst <= TOLERANCE)
    print(f"{what}: {'equal to' if fine else 'DIFFERS by'} {worst:.1e} of the largest value")
    return fine


def lens(folders):
    from transformer_lens.model_bridge import TransformerBridge

    results = []
    for folder in folders:
        if not (Path(folder) / "config.json").exists():
            continue
        model = phosphene.Model(folder, cache=False)
        with torch.no_grad():
            bridge = TransformerBridge.boot_transformers(folder, dtype=torch.float32)
            logits, cache = bridge.run_with_cache(torch.tensor([IDS]))
        names = ["hook_embed"] + [f"blocks.{block}.{place}" for block in range(model.info.blocks) for place in PLACES]
        names.remove("blocks.0.hook_resid_pre")  # with learned positions there, docs/INTERCHANGE.md
        for name in (n for n in names if n in cache.keys()):
            ours = model.activations(IDS, name, bos="off")
            results.append(compare(f"{Path(folder).name} {name}", ours, cache[name][0].numpy()))
        results.append(compare(f"{Path(folder).name} logits", model.activations(IDS, "logits", bos="off"), logits[0].numpy()))
    return results


def sae(path, folders):
    from sae_lens import SAE

    model, results = phosphene.Model(path, cache=False), []
    for folder in folders:
        if not (Path(folder) / "sae_weights.safetensors").exists():
            continue
        try:
            own = SAE.load_from_disk(folder, device="cpu", dtype="float32")
        except KeyError as architecture:
            print(f"{folder}: SAELens itself does not load {architecture}")
            continue
        scale = json.loads((Path(folder) / "cfg.json").read_text()).get("norm_scaling_factor")
        if scale is not None:  # as SAELens does with a release that comes with one
            own.fold_activation_norm_scaling_factor(scale)
        X = torch.tensor(model.activations(IDS, own.cfg.metadata.hook_name, bos="off"))
        with torch.no_grad():
            latents = own.encode(X[None])[0].numpy()
        specs = [f'sae:"{folder}" [:, :, {i}]' for i in range(latents.shape[1])]
        ours = [score.post_values for score in model.score(specs, IDS, bos="off")]
        results.append(compare(f"{folder}", np.array(ours).T, latents))
    return results


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("lens", "sae"):
        raise SystemExit(__doc__.strip())
    found = lens(sys.argv[2:]) if sys.argv[1] == "lens" else sae(sys.argv[2], sys.argv[3:])
    print(f"{len(found)} compared, {found.count(False)} differ")
    sys.exit(1 if not found or False in found else 0)
