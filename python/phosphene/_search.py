"""One call that hands out results: its callbacks, its progress, and Ctrl-C.

An exception cannot pass through the library. So while a call runs, Ctrl-C sets a mark that the next
callback turns into the library's own cancelling; and what a callback of the caller raises is kept,
and raised when the call is over.
"""
from __future__ import annotations

import ctypes
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

from . import _abi
from ._native import error_of, library
from .errors import Error, Status
from .results import R, Results, listed

Progress = Callable[[str, float], object]  # (stage, 0 … 1); returning true cancels


class Watch:
    """Progress and Ctrl-C during one question; a context."""

    def __init__(self, progress: Progress | None):
        self.progress = progress
        self.stop = False  # Ctrl-C, or progress said so
        self.pressed = False  # Ctrl-C that no result has told of
        self.raised: BaseException | None = None
        self.callback = _abi.ph_progress(self._report)
        self._before: Any = None

    def _report(self, stage: bytes, done: float, _payload: Any) -> int:
        try:
            if self.progress and self.progress(stage.decode(), done):
                self.stop = True
        except BaseException as problem:
            self.raised = problem
        return self.stop or self.raised is not None

    def _mark(self, _number: int, _frame: Any) -> None:
        self.stop = self.pressed = True

    def __enter__(self) -> Watch:
        main = threading.current_thread() is threading.main_thread()
        if main and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._mark)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self.pressed and kind is None:
            raise KeyboardInterrupt

    def cancelled(self, problem: Error) -> None:
        """A step before the search failed: nothing, if that was our cancelling; the search sees it too."""
        if self.raised is not None:
            raise self.raised
        if problem.code != Status.ECANCELED:
            raise problem
        self.stop = True

    def collect(self, name: str, function_type: Any, read: Callable[[Any], R], before: tuple[Any, ...],
                after: tuple[Any, ...], source: str | None) -> Results[R]:
        """Call a search that takes a callback; what it handed out."""
        found: list[R] = []
        err = _abi.ph_error()

        def take(result: Any, _payload: Any) -> int:
            try:
                found.append(read(result.contents))
            except BaseException as problem:
                self.raised = problem
            return self.stop or self.raised is not None

        st = getattr(library(), name)(*before, function_type(take), None, *after, ctypes.byref(err))
        return self.finish(found, st, err, source)

    def finish(self, found: list[R], st: int, err: Any, source: str | None) -> Results[R]:
        if self.raised is not None:
            raise self.raised
        if st not in (_abi.OK, _abi.ECANCELED):
            raise error_of(err, source)
        interrupted = st == _abi.ECANCELED or self.pressed
        if interrupted:
            self.pressed = False
            warnings.warn(f"interrupted: {len(found)} result{'' if len(found) == 1 else 's'} until then",
                          RuntimeWarning, stacklevel=5)
        return listed(found, interrupted)
