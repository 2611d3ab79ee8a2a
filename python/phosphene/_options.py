"""From keyword arguments to the library's structs of options; None leaves what it is by default."""
from __future__ import annotations

import ctypes
import math
import numbers
import operator
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from . import _abi
from ._native import initial, utf8

if TYPE_CHECKING:
    from ._search import Progress


class RunOptions(TypedDict, total=False):
    """What all searches have in common.

    seed      of all random numbers (0)
    bos       "auto": a hidden first token before the text, BOS or end-of-text; "on": without one it
              is an error; "off"
    prefix    fixed text before the searched or given one; special tokens are parsed; suffix: after it
    chat      the text stands in a user's turn of the model's own chat format
    reduce    how a region's tokens become one activation: "mean", "max", "last"
    sign      1 or "+", -1 or "-": the lowest activation is looked for
    progress  called often with a stage and how far it is (0 … 1); returning true cancels
    """

    seed: int
    bos: str
    prefix: str | None
    suffix: str | None
    chat: bool
    reduce: str | None
    sign: int | str
    progress: Progress | None


BOS = {"auto": _abi.BOS_AUTO, "on": _abi.BOS_ON, "off": _abi.BOS_OFF}
REDUCE = {None: _abi.REDUCE_DEFAULT, "mean": _abi.REDUCE_MEAN, "max": _abi.REDUCE_MAX, "last": _abi.REDUCE_LAST}
SIGN = {1: 1, "+": 1, -1: -1, "-": -1}
ROUND_TRIP = {None: _abi.ROUND_TRIP_DEFAULT, "require": _abi.ROUND_TRIP_REQUIRE, "prefer": _abi.ROUND_TRIP_PREFER,
              "off": _abi.ROUND_TRIP_OFF}
OUTLIERS = {"last": _abi.OUTLIERS_LAST, "keep": _abi.OUTLIERS_KEEP, "drop": _abi.OUTLIERS_DROP}


def choose(name: str, value: Any, table: dict[Any, int]) -> int:
    if value not in table:
        raise ValueError(f"{name}={value!r}: expected {', '.join(repr(key) for key in table)}")
    return table[value]


def integer(name: str, value: Any, low: int = 1, high: int = 2**63 - 1) -> int:
    number = operator.index(value)
    if not low <= number <= high:
        raise ValueError(f"{name}={number}: expected {low} to {high}")
    return number


def real(name: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name}={value}: expected a finite number")
    return number


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """(first, last) of "A:B" or of two values."""
    parts = value.split(":") if isinstance(value, str) else tuple(value)
    if len(parts) != 2:
        raise ValueError(f"{name}={value!r}: expected two values, as in '1:0.1' or (1, 0.1)")
    return parts[0], parts[1]


def set_run(run: Any, cache: str | None, given: RunOptions) -> None:
    """The fields of a ph_run_options but for progress."""
    unknown = set(given) - set(RunOptions.__annotations__)
    if unknown:
        raise TypeError(f"no option is called {', '.join(sorted(unknown))}")
    run.seed = integer("seed", given.get("seed", 0), 0, 2**64 - 1)
    run.bos = choose("bos", given.get("bos", "auto"), BOS)
    run.reduce = choose("reduce", given.get("reduce"), REDUCE)
    run.chat = bool(given.get("chat", False))
    run.sign = choose("sign", given.get("sign", 1), SIGN)
    for name, text in (("prefix", given.get("prefix")), ("suffix", given.get("suffix"))):
        if text is not None:
            setattr(run, name, utf8(text, name))
    run.cache = os.fsencode(cache) if cache else None


def set_plain(struct: Any, texts: dict[str, str | None], integers: dict[str, int | None],
              reals: dict[str, float | None] | None = None) -> None:
    """Fields that are what they are called; those that are None stay."""
    for name, text in texts.items():
        if text is not None:
            setattr(struct, name, utf8(text, name))
    for name, number in integers.items():
        if number is not None:
            setattr(struct, name, integer(name, number))
    for name, value in (reals or {}).items():
        if value is not None:
            setattr(struct, name, real(name, value))


def set_eta(struct: Any, eta: str | Sequence[float] | None) -> None:
    """"1:0.1", "0.1rms:0.01rms" or (1, 0.1)."""
    if eta is None:
        return
    for end, value in zip(("first", "last"), pair("eta", eta)):
        rms = isinstance(value, str) and value.endswith("rms")
        setattr(struct, f"eta_{end}", real("eta", value[:-3] if rms else value))
        setattr(struct, f"eta_{end}_rms", rms)
    if struct.eta_first == struct.eta_last == 0:
        raise ValueError(f"eta={eta!r}: no step")


def set_tokens(o: Any, tokens: int | str | Sequence[int]) -> None:
    """5, "3:8" or (3, 8)."""
    if isinstance(tokens, (str, tuple, list)):
        first, last = (int(end) if isinstance(end, str) else end for end in pair("tokens", tokens))
        o.tokens, o.tokens_to = integer("tokens", first), integer("tokens", last)
    else:
        o.tokens = integer("tokens", tokens)


def set_lambda(o: Any, weight: float | str | Sequence[float] | None) -> None:
    """A weight, or "0.1:10" of epo's members."""
    if weight is None:
        return
    if isinstance(weight, numbers.Real):  # NumPy's among them
        o.lambda_first = o.lambda_last = real("lambda_", weight)
        setattr(o, "lambda", o.lambda_first)
    else:
        o.lambda_first, o.lambda_last = (real("lambda_", end) for end in pair("lambda_", weight))


def set_constraints(c: Any, *, ascii: bool, letters: bool, special: bool, allow: str | Sequence[str] | None,
                    ban: str | Sequence[str], contains: str | None) -> None:
    """allow: texts, or one text of lines; ban: texts."""
    c.ascii, c.letters, c.special = ascii, letters, special
    if allow is not None:
        data = (allow if isinstance(allow, str) else "\n".join(allow)).encode()
        c.allow, c.allow_bytes = data, len(data)
    banned = [utf8(text, "ban") for text in ([ban] if isinstance(ban, str) else ban)]
    if b"" in banned or contains == "":
        raise ValueError("ban and contains: an empty text")
    if banned:
        c.ban, c.n_ban = (ctypes.c_char_p * len(banned))(*banned), len(banned)
    if contains is not None:
        c.contains = utf8(contains, "contains")


def dream(*, tokens: Any, eta: Any, lambda_: Any, share: bool, round_trip: str | None, outliers: str,
          restart_every: int | None, **more: Any) -> Any:
    """The ph_dream_options of Model.dream's arguments; those that have no line here are what they are called."""
    descent = ("steps", "restarts", "objective", "near_weight", "target", "optimizer", "start", "decode")
    if more["method"] is None and (eta is not None or any(more[name] is not None for name in descent)):
        more["method"] = "descent"
    o = initial(_abi.ph_dream_options)
    set_plain(o, {name: more[name] for name in ("method", "objective", "optimizer", "start", "decode")},
              {name: more[name] for name in ("steps", "restarts", "top", "budget", "top_k", "width", "population",
                                             "children")},
              {name: more[name] for name in ("near_weight", "target", "seconds")})
    if restart_every is not None:
        o.restart_every = integer("restart_every", restart_every, 0)
    o.alone, o.stay, o.fluent = not share, more["stay"], more["fluent"]
    o.round_trip = choose("round_trip", round_trip, ROUND_TRIP)
    o.outliers = choose("outliers", outliers, OUTLIERS)
    set_eta(o, eta)
    set_tokens(o, tokens)
    set_lambda(o, lambda_)
    set_constraints(o.constraints, **{name: more[name] for name in ("ascii", "letters", "special", "allow", "ban",
                                                                    "contains")})
    return o
