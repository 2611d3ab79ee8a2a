"""The tokenizer of a GGUF file as Hugging Face `tokenizers` (or SentencePiece) runs it: the oracle of ours."""

import types

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Punctuation, Sequence, Split

CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = CASELESS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*%s|%s"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST)
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
EAST = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+".encode().decode("unicode_escape")
CASED = ("A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅ"
         "ὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄ"
         "Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")


def cut(*patterns, words=False):
    """Splits, one after another, then the byte level."""
    steps = [Split(Regex(p), behavior="isolated", invert=False) for p in patterns]
    return Sequence([*steps, ByteLevel(add_prefix_space=False, use_regex=words)])


# From the tokenizer.json of the models that the names are about.
PRE = {
    "gpt-2": lambda: cut(words=True),
    "mpt": lambda: cut(words=True),
    "olmo": lambda: cut(words=True),
    "phi-2": lambda: cut(words=True),
    "jais": lambda: cut(words=True),
    "smollm": lambda: Sequence([Digits(individual_digits=True),
                                ByteLevel(add_prefix_space=False, use_regex=True)]),
    "starcoder": lambda: PRE["smollm"](),
    "command-r": lambda: PRE["smollm"](),
    "refact": lambda: PRE["smollm"](),
    "falcon": lambda: Sequence([Punctuation(behavior="contiguous"),
                                ByteLevel(add_prefix_space=False, use_regex=True),
                                Digits(individual_digits=False),
                                Split(Regex("[0-9][0-9][0-9]"), behavior="isolated", invert=False)]),
    "llama-bpe": lambda: cut(CL100K % r"\p{N}{1,3}"),
    "dbrx": lambda: cut(CL100K % r"\p{N}{1,3}"),
    "chatglm-bpe": lambda: cut(CL100K % r"\p{N}{1,3}"),
    "qwen2": lambda: cut(CL100K % r"\p{N}"),
    "stablelm2": lambda: cut(CL100K % r"\p{N}"),
    "tekken": lambda: cut(O200K % ("", "", r"\p{N}")),
    "gpt-4o": lambda: cut(O200K % (CASELESS + "?", CASELESS + "?", r"\p{N}{1,3}")),
    "deepseek-llm": lambda: Sequence([
        *(Split(Regex(p), behavior="isolated", invert=False)
          for p in ("[\r\n]", rf"\s?[{CASED}]+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$", EAST)),
        Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=False)]),
    "deepseek-coder": lambda: Sequence([
        *(Split(Regex(p), behavior="isolated", invert=False)
          for p in ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST)),
        Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=False)]),
    "deepseek-v3": lambda: cut(
        r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^""" "\r\n" r"""\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"""| ?[\p{P}\p{S}]+[""" "\r\n" r"""]*|\s*[""" "\r\n" r"""]+|\s+(?!\S)|\s+"""),
    "bloom": lambda: cut(BLOOM),
    "viking": lambda: cut(BLOOM, r"\p{N}"),
    "qwen35": lambda: cut(CASELESS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
                          + REST),
    "seed-coder": lambda: cut(CASELESS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + REST),
    "bailingmoe": lambda: cut(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
                              r"|\s*[\r\n]|\s+(?!\S)|\s+"),
    "superbpe": lambda: cut(r"\p{N}+", r"(?=(\d{3})+(?!\d))"),
    "tiny_aya": lambda: cut(r"\d{1,3}(?=(?:\d{3})*\b)", O200K % (CASELESS + "?", CASELESS + "?", r"\p{N}{1,3}")),
    "kimi-k2": lambda: cut(
        r"[\p{Han}]+|" + "|".join(rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER[1:-1]}&&[^\p{{Han}}]]{a}[{LOWER[1:-1]}&&[^\p{{Han}}]]{b}"
                                 + CASELESS + "?" for a, b in ("*+", "+*"))
        + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST),
    "youtu": lambda: cut(
        "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-\u303f︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+", O200K % (CASELESS + "?", CASELESS + "?", r"\p{N}")),
    "minicpm5": lambda: cut(r"\p{N}{1,3}", CL100K % r"\p{N}+"),
    "exaone-moe": lambda: cut(CASELESS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                              r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"),
    "laguna": lambda: cut(r"[^\n]+|[\n]+", CL100K % r"\p{N}"),
    "chameleon": lambda: Sequence([
        *(Split(Regex(p), behavior="isolated", invert=False)
          for p in ("<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\t\n]|    |  )")),
        Digits(individual_digits=True), Punctuation(behavior="isolated"),
        ByteLevel(add_prefix_space=False, use_regex=True)]),
    "jais-2": lambda: cut(CASELESS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                          + "".join(rf"\s{{{n}}}(?!\S)|" for n in (512, 256, 128, 64, 32, 16, 8, 4))
                          + r"\s{1,2}(?!\S)|\s{1}"),
}


def strings(reader, key):
    field = reader.fields[key]
    return [bytes(field.parts[i]).decode() for i in field.data]


def scalar(reader, key):
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def load_json(path):
    """Special tokens are found from the start: the others' order would change without them."""
    return Tokenizer.from_file(path), []


class SentencePiece:
    """The file's tokens, scores and types in a model of the `sentencepiece` package."""

    def __init__(self, reader):
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2 as pb

        tokens = strings(reader, "tokenizer.ggml.tokens")
        scores, kinds = (scalar(reader, "tokenizer.ggml." + k) for k in ("scores", "token_type"))
        prefix = scalar(reader, "tokenizer.ggml.add_space_prefix")
        model = pb.ModelProto()
        for i, (t, score, kind) in enumerate(zip(tokens, scores, kinds)):
            if kind == 4:
                t = t.replace(" ", "\u2581")
            if kind == 2 and i != scalar(reader, "tokenizer.ggml.unknown_token_id"):
                kind = 3  # it wants one unknown token only
            model.pieces.add(piece=t, score=score, type=int(kind))
        spec = model.trainer_spec
        spec.model_type = spec.BPE
        spec.byte_fallback = True
        spec.vocab_size = len(tokens)
        names = {k: scalar(reader, f"tokenizer.ggml.{k}_token_id") for k in ("unknown", "bos", "eos")}
        spec.unk_id, spec.bos_id, spec.eos_id = names["unknown"], names["bos"], names["eos"]
        spec.unk_piece, spec.bos_piece, spec.eos_piece = (tokens[names[k]] for k in ("unknown", "bos", "eos"))
        model.normalizer_spec.add_dummy_prefix = prefix is None or bool(prefix)
        model.normalizer_spec.remove_extra_whitespaces = False
        self.model = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())

    def encode_batch(self, texts, add_special_tokens=False):
        return [types.SimpleNamespace(ids=self.model.encode(t)) for t in texts]

    def decode_batch(self, ids, skip_special_tokens=False):
        return [self.model.decode(i) for i in ids]


def load(path):
    """The tokenizer; special tokens are found in the text only after add_special()."""
    if path.endswith(".json"):
        return load_json(path)
    reader = GGUFReader(path)
    if scalar(reader, "tokenizer.ggml.model") == "llama":
        return SentencePiece(reader), []
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
