"""Make tests/data/quant.bin: blocks of every format we read, and what they are as float32.

    golden_quant.py [--out FILE]

The values are those of gguf.quants.dequantize, but of Q8_K, which it knows by its size only: d q,
from the definition. Bytes of the blocks are random; scales (float16) are
set to zero, subnormal, largest, infinite and NaN ones in some blocks. All numbers little-endian:

    "PHQUANT1"  u32 number of records, then per record
    char name[8] (zero-filled)  u32 blocks  u32 weights in a block  u32 bytes of a block
    the blocks, then blocks × weights float32; every NaN is stored as 0x7fc00000
"""

import argparse
import os
import struct

import gguf
import numpy as np

SCALES = np.array(  # bits of float16
    [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x7BFF, 0xFBFF, 0x3C00, 0xBC00,
     0x7C00, 0xFC00, 0x7E00, 0x1400], np.uint16)
FLOATS = np.array(
    [0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000,
     0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000], np.uint32)

# name: bytes at which float16 scales stand
FORMATS = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
           "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q2_K": [80, 82], "Q3_K": [108],
           "IQ4_NL": [0], "IQ4_XS": [0], "Q8_K": []}
BLOCKS, PLAIN = 64, 512


def random_blocks(rng, kind, places):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (BLOCKS, size), np.uint8)
    for column, at in enumerate(places):
        scales = rng.normal(0, 0.01, BLOCKS).astype(np.float16).view(np.uint16)
        scales[column::3][:16] = SCALES  # with two scales, extremes meet ordinary ones and extremes
        scales[48:] = rng.permutation(SCALES)
        data[:, at:at + 2] = scales.view(np.uint8).reshape(BLOCKS, 2)
    if kind == gguf.GGMLQuantizationType.Q8_K:  # its scale is a float32
        scales = rng.normal(0, 0.01, BLOCKS).astype(np.float32).view(np.uint32)
        scales[:len(FLOATS)] = FLOATS
        data[:, :4] = scales.view(np.uint8).reshape(BLOCKS, 4)
    return data


def values_of(data, kind):
    if kind == gguf.GGMLQuantizationType.Q8_K:
        return data[:, :4].copy().view("<f4") * data[:, 4:260].view(np.int8).astype(np.float32)
    return gguf.quants.dequantize(data.copy(), kind).astype(np.float32)


def plain(rng, name):
    if name == "F32":
        bits = rng.integers(0, 1 << 32, PLAIN, np.uint32)
        bits[:len(FLOATS)] = FLOATS
        return bits.view(np.uint8).reshape(PLAIN, 4)
    bits = rng.integers(0, 1 << 16, PLAIN, np.uint16)
    if name == "F16":
        bits[:len(SCALES)] = SCALES
    else:
        bits[:len(FLOATS)] = FLOATS >> 16
    return bits.view(np.uint8).reshape(PLAIN, 2)


def record(name, data):
    kind = gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    assert data.shape[1] == size
    with np.errstate(all="ignore"):
        values = values_of(data, kind).reshape(-1)
    assert values.size == data.shape[0] * block
    bits = values.view(np.uint32).copy()
    bits[np.isnan(values)] = 0x7FC00000
    head = name.encode().ljust(8, b"\0") + struct.pack("<3I", data.shape[0], block, size)
    return head + data.tobytes() + bits.astype("<u4").tobytes()


def main():
    folder = os.path.join(os.path.dirname(__file__), "..", "tests", "data")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=os.path.join(folder, "quant.bin"))
    out = parser.parse_args().out
    rng = np.random.default_rng(20240607)
    records = [record(name, plain(rng, name)) for name in ("F32", "F16", "BF16")]
    for name, places in FORMATS.items():
        records.append(record(name, random_blocks(rng, gguf.GGMLQuantizationType[name], places)))
    with open(out, "wb") as f:
        f.write(b"PHQUANT1" + struct.pack("<I", len(records)) + b"".join(records))
    print(f"{out}: {len(records)} formats, {os.path.getsize(out)} bytes")


if __name__ == "__main__":
    main()
