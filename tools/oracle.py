"""What the PyTorch oracles share: a Llama-family GGUF as a transformers model, any place of it, its tokenizer.

Used by golden.py, golden_real.py and check_real.py. Counts as phosphene does: blocks from 1, tokens
and components from 0, context never inside a region.
"""

import hashlib
import os
import re
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import gguf
import numpy as np
import torch
import transformers
from transformers.models.llama import modeling_llama as llama

transformers.logging.disable_progress_bar()

DEFAULT_MODEL = os.path.expanduser("~/.local/share/phosphene/SmolLM2-135M-Instruct.Q4_1.gguf")

BLOCK_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


# ---- weights -----------------------------------------------------------------------------------


def permute(w, heads):
    """Rows of q or k, from transformers' order (halves) to GGUF's (pairs): llama.cpp's converter."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


class Gguf:
    """A GGUF file: metadata as Python values, tensors as float32."""

    def __init__(self, path):
        self.path = path
        reader = gguf.GGUFReader(path)
        self.meta = {name: field.contents() for name, field in reader.fields.items()}
        self._tensors = {t.name: t for t in reader.tensors}

    def names(self):
        return list(self._tensors)

    def tensor(self, name):
        t = self._tensors[name]
        w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        return w.reshape([int(n) for n in reversed(t.shape)])

    def llama(self, key, default=None):
        return self.meta.get("llama." + key, default)

    def sha256(self):
        with open(self.path, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()


def config_of(g):
    heads = g.llama("attention.head_count")
    width = g.llama("embedding_length")
    return transformers.LlamaConfig(
        vocab_size=g.tensor("token_embd.weight").shape[0],
        hidden_size=width,
        intermediate_size=g.llama("feed_forward_length"),
        num_hidden_layers=g.llama("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=g.llama("attention.head_count_kv", heads),
        head_dim=g.llama("attention.key_length", width // heads),
        rms_norm_eps=g.llama("attention.layer_norm_rms_epsilon"),
        max_position_embeddings=g.llama("context_length"),
        rope_parameters={"rope_type": "default", "rope_theta": g.llama("rope.freq_base", 10000.0)},
        tie_word_embeddings="output.weight" not in g.names(),
        attn_implementation="eager",
    )


def state_of(g, config):
    """transformers' names and row order."""
    state = {
        "model.embed_tokens.weight": g.tensor("token_embd.weight"),
        "model.norm.weight": g.tensor("output_norm.weight"),
    }
    state["lm_head.weight"] = (
        state["model.embed_tokens.weight"]
        if config.tie_word_embeddings
        else g.tensor("output.weight")
    )
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for n in range(config.num_hidden_layers):
        for ours, theirs in BLOCK_TENSORS.items():
            w = g.tensor(f"blk.{n}.{ours}.weight")
            if ours in heads:
                w = unpermute(w, heads[ours])
            state[f"model.layers.{n}.{theirs}.weight"] = w
    return state


def load(path, dtype=torch.float32):
    """The file as a LlamaForCausalLM, eager attention, no gradients for weights. float64 is exact."""
    g = Gguf(path)
    config = config_of(g)
    model = transformers.LlamaForCausalLM(config)
    state = {name: torch.tensor(w) for name, w in state_of(g, config).items()}
    model.load_state_dict(state, strict=True)
    model = model.to(dtype).eval().requires_grad_(False)
    return exact64(model) if dtype == torch.float64 else model


# ---- float64 all through -----------------------------------------------------------------------
# transformers computes norms, softmax and rope angles in float32 whatever the model's type is.


class Norm64(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.weight = norm.weight
        self.eps = norm.variance_epsilon

    def forward(self, x):
        return self.weight * (x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Rope64(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.theta = config.rope_parameters["rope_theta"]
        self.dim = config.head_dim

    def forward(self, x, position_ids):
        even = torch.arange(0, self.dim, 2, dtype=torch.float64)
        angle = position_ids[..., None].double() * self.theta ** (-even / self.dim)
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos(), angle.sin()


def attention64(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    key = llama.repeat_kv(key, module.num_key_value_groups)
    value = llama.repeat_kv(value, module.num_key_value_groups)
    T = query.shape[2]
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = (query @ key.transpose(2, 3) * scaling).masked_fill(later, -torch.inf)
    weights = scores.softmax(-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


_attention32 = llama.eager_attention_forward


def _attention(module, query, *args, **kwargs):
    exact = query.dtype == torch.float64
    return (attention64 if exact else _attention32)(module, query, *args, **kwargs)


llama.eager_attention_forward = _attention


def exact64(model):
    m = model.model
    m.norm = Norm64(m.norm)
    m.rotary_emb = Rope64(model.config)
    for layer in m.layers:
        layer.input_layernorm = Norm64(layer.input_layernorm)
        layer.post_attention_layernorm = Norm64(layer.post_attention_layernorm)
    return model


# ---- places ------------------------------------------------------------------------------------

PLACES = ("block", "attn", "mlp", "neuron", "embed", "final", "logits")


@dataclass(frozen=True)
class Tap:
    place: str
    block: int = 0
    only: bool = False

    def __str__(self):
        if not self.block:
            return self.place
        tail = "" if self.place == "block" else " " + self.place
        return f"{'only ' if self.only else ''}block {self.block}{tail}"


def embed(model, ids):
    return model.model.embed_tokens(torch.as_tensor(ids))


def forward(model, tap, E, context=()):
    """The tap's output (B,T,W) for embeddings E (B,T,C); nothing past the tap's block is computed."""
    m = model.model
    layers = m.layers
    if tap.place == "embed":
        return E
    if tap.block:
        m.layers = layers[tap.block - 1 : tap.block] if tap.only else layers[: tap.block]
    last = m.layers[-1]
    kept = []

    def keep(_, inputs, output):
        kept.append(output[0] if isinstance(output, tuple) else output)

    def keep_input(_, inputs):
        kept.append(inputs[0])

    hooks = {
        "block": lambda: last.register_forward_hook(keep),
        "attn": lambda: last.self_attn.register_forward_hook(keep),
        "mlp": lambda: last.mlp.register_forward_hook(keep),
        "neuron": lambda: last.mlp.down_proj.register_forward_pre_hook(keep_input),
        "final": lambda: m.norm.register_forward_hook(keep),
        "logits": lambda: m.norm.register_forward_hook(keep),
    }
    hook = hooks[tap.place]()
    try:
        P = len(context)
        if P:
            front = embed(model, list(context)).to(E.dtype).expand(E.shape[0], -1, -1)
            E = torch.cat((front, E), dim=1)
        m(inputs_embeds=E, use_cache=False)
    finally:
        hook.remove()
        m.layers = layers
    X = kept[0][:, P:]
    return model.lm_head(X) if tap.place == "logits" else X


# ---- regions -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Feature:
    """A tap and a region: one token (-1 the last) or all (None), components begin to end - 1."""

    tap: Tap
    begin: int
    end: int
    token: int | None = None

    def __str__(self):
        token = ":" if self.token is None else self.token
        components = self.begin if self.end == self.begin + 1 else f"{self.begin}:{self.end}"
        return f"{self.tap} [:, {token}, {components}]"

    @property
    def reduce(self):
        return "max" if self.tap.place in ("neuron", "logits") else "mean"

    def region(self, X):
        """(B, tokens of the region, components)"""
        X = X[:, :, self.begin : self.end]
        return X if self.token is None else X[:, self.token].unsqueeze(1)

    def values(self, X):
        """(B,T): mean over the components at every token, inside the region or not"""
        return X[:, :, self.begin : self.end].mean(-1)

    def activation(self, X):
        """(B)"""
        v = self.region(X).mean(-1)
        return v.max(-1).values if self.reduce == "max" else v.mean(-1)

    def counted(self, X):
        """The region's elements that an objective sums: all, or those of the largest token."""
        r = self.region(X)
        if self.reduce == "max":
            at = r.mean(-1).argmax(-1)
            r = r[torch.arange(len(r)), at].unsqueeze(1)
        return r


OBJECTIVES = {
    "l1": lambda O, c: (c - O).abs().sum((1, 2)),
    "l2": lambda O, c: (c - O).pow(2).sum((1, 2)),
    "linear": lambda O, c: -O.sum((1, 2)),
}


def attribute(model, features, E, context=()):
    """values, activation, gradient norm and gradient x input of features of one tap on one text.

    E (T,C), one row per feature; gradients of the reduced activation with respect to E.
    """
    x = E.expand(len(features), -1, -1).clone().requires_grad_(True)
    X = forward(model, features[0].tap, x, context)
    a = torch.stack([f.activation(X[i : i + 1])[0] for i, f in enumerate(features)])
    values = torch.cat([f.values(X[i : i + 1]) for i, f in enumerate(features)])
    (g,) = torch.autograd.grad(a.sum(), x)
    return values.detach(), a.detach(), g.norm(dim=-1), (g * E).sum(-1)


def descend(model, features, E, context=(), steps=100, points=None, eta=(1.0, 0.1), c=100.0):
    """METHODS 1, objective l1: activation before each of the first `points` steps, (features, points).

    With points = steps + 1 the last is the activation after the last step.
    """
    points = steps + 1 if points is None else points
    x = E.expand(len(features), -1, -1).clone()
    curve = []
    for n in range(points):
        x.requires_grad_(True)
        X = forward(model, features[0].tap, x, context)
        rows = [(f, X[i : i + 1]) for i, f in enumerate(features)]
        curve.append(torch.stack([f.activation(r)[0] for f, r in rows]).detach())
        if n + 1 == points:
            break
        loss = sum(OBJECTIVES["l1"](f.counted(r), c)[0] for f, r in rows)
        (g,) = torch.autograd.grad(loss, x)
        x = (x - (eta[0] + (eta[1] - eta[0]) * n / steps) * g).detach()
    return torch.stack(curve, dim=1)


def difference(x, exact):
    """(rows, …) relative to each row's largest value, as NumPy float64."""
    x, exact = (np.asarray(a, dtype=np.float64) for a in (x, exact))
    return np.abs(x - exact) / np.abs(exact).max(axis=1, keepdims=True)


def stable(x, exact, noise=1e-4):
    """How many points of each float32 curve stand before the first that float64 contradicts.

    A step is long against the embedding, so that a descent amplifies rounding until float32 no
    longer repeats; another order of sums was seen to differ ten times as much as float64 does.
    Never 0: the first point is a plain forward pass.
    """
    bad = difference(x, exact) > noise
    n = [int(np.argmax(np.append(row, True))) for row in bad]
    assert min(n) > 0
    return n


# ---- text --------------------------------------------------------------------------------------


def tokenizer_of(g):
    """A byte-level BPE of the GGUF's own vocabulary, by Hugging Face's tokenizers; pre "smollm"."""
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders

    assert g.meta["tokenizer.ggml.model"] == "gpt2" and g.meta["tokenizer.ggml.pre"] == "smollm"
    vocab = {token: i for i, token in enumerate(g.meta["tokenizer.ggml.tokens"])}
    merges = [tuple(m.split(" ")) for m in g.meta["tokenizer.ggml.merges"]]
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    t.decoder = decoders.ByteLevel()
    return t


def end_of_text(g):
    """By name, never by bos_token_id."""
    return g.meta["tokenizer.ggml.tokens"].index("<|endoftext|>")


CHAT_TEXTS = ("The sky is blue.", "3 words only", "é\n\nb")


def chat_rows(g, tokenizer):
    """What transformers makes of a message of a user by the file's own template: the ids of the whole prompt."""
    from tokenizers import AddedToken

    template = g.meta.get("tokenizer.chat_template")
    if not template:
        return
    special = [t for t, kind in zip(g.meta["tokenizer.ggml.tokens"], g.meta["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template)
    for text in CHAT_TEXTS:
        turn = [{"role": "user", "content": text}]
        ids = fast.apply_chat_template(turn, add_generation_prompt=True, tokenize=True, return_dict=False)
        yield {"type": "chat", "text": text, "ids": ids}


def versions():
    return {
        "torch": re.sub(r"\+.*", "", torch.__version__),
        "transformers": transformers.__version__,
        "gguf": __import__("importlib.metadata").metadata.version("gguf"),
        "numpy": np.__version__,
    }
