"""The tokenizer of a GGUF file as Hugging Face `tokenizers` runs it: the oracle of ours."""

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def by_regex(digits):
    return Sequence([Split(Regex(CL100K % digits), behavior="isolated", invert=False),
                     ByteLevel(add_prefix_space=False, use_regex=False)])


PRE = {
    "smollm": lambda: Sequence([Digits(individual_digits=True),
                                ByteLevel(add_prefix_space=False, use_regex=True)]),
    "gpt-2": lambda: ByteLevel(add_prefix_space=False, use_regex=True),
    "llama-bpe": lambda: by_regex(r"\p{N}{1,3}"),
    "qwen2": lambda: by_regex(r"\p{N}"),
}


def strings(reader, key):
    field = reader.fields[key]
    return [bytes(field.parts[i]).decode() for i in field.data]


def scalar(reader, key):
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def load(path):
    """The tokenizer; special tokens are found in the text only after add_special()."""
    reader = GGUFReader(path)
    tokens = strings(reader, "tokenizer.ggml.tokens")
    merges = [tuple(m.split(" ")) for m in strings(reader, "tokenizer.ggml.merges")]
    pre = scalar(reader, "tokenizer.ggml.pre")
    unknown = scalar(reader, "tokenizer.ggml.unknown_token_id")
    model = BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges,
                ignore_merges=pre == "llama-bpe",
                unk_token=None if unknown is None else tokens[unknown])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = PRE[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    kinds = reader.fields["tokenizer.ggml.token_type"]
    kinds = [int(kinds.parts[i][0]) for i in kinds.data]
    added = [t for t, kind in zip(tokens, kinds) if kind == 4]
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in added])
    control = [t for t, kind in zip(tokens, kinds) if kind == 3]
    return tokenizer, control


def add_special(tokenizer, control):
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])


ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def escape(text):
    """As tests/lines.h reads it."""
    return "".join(ESCAPES.get(c) or (f"\\x{ord(c):02x}" if ord(c) < 32 else c) for c in text)
