"""A model, and what can be asked of it."""
from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _abi, _options, _ordinary
from ._native import Owner, call, initial, integers, library, text, utf8
from ._options import RunOptions
from ._places import cache_folder, model_path
from ._read import Reader
from ._search import Watch
from .results import Attribution, Corpus, Dream, Effect, R, Recovery, Results, Scan, Score, listed
from .session import Session, floats
from .tokenizer import Tokenizer, id_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    Floats = NDArray[np.float32]

Specs = str | Iterable[str]
Text = str | Sequence[int]
Path = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself."""

    path: str
    name: str
    family: str
    quant: str
    backend: str
    blocks: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn: int
    vocab: int
    context_length: int
    tied: bool
    shape: str | None
    untrained: bool
    untrained_seed: int
    parameters: int
    block_parameters: int
    file_bytes: int
    threads: int


def _joined(specs: Specs) -> str:
    return specs if isinstance(specs, str) else ", ".join(specs)


def _said(info: Any) -> ModelInfo:
    values = {f.name: getattr(info, f.name) for f in dataclasses.fields(ModelInfo)}
    values |= {name: text(value) for name, value in values.items() if isinstance(value, bytes)}
    return ModelInfo(**(values | {"path": os.fsdecode(info.path)}))


class Asking:
    """One question: the features, the settings, a reader of its results, a watch over it."""

    def __init__(self, model: Model, specs: str | None, given: RunOptions):
        self._owner, self.source = model._owner, specs
        self.given = initial(_abi.ph_run_options)  # as asked; an SAE may say more
        _options.set_run(self.given, model._cache, given)
        self.watch = Watch(given.get("progress"))
        self.given.progress = self.watch.callback
        self.reader = Reader(model.tokenizer, self.given.reduce, self.given.sign, self.given.seed, model.info.width)
        self._features = ctypes.c_void_p()
        if specs is not None:
            call("ph_features_parse", ctypes.byref(self._features), model._info, utf8(specs, "spec"), source=specs)

    def close(self) -> None:
        library().ph_features_close(ctypes.byref(self._features))

    @property
    def parsed(self) -> Any:
        """The ph_features."""
        if not self._features:
            raise TypeError("specs: expected features, as in 'block 8 [:, :, 0-4]'")
        return self._features

    @property
    def features(self) -> list[Any]:
        n = library().ph_features_count(self.parsed)
        return [library().ph_features_at(self.parsed, i).contents for i in range(n)]

    def run(self) -> Any:
        """The settings under which the features are measured."""
        run = initial(_abi.ph_run_options)
        call("ph_features_run", ctypes.byref(run), self.parsed, ctypes.byref(self.given))
        return run

    def search(self, name: str, read: Callable[[Any], R], *after: Any, options: Any,
               text: Any = None) -> Results[R]:
        """ph_NAME(model, features, [text,] options, …)"""
        before = (self._owner.handle, self.parsed, *([] if text is None else [text]), ctypes.byref(options))
        return self.watch.collect("ph_" + name, getattr(_abi, f"ph_{name}_fn", _abi.ph_score_fn), read, before, after,
                                  self.source)


class Model:
    """A model: a GGUF file, a Hugging Face folder, or ORG/NAME[:FILE] in the Hugging Face cache; without a
    path $PHOSPHENE_MODEL, else the model that script/fetch-model fetched.

    threads     0: one for each processor
    backend     "cpu", "onednn", "ref", "ref64"; None: $PHOSPHENE_BACKEND, else cpu
    untrained   random weights, as the family initialises them, with init_seed; shape, blocks: of other
                sizes ("llama-7b"), always untrained
    cache       a folder that keeps complete searches; True: the tool's own; False: none

    Specs are in the feature language, "block 8 [:, :, 0-4]", several joined by commas or in a list.
    A text is a string or a list of token ids. Keywords that all searches share: see RunOptions.
    Models do not change: threads may share one.
    """

    def __init__(self, path: Path | None = None, *, threads: int = 0, backend: str | None = None,
                 untrained: bool = False, init_seed: int = 0, shape: str | None = None, blocks: int = 0,
                 cache: bool | Path = True):
        o = initial(_abi.ph_model_options)
        backend = backend or os.environ.get("PHOSPHENE_BACKEND") or None
        _options.set_plain(o, {"backend": backend, "shape": shape}, {})
        o.threads, o.blocks = _options.integer("threads", threads, 0, 4096), _options.integer("blocks", blocks, 0)
        o.untrained, o.untrained_seed = untrained, _options.integer("init_seed", init_seed, 0)
        self._cache = cache_folder() if cache is True else os.fspath(cache) if cache else None
        handle = ctypes.c_void_p()
        call("ph_model_open", ctypes.byref(handle), os.fsencode(model_path(path)), ctypes.byref(o))
        self._own: Owner | None = Owner(handle, "ph_model_close")
        self.info = _said(self._info.contents)
        self._tokenizer: Tokenizer | None = None

    @property
    def _owner(self) -> Owner:
        if self._own is None:
            raise ValueError("the model is closed")
        return self._own

    @property
    def _info(self) -> Any:
        return library().ph_model_get_info(self._owner.handle)

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer._of(self._owner)
        return self._tokenizer

    def close(self) -> None:
        """Let go of the model, which ends when its sessions and tokenizers are gone too."""
        self._own = self._tokenizer = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        i = self.info
        return f"<phosphene.Model {i.name} {i.quant}: {i.blocks} blocks of width {i.width}>"

    @property
    def sha256(self) -> str:
        out = ctypes.create_string_buffer(65)
        call("ph_model_sha256", self._owner.handle, out)
        return out.value.decode()

    @contextlib.contextmanager
    def _ask(self, specs: Specs | None, given: RunOptions) -> Iterator[Asking]:
        asking = Asking(self, None if specs is None else _joined(specs), given)
        try:
            with asking.watch:
                yield asking
        finally:
            asking.close()

    def _text(self, text: Text) -> Any:
        out = _abi.ph_text()
        if isinstance(text, str):
            data = text.encode()
            out.text, out.bytes = data, len(data)
        else:
            ids = self._ids(text)
            out.ids, out.n_ids = id_array(ids), len(ids)
        return ctypes.byref(out)

    # ---- looking ----

    def features(self, specs: Specs) -> list[str]:
        """The features that specs stand for, one by one, in canonical form."""
        with self._ask(specs, {}) as asking:
            return [f.text.decode() for f in asking.features]

    def context(self, **given: Unpack[RunOptions]) -> list[int]:
        """The ids that stand before every text: BOS and prefix."""
        with self._ask(None, given) as asking:
            return self._context(asking.given)

    def _context(self, run: Any) -> list[int]:
        ids, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        call("ph_context", ctypes.byref(ids), ctypes.byref(n), self._owner.handle, ctypes.byref(run))
        try:
            return integers(ids, n.value)
        finally:
            library().ph_free(ids)

    def _ids(self, text: Text) -> list[int]:
        if isinstance(text, (bytes, bytearray)):
            raise TypeError("a text is a str, or a list of token ids")
        return self.tokenizer.encode(text) if isinstance(text, str) else list(text)

    def embed(self, text: Text) -> Floats:
        """E (T,C): the embeddings of a text's tokens, as the blocks receive them."""
        import numpy as np

        ids = self._ids(text)
        E = np.empty((len(ids), self.info.width), np.float32)
        call("ph_model_embed", self._owner.handle, floats(E), id_array(ids), len(ids))
        return E

    def session(self, tap: Specs, *, rows: int = 1, tokens: int = 5, gradient: bool = False,
                **given: Unpack[RunOptions]) -> Session:
        """A session to a tap, "block 8 mlp" or "blocks.7.hook_mlp_out", or to several side by side, behind
        the context of bos and prefix."""
        places = [tap] if isinstance(tap, str) else list(tap)
        with self._ask(None, given) as asking:
            context = self._context(asking.given)
        return Session(self, [self._tap(place) for place in places], rows=_options.integer("rows", rows),
                       tokens=_options.integer("tokens", tokens), context=context, gradient=gradient)

    def _tap(self, place: str) -> Any:
        with self._ask(place + " [:, :, :]", {}) as asking:
            found = asking.features
            if len(found) != 1 or found[0].n_terms:
                raise ValueError(f"{place!r}: expected one place, as in 'block 8 mlp'")
            return _abi.ph_tap.from_buffer_copy(found[0].tap)

    def activations(self, text: Text, tap: Specs, **given: Unpack[RunOptions]) -> Any:
        """X (T,W): the output of a tap at each token of a text, behind the context of bos and prefix. Of
        several taps a dictionary. The array is written by the library itself."""
        taps, ids = [tap] if isinstance(tap, str) else list(tap), self._ids(text)
        if not ids:
            raise ValueError("a text without tokens")
        with self.session(taps, tokens=len(ids), **given) as session:
            X = session.forward(self.embed(ids))
        if isinstance(tap, str):
            return X
        ends = [sum(session.widths[:i + 1]) for i in range(len(taps))]
        return {place: X[:, end - width:end] for place, end, width in zip(taps, ends, session.widths)}

    # ---- searches ----

    def dream(self, specs: Specs, *, method: str | None = None, tokens: int | str | Sequence[int] = 5,
              top: int | None = None, corpus: Path | bool = True,
              steps: int | None = None, restarts: int | None = None, eta: str | Sequence[float] | None = None,
              objective: str | None = None, near_weight: float | None = None, target: float | None = None,
              optimizer: str | None = None, start: str | None = None, decode: str | None = None,
              ascii: bool = False, letters: bool = False, special: bool = False,
              allow: str | Sequence[str] | None = None, ban: str | Sequence[str] = (), contains: str | None = None,
              budget: int | None = None, seconds: float = 0, share: bool = True, round_trip: str | None = None,
              outliers: str = "last", top_k: int | None = None, width: int | None = None, stay: bool = False,
              fluent: bool = False, lambda_: float | str | Sequence[float] | None = None,
              population: int | None = None, children: int | None = None, restart_every: int | None = None,
              **given: Unpack[RunOptions]) -> Results[Dream]:
        """Find the texts that features respond to; the options are those of `phosphene dream --help`.

        method   "auto", "swap", "epo", "beam", "greedy", "descent", "softmax", "pez", "gumbel"; options of
                 a descent (steps … decode) choose "descent" where no method is named
        tokens   length of the searched text; (3, 8): it may vary
        top      answers per feature
        corpus   ordinary text that answers are compared with: a file, True: the mix that comes with
                 the library, False: none
        allow    only tokens of these texts; ban: no token with one of these in it
        lambda_  weight of the cross-entropy; (0.1, 10): of epo's members
        sign     also "both": first the highest, then the lowest
        """
        arguments = {name: value for name, value in locals().items() if name not in ("self", "specs", "corpus", "given")}
        o = _options.dream(**arguments)
        signs = (1, -1) if given.get("sign") == "both" else (given.get("sign", 1),)
        parts = []
        for sign in signs:
            parts.append(self._dream(specs, o, corpus, {**given, "sign": sign}))
            if parts[-1].interrupted:
                break
        return listed([answer for part in parts for answer in part], parts[-1].interrupted)

    def _dream(self, specs: Specs, o: Any, corpus: Path | bool, given: RunOptions) -> Results[Dream]:
        with self._ask(specs, given) as asking, self._ordinary(asking, corpus, False) as ordinary:
            o.run, o.corpus, asking.reader.corpus = asking.given, ordinary, ordinary
            return asking.search("dream", asking.reader.dream, None, options=o)

    @contextlib.contextmanager
    def _ordinary(self, asking: Asking, corpus: Path | bool, joint: bool) -> Iterator[Any]:
        """The corpus beside answers; None where there is none to be had."""
        depth, neurons = _ordinary.depth_of(asking.features, joint)
        if corpus is False or not depth or not self.tokenizer.encodes:
            yield None
            return
        text = None if corpus is True else _ordinary.read_text(corpus)
        with _ordinary.opened(self._owner.handle, asking.run(), asking.watch, text=text, depth=depth, neurons=neurons,
                              most_flops=_ordinary.MOST_FLOPS) as found:
            yield found

    def scan(self, specs: Specs | None = None, *, top: int = 10, neurons: bool = False, depth: int = 0,
             **given: Unpack[RunOptions]) -> Results[Scan]:
        """Complete search: every token of the vocabulary alone, exact. Without specs every feature of every
        block (of the first `depth`), with `neurons` every neuron too, in one pass."""
        with self._ask(specs, given) as asking:
            if specs is not None:
                if neurons or depth:
                    raise ValueError("neurons and depth go with a scan of everything: no specs")
                o = initial(_abi.ph_scan_options)
                o.run, o.top = asking.given, _options.integer("top", top)
                return asking.search("scan", asking.reader.scan, options=o)
            all_of_it = initial(_abi.ph_survey_options)
            all_of_it.run, all_of_it.top = asking.given, _options.integer("top", top)
            all_of_it.neurons, all_of_it.depth = neurons, _options.integer("depth", depth, 0)
            return asking.watch.collect("ph_survey", _abi.ph_survey_fn, asking.reader.survey,
                                        (self._owner.handle, ctypes.byref(all_of_it)), (None,), None)

    def score(self, specs: Specs, text: Text, **given: Unpack[RunOptions]) -> Results[Score]:
        """The activation of a text, token by token."""
        with self._ask(specs, given) as asking:
            return asking.search("score", asking.reader.score, text=self._text(text), options=asking.given)

    def attribute(self, specs: Specs, text: Text, **given: Unpack[RunOptions]) -> Results[Attribution]:
        """Which tokens of a text cause the activation: gradient, gradient × input, occlusion."""
        with self._ask(specs, given) as asking:
            return asking.search("attribute", asking.reader.attribution, text=self._text(text),
                                 options=asking.given)

    def gradient(self, spec: str, text: Text, **given: Unpack[RunOptions]) -> Floats:
        """dE (T,C): the gradient of one feature's activation by the embedding of each token of a text. It
        comes from attribute(), occlusion and all; for many, or for gradients of your own at a tap, take a
        session."""
        results = self.attribute(spec, text, **given)
        if len(results) != 1:
            raise ValueError(f"{spec!r}: expected one feature, found {len(results)}")
        return results[0].gradient

    def recover(self, specs: Specs, text: Text, *, method: str | None = None, steps: int | None = None,
                restarts: int | None = None, eta: str | Sequence[float] | None = None, objective: str | None = None,
                optimizer: str | None = None, start: str | None = None, decode: str | None = None,
                among: Text | None = None, sequential: bool = False, unguided: bool = False,
                **given: Unpack[RunOptions]) -> Results[Recovery]:
        """Find a text again from the hidden layer it produced: by "descent", or "exact", token after token.
        among: find only tokens of this text, or these ids."""
        o = initial(_abi.ph_recover_options)
        _options.set_plain(o, {"method": method, "objective": objective, "optimizer": optimizer, "start": start,
                               "decode": decode}, {"steps": steps, "restarts": restarts})
        _options.set_eta(o, eta)
        o.sequential, o.unguided = sequential, unguided
        if among is not None:
            ids = self._ids(among)
            o.among, o.n_among = id_array(ids), len(ids)
        with self._ask(specs, given) as asking:
            o.run = asking.given
            return asking.search("recover", asking.reader.recovery, text=self._text(text), options=o)

    def effect(self, specs: Specs, text: Text | None = None, *, top: int = 10, corpus: Path | bool = True,
               **given: Unpack[RunOptions]) -> Results[Effect]:
        """What a unit does next: the tokens it promotes and suppresses, and on a text how the next token's
        probabilities change when the unit is set to 0, to its mean, and raised."""
        o = initial(_abi.ph_effect_options)
        o.top = _options.integer("top", top)
        with self._ask(specs, given) as asking, \
                self._ordinary(asking, corpus if text is not None else False, True) as ordinary:
            o.run, o.corpus = asking.given, ordinary
            return asking.search("effect", asking.reader.effect, options=o,
                                 text=ctypes.POINTER(_abi.ph_text)() if text is None else self._text(text))

    def corpus(self, specs: Specs, *, file: Path | None = None, text: str | None = None, window: int = 0,
               top: int = 3, **given: Unpack[RunOptions]) -> Results[Corpus]:
        """What single components of blocks and neurons do on ordinary text: of a file, a text, or the mix that
        comes with the library. `top` (1 to 5) places with the highest and the lowest values are shown."""
        data = text.encode() if text is not None else None if file is None else _ordinary.read_text(file)
        with self._ask(specs, given) as asking:
            features, reader = asking.features, asking.reader
            wrong = [f for f in features if not _ordinary.is_followed(f, False)]
            if wrong:
                raise ValueError(f"{wrong[0].text.decode()}: a corpus pass follows single components of blocks and "
                                 "neurons")
            reader.shown = _options.integer("top", top, 1, _abi.CORPUS_TOP)
            depth, neurons = _ordinary.depth_of(features)
            with _ordinary.opened(self._owner.handle, asking.run(), asking.watch, text=data, depth=depth,
                                  neurons=neurons, window=_options.integer("window", window, 0)) as corpus:
                reader.corpus = corpus
                asking.watch.pressed = False
                found = [(f, reader.statistics(f)) for f in features] if corpus else []
                return listed([reader.corpus_of(f.text.decode(), stat) for f, stat in found], corpus is None)
