"""Small vocabularies of the older kinds, and what their own libraries make of texts with them.

golden_older.py write             tests/data/older/NAME/: tokenizer.model, or vocab.json and merges.txt; and golden.txt:
    ids, a tab, what they decode to, a tab, the text (escapes of tests/lines.h)
golden_older.py check TOOL_TOKENS [N]
    compare N generated lines for each of them

tokenizer.model by the `sentencepiece` package; vocab.json and merges.txt by `transformers`, from a folder without a
tokenizer.json.
"""

import io
import json
import pathlib
import subprocess
import sys
import tempfile

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers as pre
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer

import hf_tokenizer
import token_texts

OUT = pathlib.Path(__file__).parent.parent / "tests" / "data" / "older"
IDENTITY = {"model_type": "bpe", "normalization_rule_name": "identity", "hard_vocab_limit": False, "character_coverage": 0.98}
MODELS = {
    "llama": {"byte_fallback": True, "remove_extra_whitespaces": False, "split_digits": True},
    "squeezed": {"byte_fallback": True},
    "unknown": {"remove_extra_whitespaces": False, "bos_id": -1, "eos_id": 3},
    "symbols": {"byte_fallback": True, "remove_extra_whitespaces": False, "add_dummy_prefix": False,
                "user_defined_symbols": ["\u2581\u2581", "\u2581\u2581\u2581", "<b>", "\n\n"]},
    "prefixed": {"byte_fallback": True, "remove_extra_whitespaces": False, "user_defined_symbols": ["<b>", "word"]},
}
PAIRS = {
    "gpt2": {"config": {"model_type": "gpt2"}, "tokenizer_config": {"model_max_length": 1024}},
    "qwen2": {"config": {"model_type": "qwen2"},
              "tokenizer_config": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                                   "unk_token": "<|endoftext|>",
                                   "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]},
              "added": ["<|im_start|>", "<|im_end|>"]},
    "codegen": {"config": {"model_type": "phi"},
                "tokenizer_config": {"tokenizer_class": "CodeGenTokenizer", "bos_token": "<|endoftext|>",
                                     "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "add_prefix_space": False},
                "blanks": ["  " * n for n in (4, 2, 1)]},
}


def corpus():
    return token_texts.hard() * 3 + list(token_texts.generated(300, seed=3))


def write_model(folder, options, size=1450):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_writer=out, vocab_size=size,
                                             minloglevel=2, num_threads=1, **IDENTITY, **options)
    (folder / "tokenizer.model").write_bytes(out.getvalue())


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def write_pair(folder, kind, size=420):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = hf_tokenizer.PRE["qwen2" if "added" in kind else "gpt-2"]()
    tokenizer.train_from_iterator(corpus(), BpeTrainer(vocab_size=size, initial_alphabet=sorted(pre.ByteLevel.alphabet()),
                                                       show_progress=False, max_token_length=16))
    model = json.loads(tokenizer.to_str())["model"]
    vocab = model["vocab"]
    vocab["<|endoftext|>"] = len(vocab)
    added = {t: len(vocab) + i for i, t in enumerate(kind.get("added", []) + kind.get("blanks", []))}
    write_json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"]), encoding="utf-8")
    if added:
        write_json(folder / "added_tokens.json", added)
    write_json(folder / "config.json", kind["config"])
    write_json(folder / "tokenizer_config.json", kind["tokenizer_config"])


def build(folder, name, *size):
    folder.mkdir(parents=True, exist_ok=True)
    if name in MODELS:
        write_model(folder, MODELS[name], *size)
    else:
        write_pair(folder, PAIRS[name], *size)


class Oracle:
    def __init__(self, folder):
        self.piece = None
        if (folder / "tokenizer.model").exists():
            self.piece = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        else:
            self.auto = AutoTokenizer.from_pretrained(folder)

    def encode(self, text):
        return self.piece.encode(text) if self.piece else self.auto.encode(text, add_special_tokens=False)

    def decode(self, ids):
        if self.piece:  # which shows an unknown token in its own way, but we as it is written
            return self.piece.decode(ids).replace(" \u2047 ", "<unk>")
        return self.auto.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def line(oracle, text):
    ids = oracle.encode(text)
    return "\t".join([" ".join(map(str, ids)), hf_tokenizer.escape(oracle.decode(ids)), hf_tokenizer.escape(text)])


def texts(name, count, seed):
    more = ["a  b", "  a", "a  ", "   ", " ", "<b>a<b> b", "word swordword", "x\n\n\n\ny", "a\u2581b", "日本語の本", "a日本語b",
            "12345 678", "\t a", "a\nb \n c"]
    if name in PAIRS:
        more += ["<|im_start|>user\nhi<|im_end|>", "a<|endoftext|>b", "x    y  z        w", "e\u0301 \u2126"]
    # a NUL cannot stand in a C string that decoding is compared by
    return [t for t in dict.fromkeys(more + list(token_texts.fixed())[:70] + list(token_texts.generated(count, seed=seed)))
            if "\0" not in t]


def write():
    for name in [*MODELS, *PAIRS]:
        build(OUT / name, name)
        oracle = Oracle(OUT / name)
        lines = [f"# {name} by its own library; written by tools/golden_older.py"]
        lines += [line(oracle, t) for t in texts(name, 60, 11)]
        (OUT / name / "golden.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(sum(p.stat().st_size for p in OUT.rglob("*") if p.is_file()), "bytes", file=sys.stderr)


def ours(program, folder, lines, *mode):
    data = "".join(line + "\n" for line in lines).encode()
    out = subprocess.run([program, folder, *mode], input=data, stdout=subprocess.PIPE).stdout.decode().split("\n")[:-1]
    if len(out) != len(lines):
        sys.exit(f"{len(lines)} lines went in, {len(out)} came out")
    return out


def check(program, count):
    failed = []
    for name in [*MODELS, *PAIRS]:
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place)
            build(folder, name, 2000)
            oracle = Oracle(folder)
            lines = [line(oracle, t).split("\t") for t in texts(name, count, 99)]
            ids = ours(program, place, [x[2] for x in lines], *["special"] * (name in PAIRS))
            back = ours(program, place, [x[0] for x in lines], "decode")
            wrong = [(x[2], a, x[0]) for x, a in zip(lines, ids) if a != x[0]]
            lost = [(x[0], b, x[1]) for x, b in zip(lines, back) if b != x[1]]
            for text, a, b in (wrong + lost)[:3]:
                print(f"{text!r}\n  ours   {a}\n  theirs {b}")
            print(f"{name}: {len(lines)} texts, {len(wrong)} differ, {len(lost)} decoded", flush=True)
            if wrong or lost:
                failed.append(name)
    print(f"{len(MODELS)} tokenizer.model, {len(PAIRS)} pairs; differ: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def main():
    if sys.argv[1:] == ["write"]:
        write()
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "check":
        check(sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 10000)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
