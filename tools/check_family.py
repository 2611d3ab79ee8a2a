"""Check a real model file of Qwen 2 or Gemma 3 against transformers, in float64, by ids.

    check_family.py FILE.gguf TEST_GOLDEN [--ids N,N,… …]

The file's tensors, dequantised by the gguf package, are put into transformers' own model, which is run
in float64 all through. What it computes is written as a golden beside a link to the file, and TEST_GOLDEN
(tests/test_golden of a build) compares: the output of every block, gradients, final logits.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers
from golden import write_golden
from golden_families import MODELS, Oracle, exact, rope
from oracle import OBJECTIVES, Feature, Gguf, Tap

TEXTS = ["464,6766,318,4171,11,13", "1212,318,257,1332"]


def config_of(g):
    family = g.meta["general.architecture"]

    def key(name, default=None):
        return g.meta.get(f"{family}.{name}", default)

    heads = key("attention.head_count")
    common = dict(
        vocab_size=g.tensor("token_embd.weight").shape[0], hidden_size=key("embedding_length"),
        intermediate_size=key("feed_forward_length"), num_hidden_layers=key("block_count"),
        num_attention_heads=heads, num_key_value_heads=key("attention.head_count_kv", heads),
        head_dim=key("attention.key_length", key("embedding_length") // heads),
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"), max_position_embeddings=key("context_length"),
        tie_word_embeddings="output.weight" not in g.names(), attn_implementation="eager",
    )  # fmt: skip
    base = key("rope.freq_base", 10000.0)
    if family == "qwen2":
        return transformers.Qwen2ForCausalLM, transformers.Qwen2Config(
            **common, rope_parameters=rope("default", base))
    assert family == "gemma3"
    return transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig(
        **common, sliding_window=key("attention.sliding_window"), query_pre_attn_scalar=common["head_dim"],
        rope_parameters={"full_attention": rope("default", base),
                         "sliding_attention": rope("default", 10000.0)})  # fmt: skip


def load(g):
    kind, config = config_of(g)
    family = g.meta["general.architecture"]
    arch = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[family]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    model = kind(config).double().eval().requires_grad_(False)
    for key, p in model.named_parameters():
        stem, end = key.rsplit(".", 1)
        w = torch.tensor(g.tensor(f"{names.get_name(stem)}.{end}")).double()
        p.copy_(w - 1 if family == "gemma3" and key.endswith("norm.weight") else w)
    return model, config


def records(oracle, ids, blocks):
    ids = np.array([ids, ids[::-1]])
    both = oracle.embed(ids)
    E = both[:1]
    out = {"ids": ids, "context": np.array([2]), "E": both.numpy()}
    taps = [Tap("block", n) for n in range(1, blocks + 1)]
    taps += [Tap("attn", blocks // 2), Tap("mlp", blocks), Tap("final"), Tap("logits")]
    for tap in taps:
        out[f"out bare {tap}"] = oracle.forward(tap, E).numpy()
    out[f"out ctx {taps[-5]}"] = oracle.forward(taps[-5], E, [2]).numpy()
    for tap in (Tap("block", 1), Tap("block", blocks // 2), Tap("block", blocks), Tap("logits")):
        feature = Feature(tap, 3, 7)
        e = E.clone().requires_grad_(True)
        value = OBJECTIVES["linear"](feature.region(oracle.forward(tap, e)), 0)
        (out[f"grad bare linear 0 {feature}"],) = (x.numpy() for x in torch.autograd.grad(value.sum(), e))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("test_golden")
    parser.add_argument("--ids", nargs="*", default=TEXTS)
    args = parser.parse_args()
    g = Gguf(args.file)
    failed = 0
    with exact():
        model, config = load(g)
        MODELS["real"] = (g.meta["general.architecture"], None, None)
        oracle = Oracle("real", model, config)
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.abspath(args.file), os.path.join(folder, "real.gguf"))
        for text in args.ids:
            with exact():
                out = records(oracle, [int(x) for x in text.split(",")], config.num_hidden_layers)
            write_golden(os.path.join(folder, "real.golden"), out)
            failed |= subprocess.call([os.path.abspath(args.test_golden), os.path.join(folder, "real")])
    return failed


if __name__ == "__main__":
    sys.exit(main())
