"""A GGUF file with its quantised matrices in another type, to compare with: phosphene compare-models.

    requantize.py FROM.gguf TO.gguf [TYPE]        TYPE: Q8_0 (default), Q4_0, Q4_1, Q5_0, Q5_1, F16, …

What is dequantised and quantised again is as near to FROM as TYPE can be, not to the model it was made
of. All keys stay, but for general.file_type; norms and biases stay F32; a matrix whose rows TYPE cannot
hold stays as it is.
"""

import sys

import gguf
import numpy as np


def copy_keys(reader, writer):
    for field in reader.fields.values():
        if field.name in ("general.architecture", "general.file_type") or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=sub)


def converted(t, kind):
    """Data, its type and shape in bytes of what becomes of a tensor."""
    old = gguf.GGMLQuantizationType(t.tensor_type)
    block = gguf.GGML_QUANT_SIZES[kind][0]
    if old == gguf.GGMLQuantizationType.F32 or int(t.shape[0]) % block:
        return t.data, old
    return gguf.quants.quantize(gguf.quants.dequantize(t.data, old), kind), kind


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    reader = gguf.GGUFReader(sys.argv[1])
    kind = gguf.GGMLQuantizationType[sys.argv[3] if len(sys.argv) > 3 else "Q8_0"]
    writer = gguf.GGUFWriter(sys.argv[2], reader.fields["general.architecture"].contents())
    copy_keys(reader, writer)
    for t in reader.tensors:
        data, becomes = converted(t, kind)
        writer.add_tensor(t.name, np.ascontiguousarray(data), raw_dtype=becomes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
