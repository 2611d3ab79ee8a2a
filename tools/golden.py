"""Make the goldens: tiny random Llama models as GGUF and what PyTorch computes with them in float64.

    golden.py [--out tests/data] [--check]

Writes llama_a.gguf, llama_a.golden, and the same for b and c (see MODELS). --check writes nothing: it
proves the files that are there, against an independent forward pass in NumPy that reads the GGUF's
own row order, central differences, and transformers' own GGUF loader.

Format of a .golden file, little endian, all numbers after the counts float32 (computed in float64):

    char     magic[8]       "PHGOLD1\\0"
    uint32   records
    records times:
      char   name[64]       padded with 0
      uint32 ndims          1 to 4
      uint32 dims[4]        slowest first; 1 where not used
      float  data[dims[0] * dims[1] * dims[2] * dims[3]]

Names:

    ids                     (2,T)     token ids of the rows, as numbers
    context                 (P)       ids that stand in front in records with "ctx"
    E                       (2,T,C)   embeddings of ids
    out bare PLACE          (b,T,W)   output of a place for E
    out ctx PLACE           (b,T,W)   the same with the context in front; its own outputs left out
    value WITH OBJECTIVE C SPEC  (b)     the objective's value per row
    grad WITH OBJECTIVE C SPEC   (b,T,C) its gradient with respect to E

PLACE and SPEC are in the feature language ("only block 2 attn", "block 3 [:, -1, 3]"); WITH is bare
or ctx. b is 1 or 2: only the first b rows are kept; rows do not influence one another. An objective
is the sum over ALL elements of the region, also at neuron and logits (reduce = mean, not their
default max): l1 sum |c-O|, l2 sum (c-O)^2, linear - sum O.
"""

import argparse
import os
import struct
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers

import oracle
from oracle import Feature, Tap

T = 5

# The matrices' type differs, so that together they stay small; vectors are F32. The oracle computes
# with the values as stored, which float32 holds exactly whatever the type.
MODELS = {
    "a": dict(blocks=3, width=64, heads=4, kv=2, head=16, ffn=96, tied=True, theta=10000.0,
              eps=1e-5, store="Q8_0", special=["<|endoftext|>", "<|im_start|>"], first=True, seed=1),
    "b": dict(blocks=2, width=60, heads=5, kv=1, head=12, ffn=88, tied=False, theta=100000.0,
              eps=1e-6, store="F16", special=["<|endoftext|>"], first=False, seed=2),
    "c": dict(blocks=2, width=36, heads=3, kv=3, head=8, ffn=28, tied=True, theta=10000.0,
              eps=1e-5, store="F32", special=["<|endoftext|>"], first=False, seed=3),
}  # fmt: skip
VOCAB = 300

# The first merges of SmolLM2, in their order.
MERGES = (
    "Ġ t|Ġ a|i n|h e|Ġ Ġ|r e|o n|e r|Ġt he|a t|Ġ s|Ġ o|e n|Ġ c|e s|Ġ w|n d|i t|o r|i s|a l|Ġ p|"
    "in g|Ġ f|a n|e d|Ġ b|o u|a r|Ġ in|Ġo f|Ġ m|Ġa nd|i on|i c|Ġ d|Ġt o|ĠĠ ĠĠ|l e|r o|a s|en t|Ġ h"
).split("|")


# ---- the model ---------------------------------------------------------------------------------


def byte_tokens():
    """The byte-level alphabet, in the order of its code points."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def vocabulary(m):
    merges = MERGES[: VOCAB - 256 - len(m["special"])]
    ordinary = byte_tokens() + [x.replace(" ", "") for x in merges]
    tokens = m["special"] + ordinary if m["first"] else ordinary + m["special"]
    assert len(tokens) == VOCAB == len(set(tokens))
    normal, control = int(gguf.TokenType.NORMAL), int(gguf.TokenType.CONTROL)
    return tokens, [control if t in m["special"] else normal for t in tokens], merges


def random_tensors(m):
    """GGUF names and order; q and k in transformers' row order. Scales are those of real models."""
    rng = np.random.default_rng(m["seed"])
    C, F, q, kv = m["width"], m["ffn"], m["heads"] * m["head"], m["kv"] * m["head"]

    def matrix(rows, columns, gain):
        return rng.standard_normal((rows, columns)) * gain / np.sqrt(columns)

    def norm():
        return 1 + 0.3 * rng.standard_normal(C)

    out = {"token_embd": rng.standard_normal((VOCAB, C)) * 0.13}
    for n in range(m["blocks"]):
        out |= {
            f"blk.{n}.attn_norm": norm(),
            f"blk.{n}.attn_q": matrix(q, C, 1.4),
            f"blk.{n}.attn_k": matrix(kv, C, 1.4),
            f"blk.{n}.attn_v": matrix(kv, C, 1.0),
            f"blk.{n}.attn_output": matrix(C, q, 0.8),
            f"blk.{n}.ffn_norm": norm(),
            f"blk.{n}.ffn_gate": matrix(F, C, 1.2),
            f"blk.{n}.ffn_up": matrix(F, C, 1.0),
            f"blk.{n}.ffn_down": matrix(C, F, 1.0),
        }
    out["output_norm"] = norm()
    if not m["tied"]:
        out["output"] = matrix(VOCAB, C, 1.0)
    return {name: w.astype(np.float32) for name, w in out.items()}


def write_metadata(w, name, m):
    tokens, kinds, merges = vocabulary(m)
    w.add_name(f"golden {name}")
    w.add_block_count(m["blocks"])
    w.add_context_length(64)
    w.add_embedding_length(m["width"])
    w.add_feed_forward_length(m["ffn"])
    w.add_head_count(m["heads"])
    w.add_head_count_kv(m["kv"])
    w.add_layer_norm_rms_eps(m["eps"])
    w.add_rope_freq_base(m["theta"])
    w.add_rope_dimension_count(m["head"])
    w.add_vocab_size(VOCAB)
    if m["heads"] * m["head"] != m["width"]:
        w.add_key_length(m["head"])
        w.add_value_length(m["head"])
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(merges)
    w.add_bos_token_id(tokens.index(m["special"][-1]))  # a: not the end-of-text token
    w.add_eos_token_id(tokens.index("<|endoftext|>"))
    w.add_add_bos_token(False)
    w.add_add_space_prefix(False)


def write_gguf(path, name, m):
    w = gguf.GGUFWriter(path, "llama")
    write_metadata(w, name, m)
    store = gguf.GGMLQuantizationType[m["store"]]
    heads = {"attn_q": m["heads"], "attn_k": m["kv"]}
    for tensor, data in random_tensors(m).items():
        kind = tensor.split(".")[-1]
        if kind in heads:
            data = oracle.permute(data, heads[kind])
        if data.ndim == 1:
            w.add_tensor(f"{tensor}.weight", data)
        else:
            w.add_tensor(f"{tensor}.weight", gguf.quants.quantize(data, store), raw_dtype=store)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- the golden --------------------------------------------------------------------------------


def outputs(m):
    """(with context, tap, rows kept)"""
    blocks = range(1, m["blocks"] + 1)
    last = m["blocks"]
    for n in blocks:
        yield False, Tap("block", n), 2
        for place in ("attn", "mlp", "neuron"):
            yield False, Tap(place, n), 1
    yield False, Tap("final"), 2
    yield False, Tap("logits"), 1
    for n in blocks:
        yield True, Tap("block", n), 2 if n == last else 1
    for place in ("attn", "mlp", "neuron"):
        yield True, Tap(place, last), 1
    yield True, Tap("final"), 1
    yield False, Tap("block", 2, only=True), 2
    yield True, Tap("block", 2, only=True), 1
    for place in ("attn", "neuron"):
        yield False, Tap(place, 2, only=True), 1


def gradients(m):
    """(with context, objective, target, feature, rows kept)"""
    last = m["blocks"]

    def four(tap):
        return Feature(tap, 0, 4)

    def three(tap):
        return Feature(tap, 3, 4, -1)

    yield False, "l1", 100, four(Tap("block", 1)), 2
    yield False, "l2", 100, four(Tap("block", last)), 2
    yield False, "linear", 100, three(Tap("block", last)), 1
    yield False, "l1", 0, four(Tap("block", last)), 1  # both signs of c - O
    yield False, "l1", 100, four(Tap("attn", last)), 1
    yield False, "l2", 100, three(Tap("mlp", last)), 1
    yield False, "linear", 100, four(Tap("neuron", last)), 1
    yield False, "l1", 100, four(Tap("final")), 1
    yield False, "l2", 100, four(Tap("logits")), 1
    yield False, "l1", 100, four(Tap("block", 2, only=True)), 1
    yield True, "l1", 100, four(Tap("block", last)), 2
    yield True, "linear", 100, four(Tap("attn", 1)), 1
    yield True, "l2", 100, four(Tap("neuron", last)), 1
    yield True, "l1", 100, three(Tap("final")), 1
    yield True, "linear", 100, three(Tap("logits")), 1
    yield True, "l2", 100, three(Tap("mlp", 2, only=True)), 1


def inputs(m):
    """ids (2,T) of ordinary tokens, one of them twice, and the context."""
    tokens, kinds, _ = vocabulary(m)
    rng = np.random.default_rng(100 + m["seed"])
    ordinary = np.flatnonzero(np.array(kinds) == int(gguf.TokenType.NORMAL))
    ids = rng.choice(ordinary, size=(2, T), replace=False)
    ids[0, 3] = ids[0, 1]
    return ids, [tokens.index("<|endoftext|>")]


def objective(model, name, c, feature, E, context):
    """Values (B) and gradient (B,T,C)."""
    e = E.clone().requires_grad_(True)
    region = feature.region(oracle.forward(model, feature.tap, e, context))
    values = oracle.OBJECTIVES[name](region, c)
    (gradient,) = torch.autograd.grad(values.sum(), e)
    return values.detach(), gradient


def records(path, m):
    """name -> float64 array"""
    model = oracle.load(path, torch.float64)
    ids, context = inputs(m)
    E = oracle.embed(model, ids)
    out = {"ids": ids, "context": np.array(context), "E": E.numpy()}
    with torch.no_grad():
        for ctx, tap, rows in outputs(m):
            X = oracle.forward(model, tap, E, context if ctx else ())
            out[f"out {'ctx' if ctx else 'bare'} {tap}"] = X[:rows].numpy()
    for ctx, name, c, feature, rows in gradients(m):
        values, gradient = objective(model, name, c, feature, E, context if ctx else ())
        tail = f"{'ctx' if ctx else 'bare'} {name} {c} {feature}"
        out["value " + tail] = values[:rows].numpy()
        out["grad " + tail] = gradient[:rows].numpy()
    return out


def write_golden(path, out):
    with open(path, "wb") as f:
        f.write(struct.pack("<8sI", b"PHGOLD1", len(out)))
        for name, data in out.items():
            assert len(name) < 64, name
            dims = list(data.shape) + [1] * (4 - data.ndim)
            f.write(struct.pack("<64s5I", name.encode(), data.ndim, *dims))
            f.write(np.ascontiguousarray(data, dtype="<f4").tobytes())


def read_golden(path):
    with open(path, "rb") as f:
        data = f.read()
    magic, n = struct.unpack_from("<8sI", data)
    assert magic == b"PHGOLD1\0", path
    at, out = 12, {}
    for _ in range(n):
        name, ndims, *dims = struct.unpack_from("<64s5I", data, at)
        at += 84
        count = int(np.prod(dims))
        array = np.frombuffer(data, "<f4", count, at).reshape(dims[:ndims])
        out[name.rstrip(b"\0").decode()] = array
        at += 4 * count
    assert at == len(data), path
    return out


# ---- the proof ---------------------------------------------------------------------------------


def plain_rope(x, theta):
    """x (T,heads,D), rows as GGUF has them: component 2i turns with 2i+1."""
    D = x.shape[-1]
    angle = np.arange(x.shape[0])[:, None] * theta ** (-np.arange(0, D, 2) / D)
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    return np.stack((a * c - b * s, a * s + b * c), axis=-1).reshape(x.shape)


def plain_forward(w, m, tap, E):
    """One row E (P+T,C), context included; w: the file's own tensors in float64. No transformers."""
    H, K, D = m["heads"], m["kv"], m["head"]
    n_all = len(E)
    eps = float(np.float32(m["eps"]))

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name]

    x = E
    blocks = [tap.block] if tap.only else range(1, (tap.block or m["blocks"]) + 1)
    for n in blocks:
        b = f"blk.{n - 1}."
        h = norm(x, b + "attn_norm")
        q = plain_rope((h @ w[b + "attn_q"].T).reshape(n_all, H, D), m["theta"])
        k = plain_rope((h @ w[b + "attn_k"].T).reshape(n_all, K, D), m["theta"])
        v = (h @ w[b + "attn_v"].T).reshape(n_all, K, D)
        o = np.zeros((n_all, H, D))
        for head in range(H):
            g = head // (H // K)
            for t in range(n_all):
                s = k[: t + 1, g] @ q[t, head] / np.sqrt(D)
                p = np.exp(s - s.max())
                o[t, head] = p / p.sum() @ v[: t + 1, g]
        attn = o.reshape(n_all, H * D) @ w[b + "attn_output"].T
        x = x + attn
        h = norm(x, b + "ffn_norm")
        gate = h @ w[b + "ffn_gate"].T
        neuron = gate / (1 + np.exp(-gate)) * (h @ w[b + "ffn_up"].T)
        mlp = neuron @ w[b + "ffn_down"].T
        x = x + mlp
    if tap.block:
        return {"attn": attn, "mlp": mlp, "neuron": neuron, "block": x}[tap.place]
    x = norm(x, "output_norm")
    return x if tap.place == "final" else x @ w["token_embd" if m["tied"] else "output"].T


def worst(x, y):
    """Largest difference, relative to the largest value."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    assert x.shape == y.shape and np.isfinite(x).all() and x.size
    return np.abs(x - y).max() / np.abs(y).max()


class Report:
    def __init__(self):
        self.figures, self.failed = {}, False

    def add(self, claim, error, limit):
        seen, n = self.figures.get((claim, limit), (0.0, 0))
        self.figures[claim, limit] = max(seen, float(error)), n + 1

    def show(self, name):
        for (claim, limit), (error, n) in self.figures.items():
            ok = error <= limit
            self.failed |= not ok
            print(f"{name}  {claim:58} n={n:<3} worst {error:8.2e}  {'ok' if ok else 'FAIL'}")


def check_plain(r, m, path, golden):
    g = oracle.Gguf(path)
    w = {n.removesuffix(".weight"): g.tensor(n).astype(np.float64) for n in g.names()}
    model = oracle.load(path, torch.float64)
    ids, context = inputs(m)
    E = w["token_embd"][ids]
    front = w["token_embd"][context]
    r.add("file holds these ids, context and E", worst(golden["E"], E), 0)
    assert (golden["ids"] == ids).all() and (golden["context"] == context).all()
    for name, kept in golden.items():
        if not name.startswith("out "):
            continue
        _, with_, *rest = name.split(" ")
        words = [x for x in rest if x not in ("only", "block") and not x.isdigit()]
        block = [int(x) for x in rest if x.isdigit()]
        tap = Tap((words or ["block"])[0], (block or [0])[0], "only" in rest)
        P = len(context) if with_ == "ctx" else 0
        rows = [np.concatenate((front[:P], E[i])) for i in range(len(kept))]
        mine = np.stack([plain_forward(w, m, tap, row)[P:] for row in rows])
        with torch.no_grad():
            theirs = oracle.forward(model, tap, torch.tensor(E), context[:P])[: len(kept)]
        r.add("patched transformers = plain NumPy, float64", worst(theirs, mine), 1e-12)
        r.add("stored output = plain NumPy", worst(kept, mine), 1e-7)


def check_gradients(r, m, path, golden):
    """Directional derivatives of the plain forward, central differences."""
    g = oracle.Gguf(path)
    w = {n.removesuffix(".weight"): g.tensor(n).astype(np.float64) for n in g.names()}
    ids, context = inputs(m)
    rng = np.random.default_rng(7)
    for ctx, name, c, feature, rows in gradients(m):
        tail = f"{'ctx' if ctx else 'bare'} {name} {c} {feature}"
        P = len(context) if ctx else 0

        def f(e):
            X = plain_forward(w, m, feature.tap, np.concatenate((w["token_embd"][context[:P]], e)))
            region = feature.region(torch.tensor(X[None, P:]))
            return float(oracle.OBJECTIVES[name](region, c)[0])

        for i in range(rows):
            e, grad = w["token_embd"][ids[i]], golden["grad " + tail][i].astype(np.float64)
            v, h = rng.standard_normal(e.shape), 1e-5
            slope = (f(e + h * v) - f(e - h * v)) / (2 * h)
            scale = np.linalg.norm(grad) * np.linalg.norm(v) / np.sqrt(v.size)
            r.add("gradient = central differences of plain NumPy", abs(slope - (grad * v).sum()) / scale, 1e-6)
            r.add("stored value = plain NumPy", worst(golden["value " + tail][i], f(e)), 1e-7)


def check_transformers(r, m, path):
    """Its own GGUF loader gives our weights; hidden_states is indexed as we think."""
    ours = oracle.load(path)
    theirs = transformers.LlamaForCausalLM.from_pretrained(
        os.path.dirname(path) or ".", gguf_file=os.path.basename(path), dtype=torch.float32,
        attn_implementation="eager")  # fmt: skip
    ids = torch.tensor(inputs(m)[0])
    a = dict(ours.state_dict())
    for key, w in theirs.state_dict().items():
        if key in a and a[key].shape == w.shape:
            r.add("weights = transformers' own GGUF loader", float((a[key] - w).abs().max()), 0)
        else:
            r.add(f"{key}: shape {tuple(w.shape)} in transformers' loader", 1, 0)
    check_claims(r, ours, ids)


def check_claims(r, model, ids):
    with torch.no_grad():
        out = model(ids, output_hidden_states=True, use_cache=False)
        E = oracle.embed(model, ids)
        n = len(model.model.layers)
        hidden = out.hidden_states
        assert len(hidden) == n + 1
        blocks = [oracle.forward(model, Tap("block", b), E) for b in range(1, n + 1)]
        for b in range(n - 1):
            r.add("hidden_states[b] = hooked output of block b, b < last", worst(hidden[b + 1], blocks[b]), 0)
        final = oracle.forward(model, Tap("final"), E)
        r.add("hidden_states[-1] = final (norm applied)", worst(hidden[-1], final), 0)
        differs = worst(hidden[-1], blocks[-1]) > 1e-2
        r.add("hidden_states[-1] differs from the last block", 0 if differs else 1, 0)
        r.add("logits = head of final", worst(out.logits, oracle.forward(model, Tap("logits"), E)), 1e-6)
        for b in range(1, n + 1):
            attn, mlp = (oracle.forward(model, Tap(p, b), E) for p in ("attn", "mlp"))
            before = E if b == 1 else blocks[b - 2]
            r.add("block = before + attn + mlp", worst(before + attn + mlp, blocks[b - 1]), 1e-6)


def check_tokenizer(r, path):
    g = oracle.Gguf(path)
    t = oracle.tokenizer_of(g)
    for text in ("the cat and the hat in 2024", "Grüße, 世界! 🙂\n\tx = [1]", "", "<|endoftext|>"):
        ids = t.encode(text, add_special_tokens=False).ids
        assert oracle.end_of_text(g) not in ids
        r.add("tokenizer: text survives encode and decode", t.decode(ids) != text, 0)


def check(folder):
    failed = False
    for name, m in MODELS.items():
        r = Report()
        path = os.path.join(folder, f"llama_{name}.gguf")
        golden = read_golden(path.replace(".gguf", ".golden"))
        check_plain(r, m, path, golden)
        check_gradients(r, m, path, golden)
        check_transformers(r, m, path)
        check_tokenizer(r, path)
        r.show(name)
        failed |= r.failed
    with tempfile.TemporaryDirectory() as again:
        make(again)
        for file in sorted(os.listdir(again)):
            same = open(os.path.join(again, file), "rb").read() == open(os.path.join(folder, file), "rb").read()
            failed |= not same
            print(f"{file}  made again: {'the same bytes' if same else 'DIFFERENT'}")
    return failed


def make(folder):
    for name, m in MODELS.items():
        path = os.path.join(folder, f"llama_{name}.gguf")
        write_gguf(path, name, m)
        write_golden(path.replace(".gguf", ".golden"), records(path, m))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="tests/data")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.check:
        return check(args.out)
    os.makedirs(args.out, exist_ok=True)
    make(args.out)
    total = sum(os.path.getsize(os.path.join(args.out, f"llama_{n}.{e}")) for n in MODELS for e in ("gguf", "golden"))
    print(f"{2 * len(MODELS)} files, {total} bytes in {args.out}")
    return False


if __name__ == "__main__":
    sys.exit(main())
