"""What features do on ordinary text: opening a corpus pass, as the tool does it beside its answers."""
from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from . import _abi
from ._native import call, initial, library
from ._search import Watch
from .errors import Error

MOST_FLOPS = 2e13  # a first pass that takes more is left to Model.corpus: about a minute on two cores


def is_followed(feature: Any, joint: bool) -> bool:
    """Whether a pass follows a feature: single components of blocks and neurons, with `joint` several."""
    c, tap = feature.components, feature.tap
    single = c.end - c.begin == 1 and not tap.only
    return (not feature.n_terms if joint else single) and tap.place in (_abi.PLACE_BLOCK, _abi.PLACE_NEURON)


def depth_of(features: Iterable[Any], joint: bool = False) -> tuple[int, bool]:
    """How far the features that are followed go, and whether neurons are among them; 0: none is."""
    taps = [f.tap for f in features if is_followed(f, joint)]
    return max((t.block for t in taps), default=0), any(t.place == _abi.PLACE_NEURON for t in taps)


def read_text(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as f:
        return f.read()


@contextlib.contextmanager
def opened(model: Any, run: Any, watch: Watch, *, text: bytes | None, depth: int, neurons: bool, window: int = 0,
           most_flops: float = 0) -> Iterator[Any]:
    """A ph_corpus, closed behind; None where the pass would take too much, or was cancelled."""
    o, corpus, cost = initial(_abi.ph_corpus_options), ctypes.c_void_p(), _abi.ph_pass_cost()
    o.run, o.depth, o.neurons, o.window, o.most_flops = run, depth, neurons, window, most_flops
    if text is not None:
        o.text, o.bytes = text, len(text)
    try:
        call("ph_corpus_open", ctypes.byref(corpus), model, ctypes.byref(o), ctypes.byref(cost))
    except Error as problem:
        watch.cancelled(problem)
    if not corpus and not watch.stop:
        warnings.warn(f"no comparison with ordinary text, its pass would take {cost.flops / 1e12:.0f} T operations; "
                      "call Model.corpus once", RuntimeWarning, stacklevel=4)
    try:
        yield corpus or None
    finally:
        library().ph_corpus_close(ctypes.byref(corpus))
