"""What searches and experiments hand out.

Fields have the names of the tool's --json lines, and to_dict() gives such a line (without "run").
What that line leaves out where there is none is None here. Arrays are NumPy's, and the caller's own.
"""
from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]


def sometimes() -> Any:
    """A field that a line has only where there is such a thing."""
    return field(default=None, metadata={"sometimes": True})


def apart() -> Any:
    """A field that no line has."""
    return field(default=None, metadata={"apart": True}, repr=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if _is_shown(f, value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _is_shown(f: dataclasses.Field[Any], owner: Any) -> bool:
    if "apart" in f.metadata:
        return False
    return not ("sometimes" in f.metadata and getattr(owner, f.name) is None)


def _frame(rows: Any) -> pd.DataFrame:
    try:
        import pandas
    except ImportError as problem:
        raise ImportError("frame() needs pandas: pip install pandas") from problem
    return pandas.json_normalize(rows) if isinstance(rows, list) else pandas.DataFrame(rows)


class Result:
    """One result; its type is the "type" of its line."""

    type: ClassVar[str]
    feature: str

    def to_dict(self) -> dict[str, Any]:
        """The fields of a --json line: plain lists and numbers, None for NaN."""
        return {"type": self.type, **_plain(self)}

    def frame(self) -> pd.DataFrame:
        """As a data frame; what its rows are is said by each type."""
        return _frame(self._columns())

    def _columns(self) -> dict[str, Any]:
        return {key: [value] for key, value in self.to_dict().items()}

    def _repr_html_(self) -> str:
        from . import display

        return display.page([self])


R = TypeVar("R", bound=Result)


class Results(list[R], Generic[R]):
    """Results in the order of the features. `interrupted` tells that a callback or Ctrl-C ended the
    search: then they are what was done until then."""

    interrupted: bool = False

    def to_dicts(self) -> list[dict[str, Any]]:
        return [result.to_dict() for result in self]

    def frame(self) -> pd.DataFrame:
        """One row per result; what lies deeper has columns such as 'activation.text'."""
        return _frame(self.to_dicts())

    @overload  # type: ignore[override]
    def __getitem__(self, at: int) -> R: ...
    @overload
    def __getitem__(self, at: slice) -> Results[R]: ...
    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice):
            return super().__getitem__(at)
        part = Results(super().__getitem__(at))
        part.interrupted = self.interrupted
        return part

    def _repr_html_(self) -> str:
        from . import display

        return display.page(self)


def listed(items: Iterable[R], interrupted: bool) -> Results[R]:
    results = Results(items)
    results.interrupted = interrupted
    return results


# ---- pieces ----


@dataclass(slots=True)
class TokenActivation:
    id: int
    token: str | None
    activation: float


@dataclass(slots=True)
class TokenLogit:
    id: int
    token: str | None
    logit: float


@dataclass(slots=True)
class TokenCosine:
    token: str | None
    id: int
    cosine: float


@dataclass(slots=True)
class Activation:
    """Of the printed text, of the decoded tokens, of the optimised embedding (NaN: none)."""

    text: float
    ids: float
    soft: float | None = sometimes()


@dataclass(slots=True)
class Extreme:
    value: float
    pos: int


@dataclass(slots=True)
class RandomTexts:
    mean: float
    sd: float
    max: float
    min: float
    n: int


@dataclass(slots=True)
class BestToken:
    id: int
    token: str | None
    activation: float
    repeated: float


@dataclass(slots=True)
class Sighting:
    """A token of ordinary text, in its window."""

    value: float
    pos: int
    token: str | None
    ids: list[int]
    text: str


@dataclass(slots=True)
class Ordinary:
    """An answer beside what its feature does on ordinary text."""

    max: float
    min: float
    ratio: float
    percentile: float
    n: int
    best: Sighting


@dataclass(slots=True)
class Starts:
    n: int
    reached: int
    mean: float
    sd: float


@dataclass(slots=True)
class Specificity:
    rank: int
    of: int
    z: float


@dataclass(slots=True)
class Decoded:
    decode: str | None
    ids: list[int]
    text: str
    activation: Activation
    round_trip: bool
    violates: bool
    norm_ratio: float


@dataclass(slots=True)
class Row:
    """What became of a random start."""

    restart: int
    objective: float
    diverged: bool
    decode: str | None
    ids: list[int]
    text: str
    activation: Activation


@dataclass(slots=True)
class Fluent:
    """A text of the front of activation and cross-entropy."""

    activation: float
    cross_entropy: float
    text: str
    ids: list[int]


@dataclass(slots=True)
class Shift:
    id: int
    token: str | None
    before: float
    after: float


@dataclass(slots=True)
class Change:
    what: str
    value: float
    kl: float
    shifts: list[Shift]


@dataclass(slots=True)
class Recovered:
    decode: str | None
    ids: list[int]
    text: str
    matched: int
    distance: float


# ---- results ----


@dataclass(eq=False)
class Dream(Result):
    """An answer of dream. frame(): one row per token."""

    type = "dream"
    feature: str
    method: str
    decode: str | None
    restart: int
    rank: int
    seed: int
    reduce: str
    ids: list[int]
    tokens: list[str | None]
    text: str
    text_ids: list[int]
    activation: Activation
    values: Doubles
    max: Extreme
    sign: str
    round_trip: bool
    violates: bool
    norm_ratio: float
    z: float
    random: RandomTexts
    best_token: BestToken
    corpus: Ordinary | None
    nearest: list[TokenCosine]
    curve: Doubles
    rows: list[Row]
    decodes: list[Decoded]
    token_forwards: int
    naive_forwards: int
    starts: Starts | None
    specificity: Specificity | None
    cross_entropy: float
    seconds: float
    token_bytes: list[str | None] | None = sometimes()
    post_activation: float | None = sometimes()
    objective: Doubles | None = sometimes()
    budget: int | None = sometimes()
    front: list[Fluent] | None = sometimes()
    embedding: Floats | None = apart()

    def _columns(self) -> dict[str, Any]:
        return {"id": self.ids, "token": self.tokens, "value": self.values}


@dataclass(eq=False)
class Scan(Result):
    """The tokens with the highest and the lowest activation. frame(): one row per place in the lists."""

    type = "scan"
    feature: str
    top: list[TokenActivation]
    bottom: list[TokenActivation]
    mean: float
    sd: float
    n: int
    quantiles: dict[str, float] | None = sometimes()

    def _columns(self) -> dict[str, Any]:
        return {f"{name}_{key}": [getattr(item, key) for item in items]
                for name, items in (("top", self.top), ("bottom", self.bottom))
                for key in ("id", "token", "activation")}


@dataclass(eq=False)
class Score(Result):
    """The activation of a text. frame(): one row per token."""

    type = "score"
    feature: str
    reduce: str
    text: str
    ids: list[int]
    tokens: list[str | None]
    values: Doubles
    activation: float
    token_bytes: list[str | None] | None = sometimes()
    post_values: Doubles | None = sometimes()
    post_activation: float | None = sometimes()

    def _columns(self) -> dict[str, Any]:
        columns = {"id": self.ids, "token": self.tokens, "value": self.values}
        return columns if self.post_values is None else {**columns, "post_value": self.post_values}


@dataclass(eq=False, kw_only=True)
class Attribution(Score):
    """Which tokens cause the activation. frame(): one row per token."""

    type = "attribute"
    grad_norm: Doubles
    grad_x_input: Doubles
    occlusion: Doubles | None
    combined: Doubles | None
    gradient: Floats = apart()

    def _columns(self) -> dict[str, Any]:
        return {**super()._columns(), "grad_norm": self.grad_norm, "grad_x_input": self.grad_x_input,
                "occlusion": self.occlusion, "combined": self.combined}


@dataclass(eq=False)
class Effect(Result):
    """What a unit does next. frame(): one row per place in the lists."""

    type = "effect"
    feature: str
    promoted: list[TokenLogit]
    suppressed: list[TokenLogit]
    ids: list[int] | None = sometimes()
    tokens: list[str | None] | None = sometimes()
    token_bytes: list[str | None] | None = sometimes()
    reduce: str | None = sometimes()
    activation: float | None = sometimes()
    changes: list[Change] | None = sometimes()

    def _columns(self) -> dict[str, Any]:
        return {f"{name}_{key}": [getattr(item, key) for item in items]
                for name, items in (("promoted", self.promoted), ("suppressed", self.suppressed))
                for key in ("id", "token", "logit")}


@dataclass(eq=False)
class Recovery(Result):
    """A text found again from its hidden layer. frame(): one row per token."""

    type = "recover"
    feature: str
    method: str
    decode: str | None
    target_ids: list[int]
    ids: list[int]
    tokens: list[str | None]
    text: str
    target_text: str
    matched: int
    of: int
    distance: float
    random_distance: float
    token_forwards: int
    seconds: float
    token_bytes: list[str | None] | None = sometimes()
    restart: int | None = None
    soft_distance: float | None = sometimes()
    decodes: list[Recovered] | None = sometimes()
    curve: Doubles | None = sometimes()
    tried: int | None = sometimes()
    tolerance: float | None = sometimes()
    worst_found: float | None = sometimes()

    def to_dict(self) -> dict[str, Any]:
        line = super().to_dict()
        if self.curve is None:
            del line["restart"]
        return line

    def _columns(self) -> dict[str, Any]:
        same = [a == b for a, b in zip(self.ids, self.target_ids)]
        return {"target_id": self.target_ids, "id": self.ids, "token": self.tokens, "matched": same}


@dataclass(eq=False)
class Corpus(Result):
    """What a feature does on ordinary text. frame(): one row per place that is shown."""

    type = "corpus"
    feature: str
    max: float
    min: float
    mean: float
    sd: float
    quantiles: dict[str, float]
    density: float
    n: int
    best: list[Sighting]
    worst: list[Sighting]

    def _columns(self) -> dict[str, Any]:
        rows = [*self.best, *reversed(self.worst)]
        return {key: [getattr(row, key) for row in rows] for key in ("value", "token", "pos", "text")}
