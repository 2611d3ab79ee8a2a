"""Make Hugging Face folders of the families' tiny models: DATA/NAME.gguf and NAME.json to OUT/NAME/.

    folder_families.py DATA OUT

The way back of what golden_families.py's Converter does, so that the weights are kept once; that
script proves each folder against transformers' own state_dict (--check-folders DIR). Needs the
Python standard library only: the build runs it. Every third model is sharded with an index, every
other one has all its numbers in F32.
"""

import json
import os
import struct
import sys

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

LLAMA = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
}  # fmt: skip
SANDWICH = dict(LLAMA, post_attention_norm="post_attention_layernorm", ffn_norm="pre_feedforward_layernorm",
                post_ffw_norm="post_feedforward_layernorm")  # fmt: skip
NAMES = {
    "gemma2": SANDWICH, "gemma3_text": SANDWICH, "olmo2": SANDWICH,
    "gpt2": {
        "token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f",
        "attn_norm": "ln_1", "ffn_norm": "ln_2", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
        "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
    "gpt_neox": {
        "token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm", "output": "embed_out",
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_qkv": "attention.query_key_value", "attn_output": "attention.dense",
        "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"},
    "phi": dict(LLAMA, output_norm="model.final_layernorm", attn_output="self_attn.dense",
                ffn_up="mlp.fc1", ffn_down="mlp.fc2"),
    "phi3": dict(LLAMA, attn_qkv="self_attn.qkv_proj", ffn_up="mlp.gate_up_proj"),
}  # fmt: skip
STACK = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}


class Gguf:
    """Of a file that we wrote: keys, and tensors as (shape slowest first, flat floats)."""

    def __init__(self, path):
        self.bytes, self.at = open(path, "rb").read(), 8
        n_tensors, n_keys = self.take("QQ")
        self.keys = {self.text(): self.value(*self.take("I")) for _ in range(n_keys)}
        heads = [(self.text(), self.take("Q" * self.take("I")[0]), *self.take("IQ")) for _ in range(n_tensors)]
        start = -(-self.at // 32) * 32
        self.tensors = {name: self.tensor(sizes[::-1], kind, start + offset) for name, sizes, kind, offset in heads}

    def take(self, form):
        out = struct.unpack_from("<" + form, self.bytes, self.at)
        self.at += struct.calcsize("<" + form)
        return out

    def text(self):
        (n,) = self.take("Q")
        self.at += n
        return self.bytes[self.at - n : self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.take(SCALARS[kind])[0]
        inner, n = self.take("IQ")
        return [self.value(inner) for _ in range(n)]

    def tensor(self, shape, kind, at):
        n = 1
        for size in shape:
            n *= size
        return list(shape), list(struct.unpack_from(f"<{n}{'fe'[kind]}", self.bytes, at))


def rows_of(x, shape):
    columns = len(x) // shape[0]
    return [x[i * columns : (i + 1) * columns] for i in range(shape[0])]


def flat(rows):
    return [v for row in rows for v in row]


def unpermute(rows, heads):
    """llama.cpp's converter puts the halves of a head alternating."""
    D = len(rows) // heads
    return [rows[h * D + 2 * i + half] for h in range(heads) for half in (0, 1) for i in range(D // 2)]


def arrange(config, kind, end, shape, x):
    """A tensor as transformers has it."""
    model, heads = config["model_type"], config.get("num_attention_heads", config.get("n_head"))
    if model in ("llama", "mistral") and kind in ("attn_q", "attn_k"):
        n = heads if kind == "attn_q" else config["num_key_value_heads"]
        return shape, flat(unpermute(rows_of(x, shape), n))
    if model.startswith("gemma") and kind.endswith("norm"):
        return shape, [v - 1 for v in x]
    if model == "gpt2" and len(shape) == 2 and kind in ("attn_qkv", "attn_output", "ffn_up", "ffn_down"):
        return shape[::-1], flat(zip(*rows_of(x, shape)))
    if model == "gpt_neox" and kind == "attn_qkv":
        rows, D = rows_of(x, shape), shape[0] // heads // 3
        return shape, flat(rows[(i * heads + h) * D + d] for h in range(heads) for i in range(3) for d in range(D))
    return shape, x


def translated(g, config):
    """(name, shape, numbers) of every tensor that a folder has."""
    model = config["model_type"]
    names = NAMES.get(model, LLAMA)
    for name, (shape, x) in g.tensors.items():
        stem, end = name.rsplit(".", 1)
        block, kind = "", stem
        if stem.startswith("blk."):
            _, n, kind = stem.split(".", 2)
            block = f"{STACK.get(model, 'model.layers')}.{n}."
        if kind.startswith("rope_"):
            continue
        shape, x = arrange(config, kind, end, shape, x)
        if model == "stablelm" and kind in ("attn_q_norm", "attn_k_norm"):
            for h, row in enumerate(rows_of(x, shape)):
                yield f"{block}self_attn.{kind[5]}_layernorm.norms.{h}.{end}", [shape[1]], row
            continue
        yield block + names[kind] + "." + end, shape, x


def write_safetensors(path, tensors, single):
    header, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, shape, x in tensors:
        form = "f" if single or len(shape) == 1 else "e"
        raw = struct.pack(f"<{len(x)}{form}", *x)
        header[name] = dict(dtype={"f": "F32", "e": "F16"}[form], shape=shape, data_offsets=[at, at + len(raw)])
        data.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def write_weights(folder, tensors, i):
    if i % 3:
        return write_safetensors(os.path.join(folder, "model.safetensors"), tensors, i % 2)
    half, where = len(tensors) // 2, {}
    for n, part in enumerate((tensors[:half], tensors[half:]), 1):
        file = f"model-{n:05}-of-00002.safetensors"
        write_safetensors(os.path.join(folder, file), part, i % 2)
        where |= {name: file for name, _, _ in part}
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 1}, "weight_map": where}, f)


def write_tokenizer(folder, keys):
    """The vocabulary as tokenizer.json says it, with SmolLM's pre-tokenizer."""
    tokens, merges = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.merges"]
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    special = dict(id=0, content=tokens[0], single_word=False, lstrip=False, rstrip=False,
                   normalized=False, special=True)  # fmt: skip
    out = dict(
        version="1.0", added_tokens=[special], normalizer=None,
        pre_tokenizer=dict(type="Sequence", pretokenizers=[dict(type="Digits", individual_digits=True), level]),
        post_processor=None, decoder=level,
        model=dict(type="BPE", vocab={t: i for i, t in enumerate(tokens)}, merges=merges))  # fmt: skip
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(out, f)
    chat = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    config = dict(bos_token=tokens[0], eos_token=tokens[0], add_bos_token=False, chat_template=chat,
                  model_max_length=int(1e30), tokenizer_class="GPT2Tokenizer")  # fmt: skip
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump(config, f)


def main():
    data, out = sys.argv[1:]
    names = sorted(f[:-5] for f in os.listdir(data) if f.endswith(".json"))
    for i, name in enumerate(names):
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(data, name + ".json")) as f:
            text = f.read()
        with open(os.path.join(folder, "config.json"), "w") as f:
            f.write(text)
        g = Gguf(os.path.join(data, name + ".gguf"))
        write_weights(folder, list(translated(g, json.loads(text))), i)
        write_tokenizer(folder, g.keys)


if __name__ == "__main__":
    main()
