"""From the library's structs, which are borrowed for a callback, to results of the caller's own."""
from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

from . import _abi
from ._native import array, doubles, integers, library, text
from .results import (Activation, Attribution, BestToken, Change, Corpus, Decoded, Dream, Effect, Extreme, Fluent,
                      Ordinary, RandomTexts, Recovered, Recovery, Row, Scan, Score, Shift, Sighting, Specificity,
                      Starts, TokenActivation, TokenCosine, TokenLogit)

if TYPE_CHECKING:
    from .tokenizer import Tokenizer


def _optional(data: bytes | None) -> str | None:
    return None if data is None else data.decode()


def quantiles(values: Any) -> dict[str, float]:
    return {f"{library().ph_quantile_level(i):g}": values[i] for i in range(_abi.QUANTILES)}


class Reader:
    """Reads the results of one call: of this tokenizer, with these settings of it."""

    def __init__(self, tokenizer: Tokenizer, reduce: int, sign: int, seed: int, width: int):
        self.tokenizer, self.reduce, self.sign, self.seed, self.width = tokenizer, reduce, sign, seed, width
        self.corpus: Any = None  # a ph_corpus, or None
        self.shown = _abi.CORPUS_TOP  # its best and worst places

    # ---- pieces ----

    def reduce_name(self, feature: Any) -> str:
        return text(library().ph_reduce_name(feature, self.reduce))

    def activations(self, near: Any, n: int) -> list[TokenActivation]:
        return [TokenActivation(t.id, self.tokenizer.token(t.id), t.value) for t in near[:n]]

    def logits(self, near: Any, n: int) -> list[TokenLogit]:
        return [TokenLogit(t.id, self.tokenizer.token(t.id), t.value) for t in near[:n]]

    def sighting(self, s: Any) -> Sighting:
        n, pos = ctypes.c_size_t(), ctypes.c_size_t()
        window = library().ph_corpus_window(self.corpus, s.token, ctypes.byref(n), ctypes.byref(pos))
        ids = integers(window, n.value)
        return Sighting(s.value, pos.value, self.tokenizer.token(ids[pos.value]), ids, self.tokenizer.decode(ids))

    def statistics(self, feature: Any) -> Any:
        """Of a single component that the corpus follows; else None."""
        stat, c = _abi.ph_corpus_stat(), feature.components
        if not self.corpus or c.end - c.begin != 1:
            return None
        known = library().ph_corpus_get(self.corpus, feature.tap, c.begin, ctypes.byref(stat))
        return stat if known else None

    # ---- dream ----

    def ordinary(self, feature: Any, activation: float) -> Ordinary | None:
        stat = self.statistics(feature)
        if stat is None:
            return None
        extreme, place = (stat.min, stat.worst) if self.sign < 0 else (stat.max, stat.best)
        below = library().ph_corpus_percentile(self.corpus, feature.tap, feature.components.begin, activation)
        finite = math.isfinite(activation)
        ratio = activation / extreme if finite and extreme * self.sign > 0 else math.nan
        percentile = 100 * (1 - below if self.sign < 0 else below) if finite else math.nan
        return Ordinary(stat.max, stat.min, ratio, percentile, stat.n, self.sighting(place[0]))

    def decoded(self, d: Any) -> Decoded:
        return Decoded(_optional(d.decode), integers(d.ids, d.n), text(d.text),
                       Activation(d.activation.text, d.activation.ids), d.round_trip, d.violates, d.norm_ratio)

    def row(self, r: Any) -> Row:
        a = r.answer.contents
        return Row(r.restart, r.objective, r.diverged, _optional(a.decode), integers(a.ids, a.n), text(a.text),
                   Activation(a.activation.text, a.activation.ids, a.activation.soft))

    def fluent(self, d: Any) -> Fluent:
        a = d.activation
        return Fluent(a.text if math.isfinite(a.text) else a.ids, d.cross_entropy, text(d.text),
                      integers(d.ids, d.n))

    def _yardsticks(self, r: Any, activation: float) -> dict[str, Any]:
        best, starts, specific = r.best_token, r.starts, r.specificity
        return {
            "z": r.z,
            "random": RandomTexts(r.random_mean, r.random_sd, r.random_max, r.random_min, r.random_n),
            "best_token": BestToken(best.id, self.tokenizer.token(best.id), best.value, r.repeated),
            "corpus": self.ordinary(r.feature.contents, activation),
            "nearest": [TokenCosine(self.tokenizer.token(t.id), t.id, t.value) for t in r.nearest[:r.n_nearest]]
            if r.n_nearest else [],
            "starts": Starts(starts.n, starts.reached, starts.mean, starts.sd) if starts.n else None,
            "specificity": Specificity(specific.rank, specific.of, specific.z) if specific.of else None,
        }

    def _work(self, r: Any) -> dict[str, Any]:
        return {
            "curve": doubles(r.curve, r.n_curve),
            "objective": doubles(r.objective, r.n_curve) if r.objective else None,
            "embedding": array(r.embedding, (r.n_nearest, self.width), "f4") if r.embedding else None,
            "rows": [self.row(row) for row in r.rows[:r.n_rows]] if r.n_rows else [],
            "decodes": [self.decoded(d) for d in r.decodes[:r.n_decodes]] if r.n_decodes else [],
            "token_forwards": r.token_forwards, "naive_forwards": r.naive_forwards, "budget": r.budget or None,
            "cross_entropy": r.cross_entropy, "seconds": r.seconds,
            "front": [self.fluent(d) for d in r.front[:r.n_front]] if r.front else None,
        }

    def dream(self, r: Any) -> Dream:
        a = r.answer.contents
        ids, activation = integers(a.ids, a.n), a.activation
        return Dream(
            feature=r.feature.contents.text.decode(), method=r.method.decode(), decode=_optional(a.decode),
            restart=r.restart, rank=r.rank, seed=self.seed, reduce=self.reduce_name(r.feature), ids=ids,
            tokens=self.tokenizer.tokens(ids), token_bytes=self.tokenizer.token_bytes(ids), text=text(a.text),
            text_ids=integers(a.text_ids, a.n_text), values=doubles(a.values, a.n),
            activation=Activation(activation.text, activation.ids, activation.soft),
            post_activation=None if math.isnan(activation.post) else activation.post,
            max=Extreme(a.max, a.max_pos), sign="-" if self.sign < 0 else "+", round_trip=a.round_trip,
            violates=a.violates, norm_ratio=a.norm_ratio, **self._yardsticks(r, activation.text), **self._work(r))

    # ---- the others ----

    def scan(self, r: Any) -> Scan:
        return Scan(r.feature.contents.text.decode(), self.activations(r.top, r.n_top),
                    self.activations(r.bottom, r.n_top), r.mean, r.sd, r.n)

    def survey(self, r: Any) -> Scan:
        neuron = " neuron" if r.tap.place == _abi.PLACE_NEURON else ""
        return Scan(f"block {r.tap.block}{neuron} [:, :, {r.component}]", self.activations(r.top, r.n_top),
                    self.activations(r.bottom, r.n_top), r.mean, r.sd, r.n, quantiles(r.quantiles))

    def _scored(self, r: Any) -> dict[str, Any]:
        ids = integers(r.ids, r.n)
        return {"feature": r.feature.contents.text.decode(), "reduce": self.reduce_name(r.feature), "ids": ids,
                "text": self.tokenizer.decode(ids), "tokens": self.tokenizer.tokens(ids),
                "token_bytes": self.tokenizer.token_bytes(ids), "values": doubles(r.values, r.n),
                "activation": r.activation,
                "post_values": doubles(r.post_values, r.n) if r.post_values else None,
                "post_activation": r.post if r.post_values else None}

    def score(self, r: Any) -> Score:
        return Score(**self._scored(r))

    def attribution(self, r: Any) -> Attribution:
        return Attribution(**self._scored(r), grad_norm=doubles(r.grad_norm, r.n),
                           grad_x_input=doubles(r.grad_x_input, r.n),
                           occlusion=doubles(r.occlusion, r.n) if r.occlusion else None,
                           combined=doubles(r.combined, r.n) if r.combined else None,
                           gradient=array(r.gradient, (r.n, self.width), "f4"))

    def _change(self, c: Any) -> Change:
        shifts = [Shift(s.id, self.tokenizer.token(s.id), s.before, s.after) for s in c.shifts[:c.n_shifts]]
        return Change(c.what.decode(), c.value, c.kl, shifts)

    def effect(self, r: Any) -> Effect:
        effect = Effect(r.feature.contents.text.decode(), self.logits(r.promoted, r.n_top),
                        self.logits(r.suppressed, r.n_top))
        if r.ids:
            effect.ids = integers(r.ids, r.n)
            effect.tokens, effect.token_bytes = (self.tokenizer.tokens(effect.ids),
                                                 self.tokenizer.token_bytes(effect.ids))
            effect.reduce, effect.activation = self.reduce_name(r.feature), r.activation
            effect.changes = [self._change(c) for c in r.changes[:r.n_changes]] if r.n_changes else []
        return effect

    def _recovered(self, d: Any, n: int) -> Recovered:
        ids = integers(d.ids, n)
        return Recovered(_optional(d.decode), ids, self.tokenizer.decode(ids), d.matched, d.distance)

    def recovery(self, r: Any) -> Recovery:
        a, n = r.answer.contents, r.n
        ids, target, method = integers(a.ids, n), integers(r.target_ids, n), r.method.decode()
        found = Recovery(
            feature=r.feature.contents.text.decode(), method=method, decode=_optional(a.decode), target_ids=target,
            ids=ids, tokens=self.tokenizer.tokens(ids), token_bytes=self.tokenizer.token_bytes(ids),
            text=self.tokenizer.decode(ids), target_text=self.tokenizer.decode(target), matched=a.matched, of=n,
            distance=a.distance, random_distance=r.random_distance, token_forwards=r.token_forwards,
            seconds=r.seconds)
        if r.n_curve:
            found.restart = None if r.restart < 0 else r.restart
            found.soft_distance, found.curve = r.distance, doubles(r.curve, r.n_curve)
            found.decodes = [self._recovered(d, n) for d in r.decodes[:r.n_decodes]]
        if method == "exact":
            found.tried, found.tolerance, found.worst_found = r.tried, r.tolerance, r.worst_found
        return found

    def corpus_of(self, name: str, stat: Any) -> Corpus:
        shown = min(stat.n_top, self.shown)
        return Corpus(name, stat.max, stat.min, stat.mean, stat.sd, quantiles(stat.quantiles), stat.density, stat.n,
                      [self.sighting(s) for s in stat.best[:shown]], [self.sighting(s) for s in stat.worst[:shown]])
