"""Make tests/data/real_{gemma3,qwen2}.jsonl: activations, gradients and logits of the further real models.

    golden_models.py [gemma3-270m] [qwen2.5-coder-0.5b]

PyTorch float32, eager attention, on the model as transformers' own GGUF loader makes it; its weights
are first compared bit for bit with what the gguf package dequantises. Takes minutes, most of them for
that loader.

The files' format is golden_real.py's, but for: a row's "place" is "block N" or "logits" in place of
"block"; every block has rows, the first, those at thirds of the depth and "logits" with gradients;
there are no curves. Components of "logits" are tokens: those that the
model says next, and some others. Compare each row to 1e-3 of its largest absolute value.
"""

import json
import os
import re
import sys

import numpy as np
import torch
import transformers

import oracle
from golden_real import TEXTS
from oracle import Feature, Tap

MODELS = {
    "gemma3-270m": ("gemma-3-270m-q4_k_m.gguf", "tests/data/real_gemma3.jsonl", "<bos>"),
    "qwen2.5-coder-0.5b": ("qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf", "tests/data/real_qwen2.jsonl", "<|endoftext|>"),
}
LANGUAGES = ("en", "zh", "code", "emoji")
FEATURES, TOKENS = 2, 3
THEIRS = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head", "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
}  # fmt: skip


def their_name(name, gemma):
    block, kind, end = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name).groups()
    norm = "pre_feedforward_layernorm" if gemma else "post_attention_layernorm"
    stem = norm if kind == "ffn_norm" else THEIRS[kind]
    return (f"model.layers.{block}." if block else "") + f"{stem}.{end}"


def verify_weights(g, model):
    """All tensors of the file, and no others: a tied output is the embedding."""
    gemma = g.meta["general.architecture"] == "gemma3"
    state, seen = model.state_dict(), set()
    for name in g.names():
        theirs, w = their_name(name, gemma), torch.tensor(g.tensor(name))
        if gemma and name.endswith("norm.weight"):  # the file holds 1 + w
            w = w - 1
        assert torch.equal(w.reshape(state[theirs].shape), state[theirs]), f"{name}: transformers has other weights"
        seen.add(theirs)
    assert set(state) - seen <= {"lm_head.weight"} and (len(seen) == len(state) or model.config.tie_word_embeddings)
    print(f"{len(seen)} tensors: the bits that the gguf package gives", file=sys.stderr)


def digits(x):
    return [[float(f"{v:.6g}") for v in row] for row in x.tolist()]


def row(model, tap, components, ids, context):
    features = [Feature(tap, c, c + 1) for c in components]
    values, _, norm, product = oracle.attribute(model, features, oracle.embed(model, ids), context)
    out = {"place": str(tap), "features": components, "values": digits(values)}
    third = model.config.num_hidden_layers // 3
    if tap.block % third and tap.block != 1:
        return out
    return out | {"grad_norm": digits(norm), "grad_x_input": digits(product)}


def next_tokens(model, ids, context):
    logits = oracle.forward(model, Tap("logits"), oracle.embed(model, ids)[None], context)[0]
    likely = logits[[0, len(ids) // 2, -1]].argmax(-1).tolist()
    rng = np.random.default_rng(ids)
    return sorted({*likely, *(int(i) for i in rng.choice(logits.shape[-1], TOKENS))})


def rows(model, tokenizer, context):
    config = model.config
    for n, (language, text) in enumerate(TEXTS):
        if language not in LANGUAGES:
            continue
        ids = tokenizer.encode(text, add_special_tokens=False)
        head = {"type": "row", "n": n, "language": language, "text": text, "ids": ids, "context": context}
        for block in range(1, config.num_hidden_layers + 1):
            rng = np.random.default_rng([1000 + block, n])
            chosen = sorted(int(i) for i in rng.choice(config.hidden_size, FEATURES, replace=False))
            yield head | row(model, Tap("block", block), chosen, ids, context)
        yield head | row(model, Tap("logits"), next_tokens(model, ids, context), ids, context)


def write(name):
    file, out, front = MODELS[name]
    path = os.path.join(os.path.dirname(oracle.DEFAULT_MODEL), file)
    folder, g = os.path.dirname(path), oracle.Gguf(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, dtype=torch.float32, attn_implementation="eager"
    )
    model = model.eval().requires_grad_(False)
    verify_weights(g, model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    context = [g.meta["tokenizer.ggml.tokens"].index(front)]
    header = {"type": "header", "model": {"file": file, "sha256": g.sha256()}, **oracle.versions()}
    chat = oracle.chat_rows(g, tokenizer.backend_tokenizer)
    with open(out, "w", encoding="utf-8") as f:
        for line in (header, *rows(model, tokenizer, context), *chat):
            print(json.dumps(line, ensure_ascii=False, separators=(",", ":")), file=f, flush=True)


def main():
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    for name in sys.argv[1:] or MODELS:
        write(name)


if __name__ == "__main__":
    main()
