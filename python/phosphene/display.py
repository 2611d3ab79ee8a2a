"""Results in a notebook: tokens coloured by their values, curves as inline SVG. Everything is escaped;
nothing is loaded from elsewhere."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .results import Attribution, Corpus, Dream, Effect, Recovery, Result, Scan, Score, Sighting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = Sequence[float] | NDArray[Any]

MOST = 50  # results that are shown
WIDTH, HEIGHT = 180, 36
VISIBLE = {"\n": "\u21b5", "\t": "\u2192", "\r": "\u240d"}


def number(value: float | None) -> str:
    return f"{value:.4g}" if value is not None and math.isfinite(value) else "\u2013"


def token(text: str | None) -> str:
    """A token as it is shown: line breaks and control characters are seen."""
    shown = "".join(VISIBLE.get(c, c if c.isprintable() else f"\\x{ord(c):02x}") for c in text or "")
    return escape(shown)


def coloured(tokens: Sequence[str | None], values: Numbers) -> str:
    """Orange for positive, blue for negative values, against the largest."""
    most = max((abs(v) for v in values if math.isfinite(v)), default=0.0) or 1.0
    spans = []
    for text, value in zip(tokens, values):
        strength = abs(value) / most if math.isfinite(value) else 0.0
        colour = "255,140,0" if value >= 0 else "30,120,255"
        spans.append(f'<span style="background:rgba({colour},{0.75 * strength:.2f});white-space:pre-wrap" '
                     f'title="{number(value)}">{token(text)}</span>')
    return f'<code style="background:none">{"".join(spans)}</code>'


def curve(values: Numbers, title: str) -> str:
    """A line through finite values; nothing where there are fewer than two."""
    points = [(i, v) for i, v in enumerate(values) if math.isfinite(v)]
    if len(points) < 2:
        return ""
    low, high = min(v for _, v in points), max(v for _, v in points)
    span, last = (high - low) or 1.0, points[-1][0] or 1
    line = " ".join(f"{2 + (WIDTH - 4) * i / last:.1f},{HEIGHT - 2 - (HEIGHT - 4) * (v - low) / span:.1f}"
                    for i, v in points)
    return (f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
            f"<title>{escape(title)}: {number(points[0][1])} to {number(points[-1][1])}</title>"
            f'<polyline points="{line}" fill="none" stroke="#ff8c00" stroke-width="1.5"/></svg>')


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    top = "".join(f'<th style="text-align:left">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in row) + "</tr>"
                   for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _sighting(s: Sighting) -> str:
    return f"{number(s.value)} at <code>{token(s.token)}</code>"


# ---- one row of a table for each result of a type ----


def _dream(r: Dream) -> list[str]:
    ordinary = f"{number(r.corpus.max)}, percentile {number(r.corpus.percentile)}" if r.corpus else "\u2013"
    marks = ("" if r.round_trip else " ~") + (" !" if r.norm_ratio > 3 else "")
    best = f"<code>{token(r.best_token.token)}</code> {number(r.best_token.activation)}"
    return [escape(r.feature), coloured(r.tokens, r.values) + marks, number(r.activation.text),
            number(r.activation.soft), number(r.z), best, ordinary, curve(r.curve, "soft activation")]


def _lists(first: Sequence[Any], second: Sequence[Any], value: str) -> list[str]:
    return ["<br>".join(f"<code>{token(t.token)}</code> {number(getattr(t, value))}" for t in tokens)
            for tokens in (first, second)]


def _scan(r: Scan) -> list[str]:
    return [escape(r.feature), *_lists(r.top, r.bottom, "activation"), number(r.mean), number(r.sd)]


def _score(r: Score) -> list[str]:
    return [escape(r.feature), coloured(r.tokens, r.values), number(r.activation)]


def _attribution(r: Attribution) -> list[str]:
    by = r.grad_x_input if r.combined is None else r.combined
    return [escape(r.feature), coloured(r.tokens, by), number(r.activation)]


def _effect(r: Effect) -> list[str]:
    changes = "<br>".join(f"{escape(c.what)} {number(c.value)}: KL {number(c.kl)}" for c in r.changes or [])
    return [escape(r.feature), *_lists(r.promoted, r.suppressed, "logit"), changes]


def _recovery(r: Recovery) -> list[str]:
    same = [1.0 if a == b else -1.0 for a, b in zip(r.ids, r.target_ids)]
    return [escape(r.feature), coloured(r.tokens, same), f"{r.matched} of {r.of}", number(r.distance),
            number(r.random_distance), "" if r.curve is None else curve(r.curve, "distance")]


def _corpus(r: Corpus) -> list[str]:
    return [escape(r.feature), number(r.mean), number(r.sd), "<br>".join(map(_sighting, r.best)),
            "<br>".join(map(_sighting, r.worst))]


LAYOUTS: dict[str, tuple[list[str], Callable[[Any], list[str]]]] = {
    "dream": (["feature", "text", "activation", "soft", "z", "best one token", "ordinary text", ""], _dream),
    "scan": (["feature", "highest", "lowest", "mean", "sd"], _scan),
    "score": (["feature", "text", "activation"], _score),
    "attribute": (["feature", "text, by what causes it", "activation"], _attribution),
    "effect": (["feature", "promoted", "suppressed", "changes"], _effect),
    "recover": (["feature", "found", "matched", "distance", "noise", ""], _recovery),
    "corpus": (["feature", "mean", "sd", "highest", "lowest"], _corpus),
}


def page(results: Sequence[Result]) -> str:
    """A table for the results, which are of one type."""
    if not results:
        return "<i>no results</i>"
    head, row = LAYOUTS[results[0].type]
    more = f"<p>\u2026 and {len(results) - MOST:,} more</p>" if len(results) > MOST else ""
    return table(head, [row(result) for result in results[:MOST]]) + more
