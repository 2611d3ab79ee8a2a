"""A batch of rows of embeddings forward to a place in the model, and a gradient there back to them."""
from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _abi
from ._native import Owner, call, initial, library
from .tokenizer import id_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .model import Model

    Floats = NDArray[np.float32]

FLOATS = ctypes.POINTER(ctypes.c_float)


def floats(a: Any) -> Any:
    return a.ctypes.data_as(FLOATS)


class Session:
    """Rows of `tokens` tokens each, at most `rows` at once, behind a context that is run once.

    Arrays of float32 that are dense are neither copied nor converted: the library reads and writes
    them in place. One thread at a time; a context that closes it.
    """

    def __init__(self, model: Model, taps: Sequence[Any], *, rows: int, tokens: int, context: Sequence[int],
                 gradient: bool):
        o = initial(_abi.ph_session_options)
        o.rows, o.tokens, o.gradient, o.n_context = rows, tokens, gradient, len(context)
        if context:
            o.context = id_array(context)
        o.taps, o.n_taps = (_abi.ph_tap * len(taps))(*taps), len(taps)
        self.rows, self.tokens, self.width = rows, tokens, model.info.width
        self.widths = [library().ph_place_width(model._info, tap.place) for tap in taps]
        self._gradient, self._last = gradient, 0
        handle = ctypes.c_void_p()
        call("ph_session_open", ctypes.byref(handle), model._owner.handle, ctypes.byref(o))
        self._own: Owner | None = Owner(handle, "ph_session_close", model._owner)

    def close(self) -> None:
        self._own = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _handle(self) -> Any:
        if self._own is None:
            raise ValueError("the session is closed")
        return self._own.handle

    def forward(self, E: ArrayLike, out: Floats | None = None) -> Floats:
        """X (B,T,W), the output of the taps side by side, for embeddings E (B,T,C) or (T,C)."""
        import numpy as np

        E = np.ascontiguousarray(E, np.float32)
        shape = E.shape[:-2] + (self.tokens, sum(self.widths))
        batch = E.shape[0] if E.ndim == 3 else 1
        if E.ndim not in (2, 3) or E.shape[-2:] != (self.tokens, self.width) or not 1 <= batch <= self.rows:
            raise ValueError(f"E has the shape {E.shape}: expected (1 to {self.rows}, {self.tokens}, {self.width})")
        X = np.empty(shape, np.float32) if out is None else _given(out, shape)
        call("ph_session_forward", self._handle, floats(X), floats(E), batch)
        self._last = batch
        return X

    def backward(self, dX: ArrayLike, out: Floats | None = None) -> Floats:
        """dE (B,T,C) for the gradient dX (B,T,W) of the rows that the last forward ran."""
        import numpy as np

        dX = np.ascontiguousarray(dX, np.float32)
        if not self._gradient:
            raise ValueError("the session was opened without gradient=True")
        if dX.shape[-2:] != (self.tokens, sum(self.widths)) or dX.size != self._last * dX.shape[-2] * dX.shape[-1]:
            raise ValueError(f"dX has the shape {dX.shape}: expected ({self._last}, {self.tokens}, "
                             f"{sum(self.widths)}), of the rows that the last forward ran")
        shape = dX.shape[:-1] + (self.width,)
        dE = np.empty(shape, np.float32) if out is None else _given(out, shape)
        call("ph_session_backward", self._handle, floats(dE), floats(dX))
        return dE


def _given(out: Floats, shape: tuple[int, ...]) -> Floats:
    if out.dtype != "f4" or out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"out must be a dense, writeable float32 array of the shape {shape}")
    return out

