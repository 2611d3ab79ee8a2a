"""Make the families' goldens: a tiny random model of each as GGUF, and what transformers computes with it.

    golden_families.py [--out tests/data/families] [--only NAME …] [--check-folders DIR]

Writes NAME.gguf, NAME.golden and NAME.json (transformers' config.json) for every row of MODELS; with
--check-folders nothing, but proves that the folders made by folder_families.py hold what
transformers itself would save. The models are transformers' own, run in
float64 all through (see exact). Names and orders in the GGUF are those of llama.cpp's converter: gguf's
name map, and what Converter.arrange does to a few tensors.

The golden's format is golden.py's, but with magic "PHGOLD2\\0" and float64 data. Names as there.
Where a norm stands behind a branch, the place "attn" or "mlp" is what that norm puts out: what is added
to the stream.
"""

import argparse
import contextlib
import glob
import json
import os
import struct

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import gguf
import numpy as np
import torch
import transformers
from golden import MERGES, byte_tokens
from oracle import OBJECTIVES, Feature, Tap, permute
from safetensors.torch import load_file

T = 5
SPECIAL = "<|endoftext|>"
VOCAB = 260
EPS = float(np.float32(1e-5))  # GGUF holds it as float32

COMMON = dict(
    vocab_size=VOCAB, hidden_size=36, intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=3, max_position_embeddings=64, tie_word_embeddings=False,
    attn_implementation="eager", bos_token_id=0, eos_token_id=0, pad_token_id=None,
)  # fmt: skip


def llama_like(**more):
    return dict(COMMON, num_key_value_heads=1, rms_norm_eps=EPS, head_dim=12, **more)


def rope(kind, theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


GEMMA2 = dict(
    layer_types=["sliding_attention", "full_attention", "sliding_attention"], sliding_window=3,
    query_pre_attn_scalar=12, head_dim=12, num_hidden_layers=3, tie_word_embeddings=True,
)  # fmt: skip
LLAMA3 = dict(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0)
LONG = dict(short_factor=[1.0, 1.25, 1.5, 2.0, 3.0, 4.0], long_factor=[1.0, 2.0, 4.0, 8.0, 12.0, 16.0])

# name: (GGUF's family, transformers' class, its configuration)
MODELS = {
    "llama_bias": ("llama", "Llama", llama_like(
        attention_bias=True, mlp_bias=True, rope_parameters=rope("linear", factor=2.0))),
    "llama_llama3": ("llama", "Llama", llama_like(rope_parameters=rope(
        "llama3", original_max_position_embeddings=64, **LLAMA3))),
    "llama_yarn": ("llama", "Llama", llama_like(rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=16))),
    "mistral": ("llama", "Mistral", llama_like(rope_parameters=rope("default"), sliding_window=None)),
    "qwen2": ("qwen2", "Qwen2", llama_like(rope_parameters=rope("default", 1000000.0))),
    "qwen3": ("qwen3", "Qwen3", llama_like(rope_parameters=rope("default", 1000000.0)) | dict(head_dim=16)),
    "gemma": ("gemma", "Gemma", llama_like(
        rope_parameters=rope("default")) | dict(head_dim=16, tie_word_embeddings=True)),
    "gemma2": ("gemma2", "Gemma2", llama_like(
        rope_parameters=rope("default"), attn_logit_softcapping=2.0, final_logit_softcapping=3.0) | GEMMA2),
    "gemma3": ("gemma3", "Gemma3Text", llama_like(
        rope_parameters={"full_attention": rope("linear", 1000000.0, factor=8.0),
                         "sliding_attention": rope("default", 10000.0)}) | GEMMA2),
    "gpt2": ("gpt2", "GPT2", dict(
        vocab_size=VOCAB, n_positions=64, n_embd=36, n_layer=2, n_head=3, n_inner=40,
        layer_norm_epsilon=EPS, attn_implementation="eager", bos_token_id=0, eos_token_id=0)),
    "gptneox": ("gptneox", "GPTNeoX", dict(
        COMMON, layer_norm_eps=EPS, use_parallel_residual=True,
        rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "gptneox_series": ("gptneox", "GPTNeoX", dict(
        COMMON, layer_norm_eps=EPS, use_parallel_residual=False,
        rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "phi2": ("phi2", "Phi", dict(
        COMMON, layer_norm_eps=EPS, rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "phi3": ("phi3", "Phi3", llama_like(rope_parameters=rope("default"), sliding_window=3) | dict(
        pad_token_id=0)),
    "phi3_long": ("phi3", "Phi3", llama_like(
        original_max_position_embeddings=32, sliding_window=None,
        rope_parameters=rope("longrope", attention_factor=1.25, factor=2.0,
                             original_max_position_embeddings=32, **LONG)) | dict(pad_token_id=0)),
    "olmo2": ("olmo2", "Olmo2", llama_like(rope_parameters=rope("default", 500000.0))),
    "stablelm": ("stablelm", "StableLm", dict(
        COMMON, num_key_value_heads=1, layer_norm_eps=EPS, use_qkv_bias=True,
        rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "stablelm_parallel": ("stablelm", "StableLm", dict(
        COMMON, num_key_value_heads=1, layer_norm_eps=EPS, use_parallel_residual=True, qk_layernorm=True,
        rope_parameters=rope("default", partial_rotary_factor=0.5))),
}  # fmt: skip


# ---- transformers, in float64 all through ----------------------------------------------------------


@contextlib.contextmanager
def exact():
    """transformers takes norms, softmax and rope's angles to float32: while this lasts, that is float64."""
    kept = torch.float32, torch.float, torch.Tensor.float, torch.get_default_dtype()
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = kept[:3]
        torch.set_default_dtype(kept[3])


def rounded(rng, name, shape):
    """Random weights of a size like real ones', which the GGUF holds exactly."""
    x = rng.standard_normal(shape)
    if len(shape) == 1 or "norm" in name:
        x = x * 0.3
        if not name.endswith("bias") and not GEMMA_NORM.get("is"):
            x += 1
        return np.round(x * 4096) / 4096
    if "embed" in name or "wte" in name or "wpe" in name:
        x = x * 0.13
    else:
        x = x * 1.2 / np.sqrt(min(shape))
    return x.astype(np.float16).astype(np.float64)


GEMMA_NORM = {}


def build(name):
    family, kind, config = MODELS[name]
    config = getattr(transformers, kind + "Config")(**config)
    head = {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(kind, kind + "ForCausalLM")
    model = getattr(transformers, head)(config).double().eval()
    rng = np.random.default_rng(sum(name.encode()))
    GEMMA_NORM["is"] = family.startswith("gemma")
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(torch.tensor(rounded(rng, key, tuple(p.shape))))
    assert tied == (family.startswith("gemma") or family == "gpt2")
    return model.requires_grad_(False), config


# ---- the GGUF --------------------------------------------------------------------------------------


class Converter:
    def __init__(self, name, model, config):
        self.family, _, _ = MODELS[name]
        self.name, self.model, self.c = name, model, config
        self.heads = config.num_attention_heads
        self.kv = getattr(config, "num_key_value_heads", None) or self.heads
        self.blocks = config.num_hidden_layers

    def arrange(self, key, w):
        """A tensor as llama.cpp's converter writes it."""
        C = self.c.hidden_size
        if self.family == "llama" and ".q_proj." in key:
            return permute(w, self.heads)
        if self.family == "llama" and ".k_proj." in key:
            return permute(w, self.kv)
        if self.family.startswith("gemma") and key.endswith("norm.weight"):
            return w + 1
        if self.family == "gpt2" and key.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            return w.T
        if self.family == "gptneox" and ".query_key_value." in key:
            parts = w.reshape(self.heads, 3, C // self.heads, -1)
            return np.concatenate([parts[:, i].reshape(C, -1) for i in range(3)]).reshape(w.shape)
        return w

    def tensors(self):
        kind = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[self.family]
        names = gguf.get_tensor_name_map(kind, self.blocks)
        state = {k: v.numpy() for k, v in self.model.named_parameters()}  # a tied head is left out
        for n in range(self.blocks):
            for x in "qk":
                heads = [k for k in state if f"layers.{n}.self_attn.{x}_layernorm.norms." in k]
                if heads:
                    rows = np.stack([state.pop(k) for k in heads])
                    state[f"model.layers.{n}.self_attn.{x}_layernorm.weight"] = rows
        for key, w in state.items():
            stem, end = key.rsplit(".", 1)
            new = names.get_name(stem)
            assert new, key
            yield f"{new}.{end}", self.arrange(key, w)
        yield from self.rope_tensors()

    def factors(self):
        """What the llama3 kind divides frequencies by."""
        p = self.c.rope_parameters
        half = np.arange(0, 12, 2) / 12
        own = p["rope_theta"] ** -half
        inv = self.model.model.rotary_emb.inv_freq.numpy()
        return (own / inv).astype(np.float32)

    def rope_tensors(self):
        p = getattr(self.c, "rope_parameters", None) or {}
        if p.get("rope_type") == "llama3":
            f = self.factors()
            yield "rope_freqs.weight", f
            # the file's float32 is what both sides compute with
            emb = self.model.model.rotary_emb
            exact_inv = torch.tensor(p["rope_theta"] ** -(np.arange(0, 12, 2) / 12) / f.astype(np.float64))
            assert np.allclose(exact_inv, emb.inv_freq, rtol=1e-7) and (f > 1.0).any() and (f == 1).any()
            emb.inv_freq.copy_(exact_inv)
        if p.get("rope_type") == "longrope":
            for x in ("long", "short"):
                yield f"rope_factors_{x}.weight", np.array(p[x + "_factor"], dtype=np.float32)

    def sizes(self, w):
        c = self.c
        w.add_block_count(self.blocks)
        w.add_context_length(c.max_position_embeddings)
        w.add_embedding_length(c.hidden_size)
        w.add_feed_forward_length(getattr(c, "intermediate_size", None) or c.n_inner)
        w.add_head_count(self.heads)
        w.add_head_count_kv(self.kv)
        if hasattr(c, "rms_norm_eps"):
            w.add_layer_norm_rms_eps(EPS)
        else:
            w.add_layer_norm_eps(EPS)
        if getattr(c, "head_dim", None):
            w.add_key_length(c.head_dim)
            w.add_value_length(c.head_dim)
        if self.family in ("gptneox", "stablelm"):
            w.add_parallel_residual(c.use_parallel_residual)
        if getattr(c, "sliding_window", None) and self.family in ("gemma2", "gemma3", "phi3"):
            w.add_sliding_window(c.sliding_window)
        if self.family == "gemma2":
            w.add_attn_logit_softcapping(c.attn_logit_softcapping)
            w.add_final_logit_softcapping(c.final_logit_softcapping)
        if self.family == "gemma3":
            w.add_sliding_window_pattern(2)  # of 6, so that two blocks show both kinds

    def rope(self, w):
        p = getattr(self.c, "rope_parameters", None)
        if not p:
            return
        p = p.get("full_attention", p)
        w.add_rope_freq_base(p["rope_theta"])
        head = getattr(self.c, "head_dim", None) or self.c.hidden_size // self.heads
        w.add_rope_dimension_count(int(head * p.get("partial_rotary_factor", 1)))
        if p["rope_type"] in ("linear", "yarn"):
            w.add_rope_scaling_type(gguf.RopeScalingType(p["rope_type"]))
            w.add_rope_scaling_factor(p["factor"])
        if p["rope_type"] in ("yarn", "longrope"):
            w.add_rope_scaling_orig_ctx_len(p["original_max_position_embeddings"])
        if p["rope_type"] == "longrope":
            w.add_rope_scaling_attn_factors(p["attention_factor"])

    def vocabulary(self, w):
        merges = MERGES[: VOCAB - 257]
        tokens = [SPECIAL] + byte_tokens() + [x.replace(" ", "") for x in merges]
        assert len(tokens) == VOCAB == len(set(tokens))
        kinds = [int(gguf.TokenType.CONTROL)] + [int(gguf.TokenType.NORMAL)] * (VOCAB - 1)
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("smollm")
        w.add_token_list(tokens)
        w.add_token_types(kinds)
        w.add_token_merges(merges)
        w.add_bos_token_id(0)
        w.add_eos_token_id(0)
        w.add_add_bos_token(False)

    def write(self, path):
        w = gguf.GGUFWriter(path, self.family)
        w.add_name(f"golden {self.name}")
        self.sizes(w)
        self.rope(w)
        self.vocabulary(w)
        half = gguf.GGMLQuantizationType.F16
        for name, x in self.tensors():
            small = x.ndim == 1 or "norm" in name
            stored = x.astype(np.float32 if small else np.float16)
            assert (stored.astype(np.float64) == x).all(), name
            if small:
                w.add_tensor(name, np.ascontiguousarray(stored))
            else:
                w.add_tensor(name, np.ascontiguousarray(stored), raw_dtype=half)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()


# ---- places ----------------------------------------------------------------------------------------

STACKS = {"gpt2": ("transformer", "h", "ln_f"), "gptneox": ("gpt_neox", "layers", "final_layer_norm"),
          "phi2": ("model", "layers", "final_layernorm")}  # fmt: skip


def modules(family, layer):
    """What puts out attn and mlp, and what the neurons go into."""
    if family == "gpt2":
        return layer.attn, layer.mlp, layer.mlp.c_proj
    if family == "gptneox":
        return layer.attention, layer.mlp, layer.mlp.dense_4h_to_h
    if family == "phi2":
        return layer.self_attn, layer.mlp, layer.mlp.fc2
    if family in ("gemma2", "gemma3", "olmo2"):
        return layer.post_attention_layernorm, layer.post_feedforward_layernorm, layer.mlp.down_proj
    return layer.self_attn, layer.mlp, layer.mlp.down_proj


class Oracle:
    def __init__(self, name, model, config):
        self.family, self.model, self.c = MODELS[name][0], model, config
        body, layers, norm = STACKS.get(self.family, ("model", "layers", "norm"))
        self.body = getattr(model, body)
        self.layers_at, self.norm = layers, getattr(self.body, norm)

    def embed(self, ids):
        return self.model.get_input_embeddings()(torch.tensor(ids))

    def places(self, layer, kept):
        def keep(name):
            return lambda _, __, out: kept.update({name: out[0] if isinstance(out, tuple) else out})

        attn, mlp, down = modules(self.family, layer)
        return [
            layer.register_forward_hook(keep("block")),
            attn.register_forward_hook(keep("attn")),
            mlp.register_forward_hook(keep("mlp")),
            down.register_forward_pre_hook(lambda _, x: kept.update(neuron=x[0])),
            self.norm.register_forward_hook(keep("final")),
        ]

    @contextlib.contextmanager
    def alone(self, n):
        """The model with block n for all blocks: with it, its kind of attention."""
        layers, types = getattr(self.body, self.layers_at), getattr(self.c, "layer_types", None)
        setattr(self.body, self.layers_at, layers[n - 1 : n])
        if types:
            self.c.layer_types = types[n - 1 : n]
        count, self.c.num_hidden_layers = self.c.num_hidden_layers, 1
        try:
            yield
        finally:
            setattr(self.body, self.layers_at, layers)
            self.c.num_hidden_layers = count
            if types:
                self.c.layer_types = types

    def forward(self, tap, E, context=()):
        P, kept = len(context), {}
        if P:
            front = self.embed(list(context)).expand(E.shape[0], -1, -1)
            E = torch.cat((front, E), dim=1)
        layers = getattr(self.body, self.layers_at)
        hooks = self.places(layers[(tap.block or len(layers)) - 1], kept)
        try:
            with self.alone(tap.block) if tap.only else contextlib.nullcontext():
                kept["logits"] = self.model(inputs_embeds=E, use_cache=False).logits
        finally:
            for h in hooks:
                h.remove()
        return kept[tap.place][:, P:]


# ---- the golden ------------------------------------------------------------------------------------


def outputs(blocks):
    yield from ((False, Tap("block", n)) for n in range(1, blocks + 1))
    yield from ((False, Tap(p, 1)) for p in ("attn", "mlp", "neuron"))
    yield from ((False, Tap(p, blocks)) for p in ("attn", "mlp"))
    yield False, Tap("final")
    yield False, Tap("logits")
    yield True, Tap("block", blocks)
    yield True, Tap("attn", 1)
    yield False, Tap("block", 2, only=True)
    yield True, Tap("attn", 2, only=True)


def gradients(blocks):
    def four(*tap, **more):
        return Feature(Tap(*tap, **more), 0, 4)

    yield False, "l2", four("block", 1)
    yield False, "l2", four("block", blocks)
    yield False, "l1", four("attn", blocks)
    yield False, "l2", four("mlp", blocks)
    yield False, "linear", four("neuron", blocks)
    yield False, "linear", four("final")
    yield False, "l2", four("logits")
    yield False, "l2", four("block", 2, only=True)
    yield True, "l2", four("block", blocks)
    yield True, "linear", four("attn", 1)
    yield True, "l2", four("neuron", blocks)
    yield True, "linear", four("logits")
    yield True, "l2", four("mlp", 2, only=True)


def records(oracle, blocks):
    rng = np.random.default_rng(5)
    ids = rng.choice(np.arange(1, VOCAB), size=(2, T), replace=False)
    context = [0, 77]
    E = oracle.embed(ids)
    out = {"ids": ids, "context": np.array(context), "E": E.numpy()}
    for ctx, tap in outputs(blocks):
        X = oracle.forward(tap, E[:1], context if ctx else ())
        out[f"out {'ctx' if ctx else 'bare'} {tap}"] = X.numpy()
    for ctx, name, feature in gradients(blocks):
        e = E[:1].clone().requires_grad_(True)
        region = feature.region(oracle.forward(feature.tap, e, context if ctx else ()))
        value = OBJECTIVES[name](region, 100)
        (gradient,) = torch.autograd.grad(value.sum(), e)
        tail = f"{'ctx' if ctx else 'bare'} {name} 100 {feature}"
        if name != "linear":  # a sum that cancels is no measure of its terms
            out["value " + tail] = value.detach().numpy()
        out["grad " + tail] = gradient.numpy()
    return out


def write_golden(path, out):
    with open(path, "wb") as f:
        f.write(struct.pack("<8sI", b"PHGOLD2", len(out)))
        for name, data in out.items():
            assert len(name) < 64 and np.isfinite(data).all(), name
            dims = list(data.shape) + [1] * (4 - data.ndim)
            f.write(struct.pack("<64s5I", name.encode(), data.ndim, *dims))
            f.write(np.ascontiguousarray(data, dtype="<f8").tobytes())


def write_config(path, model):
    config = model.config
    config.architectures = [type(model).__name__]
    saved = dict(config.to_diff_dict(), model_type=config.model_type, dtype="float32")
    with open(path, "w") as f:
        json.dump(saved, f, indent=1, sort_keys=True)
        f.write("\n")


def check_folder(folder, model):
    """Every number of a folder, and its configuration, against the model that transformers would save."""
    held, wanted = {}, dict(model.named_parameters())  # a tied head is left out
    for file in glob.glob(os.path.join(folder, "*.safetensors")):
        held |= {k.replace("embed_out", "lm_head"): x for k, x in load_file(file).items()}
    assert held.keys() == wanted.keys(), held.keys() ^ wanted.keys()
    for key, x in held.items():
        assert x.shape == wanted[key].shape and (x.double() == wanted[key]).all(), key
    again = type(model.config).from_pretrained(folder).to_dict()
    mine = model.config.to_dict()
    differ = {k for k in mine if again.get(k) != mine[k]}
    assert differ <= {"dtype", "_name_or_path", "architectures"}, differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="tests/data/families")
    parser.add_argument("--only", nargs="*", default=list(MODELS))
    parser.add_argument("--check-folders", metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)
    for name in args.only:
        path = os.path.join(args.out, name)
        with exact():
            model, config = build(name)
        if args.check_folders:
            check_folder(os.path.join(args.check_folders, name), model)
            print(name, "is what transformers has")
            continue
        with exact():
            write_config(path + ".json", model)
            Converter(name, model, config).write(path + ".gguf")
            write_golden(path + ".golden", records(Oracle(name, model, config), config.num_hidden_layers))
        print(name, os.path.getsize(path + ".gguf"), os.path.getsize(path + ".golden"))


if __name__ == "__main__":
    main()
