"""Small tokenizers of every kind that we read, and what Hugging Face `tokenizers` makes of texts with them.

golden_tokenizers.py write             tests/data/tokenizers/NAME.json, NAME.txt and words.txt
    NAME.txt: ids, a tab, what they decode to, a tab, the text (escapes of tests/lines.h)
    words.txt: a pre-tokenizer's name, a tab, the words in the byte-level alphabet, a tab, the text
golden_tokenizers.py check TOOL_TOKENS [N]
    compare N generated lines for each of them, and for each pre-tokenizer in a GGUF file
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers as pre, processors
from tokenizers.trainers import BpeTrainer

import hf_tokenizer
import token_texts

OUT = pathlib.Path(__file__).parent.parent / "tests" / "data" / "tokenizers"
CONTROL = ["<unk>", "<s>", "</s>"]
BLANK = "\u2581"


def words(add_prefix_space=False, use_regex=True):
    return pre.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def split(pattern, behavior="isolated", invert=False):
    return pre.Split(pattern, behavior=behavior, invert=invert)


def spm_decoder(strip):
    steps = [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * strip)


def added(text, **options):
    return AddedToken(text, **{"normalized": False, "special": False, **options})


BYTE_LEVEL = {"decoder": decoders.ByteLevel()}
# normalizer, pre_tokenizer, decoder; model: what goes into the model's object; added: besides CONTROL
KINDS = {
    "llama2": {"normalizer": normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)]),
               "decoder": spm_decoder(True), "model": {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"},
               "bos": True},
    "gemma": {"normalizer": normalizers.Replace(" ", BLANK), "pre_tokenizer": split(" ", "merged_with_previous"),
              "decoder": spm_decoder(False), "model": {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"},
              "added": [added("\n\n"), added("\n\n\n"), added(BLANK * 2), added("<b>")], "bos": True},
    "metaspace": {"pre_tokenizer": pre.Metaspace(prepend_scheme="first", split=True),
                  "decoder": spm_decoder(True), "model": {"unk_token": "<unk>"},
                  "added": [added("[x]", lstrip=True), added("word", single_word=True)]},
    "fused": {"normalizer": normalizers.Sequence([normalizers.NFKD(), normalizers.Replace(Regex(r"\p{Mn}+|\d{2}"), "_")]),
              "pre_tokenizer": pre.Metaspace(prepend_scheme="always", split=False), "decoder": spm_decoder(True),
              "model": {"unk_token": "<unk>", "fuse_unk": True}},
    "neox": {"normalizer": normalizers.NFC(), "pre_tokenizer": words(), **BYTE_LEVEL,
             "added": [added(" " * n, normalized=True) for n in (4, 3, 2)] + [added("\u03a9x", normalized=True)]},
    "prefixed": {"normalizer": normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()]),
                 "pre_tokenizer": pre.Sequence([pre.Digits(individual_digits=False), words(add_prefix_space=True)]),
                 **BYTE_LEVEL, "added": [added("[x]", normalized=True, rstrip=True, lstrip=True)]},
    "falcon": {"pre_tokenizer": hf_tokenizer.PRE["falcon"](), **BYTE_LEVEL},
    "deepseek": {"normalizer": normalizers.Sequence([]), "pre_tokenizer": hf_tokenizer.PRE["deepseek-coder"](), **BYTE_LEVEL},
    "llama3": {"pre_tokenizer": hf_tokenizer.PRE["llama-bpe"](), **BYTE_LEVEL, "model": {"ignore_merges": True}, "bos": True},
    "split": {"normalizer": normalizers.NFD(),
              "pre_tokenizer": pre.Sequence([split(Regex(r"[aeiou]+|\s"), "merged_with_next"), split("'s", "contiguous"),
                                             split(Regex(r"[\p{L}\p{M}]"), "contiguous", True),
                                             split(Regex(r"[^\S\n]|\W\w"), "removed"), split("b", "merged_with_previous"),
                                             split(Regex(r"(?=\d{2})")), words(use_regex=False)]), **BYTE_LEVEL},
    "whitespace": {"pre_tokenizer": pre.Sequence([pre.Whitespace(), pre.Punctuation("merged_with_previous"),
                                                  pre.Digits(individual_digits=True)]),
                   "decoder": decoders.Fuse(), "model": {"unk_token": "<unk>"}},
    "blanks": {"pre_tokenizer": pre.Sequence([pre.WhitespaceSplit(), pre.Punctuation()]), "decoder": decoders.Fuse(),
               "model": {"unk_token": "<unk>", "fuse_unk": True}},
}


def corpus():
    return token_texts.hard() * 3 + list(token_texts.generated(300, seed=3))


def trained(kind, size):
    """The vocabulary and merges that a trainer makes for this kind, its control tokens first."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    if kind.get("normalizer"):
        tokenizer.normalizer = kind["normalizer"]
    if kind.get("pre_tokenizer"):
        tokenizer.pre_tokenizer = kind["pre_tokenizer"]
    byte_level = isinstance(kind.get("decoder"), decoders.ByteLevel)
    alphabet = pre.ByteLevel.alphabet() if byte_level else []
    tokenizer.train_from_iterator(corpus(), BpeTrainer(vocab_size=size, special_tokens=CONTROL, initial_alphabet=alphabet,
                                                       limit_alphabet=256 if byte_level else 150, show_progress=False,
                                                       max_token_length=16))
    return json.loads(tokenizer.to_str())["model"]


def build(kind, size=420):
    model = trained(kind, size)
    vocab = model["vocab"]
    if kind.get("model", {}).get("byte_fallback"):
        names = [*CONTROL, *(f"<0x{b:02X}>" for b in range(256)), *sorted(vocab, key=vocab.get)[len(CONTROL):]]
        vocab = {t: i for i, t in enumerate(names)}
    merges = model["merges"] if kind.get("bos") else [" ".join(m) for m in model["merges"]]
    model = {"type": "BPE", "unk_token": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             **kind.get("model", {}), "vocab": vocab, "merges": merges}
    whole = json.loads(Tokenizer(models.BPE()).to_str())
    tokenizer = Tokenizer.from_str(json.dumps({**whole, "model": model}))
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if kind.get(part):
            setattr(tokenizer, part, kind[part])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in CONTROL])
    tokenizer.add_tokens(kind.get("added", []))
    if kind.get("bos"):
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    data = json.loads(tokenizer.to_str())
    data["model"]["merges"] = merges
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def special_texts():
    yield from ("<s>a b</s> c", "a<unk>b", " <s> a", "<s>", "a [x] b", "[x][x] ", "word words word.", "swordw word", "x\n\n\n\n\ny",
                f"a{BLANK}b{BLANK * 2}c", "a    b   c  d", "\u03a9x \u2126x éx e\u0301x", "A[X] b", "a [x]b [X]", "<b>a</b>", "a  </s>  b", "<s")


def line(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    back = tokenizer.decode(ids, skip_special_tokens=False)
    return "\t".join([" ".join(map(str, ids)), hf_tokenizer.escape(back), hf_tokenizer.escape(text)])


def write():
    OUT.mkdir(exist_ok=True)
    texts = [*special_texts(), *token_texts.fixed()][:100] + list(token_texts.generated(70, seed=11))
    for name, kind in KINDS.items():
        data = build(kind)
        (OUT / f"{name}.json").write_text(data + "\n", encoding="utf-8")
        tokenizer = Tokenizer.from_str(data)
        lines = [f"# {name}.json by Hugging Face tokenizers; written by tools/golden_tokenizers.py"]
        lines += [line(tokenizer, t) for t in dict.fromkeys(texts)]
        (OUT / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["# words of GGUF's pre-tokenizers by Hugging Face tokenizers; written by tools/golden_tokenizers.py"]
    texts = [*token_texts.hard()[:18], *token_texts.generated(20, seed=5)]
    for name, make in hf_tokenizer.PRE.items():
        for t in texts:
            cut = " ".join(w for w, _ in make().pre_tokenize_str(t))
            lines.append("\t".join([name, cut, hf_tokenizer.escape(t)]))
    (OUT / "words.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    total = sum(p.stat().st_size for p in OUT.iterdir())
    print(f"{len(KINDS)} tokenizers, {total} bytes", file=sys.stderr)


def write_gguf(path, name, size=2000):
    """A file with a vocabulary only, trained with the pre-tokenizer of that name."""
    from gguf import GGUFWriter
    model = trained({"pre_tokenizer": hf_tokenizer.PRE[name](), **BYTE_LEVEL}, size)
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(vocab)
    writer.add_token_types([3 if t in CONTROL else 1 for t in vocab])
    writer.add_token_merges([" ".join(m) for m in model["merges"]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def check(program, count):
    here = pathlib.Path(__file__).parent
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in [*KINDS, *hf_tokenizer.PRE]:
            path = f"{folder}/{name}." + ("json" if name in KINDS else "gguf")
            if name in KINDS:
                pathlib.Path(path).write_text(build(KINDS[name], 2000), encoding="utf-8")
            else:
                write_gguf(path, name)
            print(name, flush=True)
            if subprocess.run([sys.executable, here / "check_tokens.py", program, path, "--generated", count]).returncode:
                failed.append(name)
    print(f"{len(KINDS)} tokenizer.json, {len(hf_tokenizer.PRE)} pre-tokenizers; differ: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def main():
    if sys.argv[1:] == ["write"]:
        write()
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "10000")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
