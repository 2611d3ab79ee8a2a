"""Make tests/data/split/: a tiny model in several files, as the gguf package splits it.

    golden_split.py [--model FILE] [--out FOLDER] [--tensors N]

Every key and tensor of the model, N tensors a file at most.
"""

import argparse
import os

import gguf


def copy_keys(writer, reader):
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=sub)


def main():
    data = os.path.join(os.path.dirname(__file__), "..", "tests", "data")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=os.path.join(data, "llama_c.gguf"))
    parser.add_argument("--out", default=os.path.join(data, "split"))
    parser.add_argument("--tensors", type=int, default=5)
    options = parser.parse_args()
    reader = gguf.GGUFReader(options.model)
    os.makedirs(options.out, exist_ok=True)
    name = os.path.basename(options.model)
    writer = gguf.GGUFWriter(os.path.join(options.out, name),
                             reader.fields["general.architecture"].contents(),
                             split_max_tensors=options.tensors)
    copy_keys(writer, reader)
    for t in reader.tensors:
        writer.add_tensor(t.name, t.data, raw_shape=t.data.shape, raw_dtype=t.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for part in sorted(os.listdir(options.out)):
        print(part, os.path.getsize(os.path.join(options.out, part)), "bytes")


if __name__ == "__main__":
    main()
