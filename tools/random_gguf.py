#!/usr/bin/env python3
"""random_gguf.py: a Llama-shaped GGUF file with random weights, for measuring large models.

    tools/random_gguf.py OUT VOCAB.gguf [--shape 7b|13b|1b] [--type Q4_K|Q8_0|F16] [--blocks N] [--seed N]

Sizes of the shape, vocabulary and its keys from VOCAB (shared/vocab/ggml-vocab-llama-spm.gguf). Weights
are uniform with standard deviation 0.02, norms 1: numbers that can be computed with and mean nothing.
Needs numpy and the gguf package.
"""
import argparse

import gguf
import numpy as np

SHAPES = {  # blocks, width, heads, KV heads, MLP width
    "1b": (22, 2048, 32, 4, 5632),
    "7b": (32, 4096, 32, 32, 11008),
    "13b": (40, 5120, 40, 40, 13824),
}
TYPES = {"Q4_K": gguf.GGMLQuantizationType.Q4_K, "Q8_0": gguf.GGMLQuantizationType.Q8_0, "F16": gguf.GGMLQuantizationType.F16}
SD = 0.02


def half(x):
    return np.frombuffer(np.float16(x).tobytes(), np.uint8)


def random_q4_k(n, r):
    """w = d 32 (q - 7.5): every scale and minimum of a block is 32, dmin = 7.5 d."""
    block = np.zeros((n // 256, 144), np.uint8)
    d = np.float16(SD / (32 * np.sqrt(255 / 12)))
    block[:, 0:2], block[:, 2:4] = half(d), half(np.float16(7.5 * float(d)))
    block[:, 4:12] = 32 | 2 << 6  # the upper bits of scales and minima 4-7 too
    block[:, 16:] = r.integers(0, 256, (n // 256, 128), np.uint8)
    return block


def random_q8_0(n, r):
    block = np.zeros((n // 32, 34), np.uint8)
    block[:, 0:2] = half(SD / np.sqrt((255**2 - 1) / 12))
    block[:, 2:] = r.integers(-127, 128, (n // 32, 32), np.int8).view(np.uint8)
    return block


def random_f16(n, r):
    return (r.uniform(-1, 1, n).astype(np.float32) * SD * 3**0.5).astype(np.float16)


MAKE = {"Q4_K": random_q4_k, "Q8_0": random_q8_0, "F16": random_f16}


def tensors(blocks, width, heads, kv, ffn, vocab):
    """Names with (outputs, inputs); a norm has one size."""
    side = width // heads * kv
    yield "token_embd.weight", (vocab, width)
    yield "output_norm.weight", (width,)
    yield "output.weight", (vocab, width)
    for i in range(blocks):
        b = f"blk.{i}."
        yield b + "attn_norm.weight", (width,)
        yield b + "attn_q.weight", (width, width)
        yield b + "attn_k.weight", (side, width)
        yield b + "attn_v.weight", (side, width)
        yield b + "attn_output.weight", (width, width)
        yield b + "ffn_norm.weight", (width,)
        yield b + "ffn_gate.weight", (ffn, width)
        yield b + "ffn_up.weight", (ffn, width)
        yield b + "ffn_down.weight", (width, ffn)


def copy_tokenizer(out, path):
    for field in gguf.GGUFReader(path).fields.values():
        if not field.name.startswith("tokenizer."):
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        out.add_key_value(field.name, field.contents(), kind, sub_type=sub)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("vocab")
    p.add_argument("--shape", choices=SHAPES, default="7b")
    p.add_argument("--type", choices=TYPES, default="Q4_K")
    p.add_argument("--blocks", type=int)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    blocks, width, heads, kv, ffn = SHAPES[a.shape]
    blocks = a.blocks or blocks
    vocab = len(gguf.GGUFReader(a.vocab).fields["tokenizer.ggml.tokens"].data)
    r = np.random.default_rng(a.seed)

    w = gguf.GGUFWriter(a.out, "llama")
    w.add_name(f"random-llama-{a.shape}")
    w.add_block_count(blocks)
    w.add_context_length(4096)
    w.add_embedding_length(width)
    w.add_feed_forward_length(ffn)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_rope_dimension_count(width // heads)
    w.add_layer_norm_rms_eps(1e-5)
    copy_tokenizer(w, a.vocab)
    all_tensors = list(tensors(blocks, width, heads, kv, ffn, vocab))
    for name, shape in all_tensors:
        kind = TYPES[a.type] if len(shape) == 2 else gguf.GGMLQuantizationType.F32
        size, bytes_ = gguf.GGML_QUANT_SIZES[kind]
        w.add_tensor_info(name, shape, np.dtype(np.float32), int(np.prod(shape)) // size * bytes_, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for name, shape in all_tensors:
        n = int(np.prod(shape))
        w.write_tensor_data(MAKE[a.type](n, r) if len(shape) == 2 else np.ones(n, np.float32))
    w.close()


main()
