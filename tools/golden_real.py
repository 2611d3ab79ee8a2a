"""Make tests/data/real_smollm.jsonl: activations, gradients and descent curves of the default model.

    golden_real.py [MODEL.gguf] [--out FILE]

PyTorch float32 (transformers' LlamaForCausalLM, eager attention) on the weights as the gguf package
dequantises them; before anything is computed they are compared bit for bit with transformers' own
GGUF loader. Takes about fifteen minutes, most of them for float64: see "curve".

One JSON object per line. The first:

    {"type":"header","model":{"file","sha256"},"torch":…,"transformers":…,"gguf":…,"numpy":…,"blocks":[…],
     "target":100,"eta":[1,0.1],"steps":100,"points":8}

then one per text, context and block:

    {"type":"row","n":3,"language":"zh","text":…,"ids":[T],"context":[0] or [],"block":8,
     "features":[F],"values":[F][T],"grad_norm":[F][T],"grad_x_input":[F][T],"curve":[F][≤ points],
     "noise":{"values":…,"grad_norm":…,"grad_x_input":…,"curve":…}}

values       the feature "block N [:, :, f]" at each token of the text (context left out)
grad_norm, grad_x_input   per token, gradient of the MEAN of values with respect to the embedding:
             Euclidean norm, and gradient x embedding summed over components
curve        mean of values before each of the first steps of e <- e - eta_n grad sum |c - O|, from
             the text's own embedding; eta_n = 1 + (0.1 - 1) n / steps; context is not moved
noise        largest relative difference of a row from the same in float64, PyTorch against PyTorch

and at last how the file's chat template is tokenised, by transformers:

    {"type":"chat","text":…,"ids":[the whole prompt for one message of a user]}

Compare each row (one feature's T values, norms, …; one curve) to 1e-3 of its largest absolute value.
A curve ends before the first point that float32 does not repeat (oracle.stable); it is never empty.
"""

import argparse
import json
import os
import sys

import numpy as np
import torch
import transformers

import oracle
from oracle import Feature, Tap

BLOCKS = (1, 8, 17, 30)
FIXED = (0, 5, 100, 333, 575)
RANDOM = 3
STEPS, POINTS, TARGET = 100, 8, 100.0

TEXTS = (
    ("en", "The sky is blue because sunlight scatters in the air."),
    ("de", "Über den Wolken muß die Freiheit grenzenlos sein."),
    ("zh", "今天天气很好，我们去公园。"),
    ("ar", "السلام عليكم يا صديقي"),
    ("ru", "Мороз и солнце; день чудесный!"),
    ("ja", "猫が好きです。犬も好き。"),
    ("code", "for (int i = 0; i < 10; i++) {\n\tsum += a[i];\n}"),
    ("emoji", "I ❤\ufe0f pizza 🍕 & 👩\u200d🚀🚀!"),
)
WITHOUT_CONTEXT = ("en", "ru")


def verify_loaders(path, model):
    theirs = transformers.LlamaForCausalLM.from_pretrained(
        os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32
    )
    ours, theirs = model.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for name, w in ours.items():
        assert torch.equal(w, theirs[name]), f"{name}: transformers' loader gives other weights"
    print(f"{len(ours)} tensors: the same bits as transformers' own loader gives", file=sys.stderr)


def features_of(block, width):
    rng = np.random.default_rng(1000 + block)
    free = [i for i in range(width) if i not in FIXED]
    return sorted(FIXED + tuple(int(i) for i in rng.choice(free, RANDOM, replace=False)))


def figures(model, block, features, ids, context):
    """name -> (F, …) float64 arrays"""
    fs = [Feature(Tap("block", block), f, f + 1) for f in features]
    E = oracle.embed(model, ids)
    values, _, norm, product = oracle.attribute(model, fs, E, context)
    curve = oracle.descend(model, fs, E, context, STEPS, POINTS, c=TARGET)
    out = {"values": values, "grad_norm": norm, "grad_x_input": product, "curve": curve}
    return {name: x.double().numpy() for name, x in out.items()}


def digits(x):
    return [float(f"{v:.7g}") for v in x]


def row(model, model64, block, ids, context):
    features = features_of(block, model.config.hidden_size)
    x = figures(model, block, features, ids, context)
    exact = figures(model64, block, features, ids, context)
    noise = {name: oracle.difference(x[name], exact[name]) for name in x}
    stable = oracle.stable(x["curve"], exact["curve"])
    out = {"block": block, "features": features}
    for name in ("values", "grad_norm", "grad_x_input"):
        out[name] = [digits(r) for r in x[name]]
    out["curve"] = [digits(r[:n]) for r, n in zip(x["curve"], stable)]
    noise["curve"] = np.concatenate([d[:n] for d, n in zip(noise["curve"], stable)])
    out["noise"] = {name: float(f"{d.max():.1e}") for name, d in noise.items()}
    return out


def rows(path, model, model64):
    g = oracle.Gguf(path)
    tokenizer, context = oracle.tokenizer_of(g), oracle.end_of_text(g)
    jobs = [(n, [context]) for n in range(len(TEXTS))]
    jobs += [(n, []) for n, (language, _) in enumerate(TEXTS) if language in WITHOUT_CONTEXT]
    for n, front in jobs:
        language, text = TEXTS[n]
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text
        for block in BLOCKS:
            head = {"type": "row", "n": n, "language": language, "text": text, "ids": ids, "context": front}
            yield head | row(model, model64, block, ids, front)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=oracle.DEFAULT_MODEL)
    parser.add_argument("--out", default="tests/data/real_smollm.jsonl")
    args = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    model = oracle.load(args.model)
    verify_loaders(args.model, model)
    model64 = oracle.load(args.model, torch.float64)
    header = {
        "type": "header",
        "model": {"file": os.path.basename(args.model), "sha256": oracle.Gguf(args.model).sha256()},
        **oracle.versions(),
        "blocks": BLOCKS,
        "target": TARGET,
        "eta": [1.0, 0.1],
        "steps": STEPS,
        "points": POINTS,
    }
    lines = [json.dumps(header, separators=(",", ":"))]
    for r in rows(args.model, model, model64):
        lines.append(json.dumps(r, ensure_ascii=False, separators=(",", ":")))
        kept = [len(c) for c in r["curve"]]
        print(r["language"], len(r["ids"]), r["context"], r["block"], r["noise"], kept, file=sys.stderr)
    g = oracle.Gguf(args.model)
    for r in oracle.chat_rows(g, oracle.tokenizer_of(g)):
        lines.append(json.dumps(r, ensure_ascii=False, separators=(",", ":")))
    with open(args.out, "w", encoding="utf-8") as f:  # at the end: no half file among the goldens
        f.write("\n".join(lines) + "\n")
    print(f"{args.out}: {os.path.getsize(args.out)} bytes")


if __name__ == "__main__":
    main()
