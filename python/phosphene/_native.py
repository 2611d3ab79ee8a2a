"""The shared library: where it is, and how it is called.

Loaded when first needed, so that importing the package costs next to nothing.
"""
from __future__ import annotations

import ctypes
import functools
import os
import weakref
from typing import Any

from . import _abi
from .errors import Error

NAMES = ("libphosphene.so",)


def _candidates() -> list[str]:
    given = os.environ.get("PHOSPHENE_LIBRARY")
    if given:
        return [given]
    here = os.path.dirname(os.path.abspath(__file__))
    beside = [path for path in (os.path.join(here, name) for name in NAMES) if os.path.exists(path)]
    return beside or [_abi.SONAME]


@functools.cache
def library() -> Any:
    """The library with its prototypes."""
    path = _candidates()[0]
    try:
        lib = ctypes.CDLL(path)
    except OSError as problem:
        raise ImportError(f"libphosphene cannot be loaded: {problem}; $PHOSPHENE_LIBRARY may name it") from problem
    try:
        for name, (result, parameters) in _abi.FUNCTIONS.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, parameters
    except AttributeError as problem:
        raise ImportError(f"{path} is not the library that this package was made with: {problem}") from problem
    found = lib.ph_version().decode()
    if found != _abi.VERSION:
        raise ImportError(f"{path} is version {found}, this package was made with {_abi.VERSION}")
    return lib


def _fill(target: Any, values: tuple[Any, ...]) -> None:
    for (name, *_), value in zip(target._fields_, values):
        if isinstance(value, tuple):
            _fill(getattr(target, name), value)
        elif value is not None:
            setattr(target, name, value)


def initial(struct: Any) -> Any:
    """A struct of options with the library's defaults."""
    made = struct()
    _fill(made, _abi.INIT[struct])
    return made


def error_of(err: Any, source: str | None = None) -> Error:
    message = err.msg.decode("utf-8", "replace")
    return Error(err.code, message, err.pos if err.pos >= 0 else None, source)


def call(name: str, *arguments: Any, source: str | None = None) -> None:
    """Call a function whose last parameter is an error; raises Error."""
    err = _abi.ph_error()
    if getattr(library(), name)(*arguments, ctypes.byref(err)) != _abi.OK:
        raise error_of(err, source)


def utf8(text: str, what: str) -> bytes:
    """The bytes of a text that the library takes as a C string."""
    data = text.encode()
    if b"\0" in data:
        raise ValueError(f"{what}: a 0 byte at {data.index(0)}")
    return data


def text(data: bytes) -> str:
    """Bytes as text, U+FFFD for what is not UTF-8, as the library does it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "\0".join(map(_clean, data.split(b"\0")))


def _clean(data: bytes) -> str:
    out = ctypes.c_void_p()
    call("ph_utf8_clean", ctypes.byref(out), data, len(data))
    try:
        return ctypes.string_at(out).decode()
    finally:
        library().ph_free(out)


def integers(pointer: Any, n: int) -> list[int]:
    return pointer[:n] if n else []


def array(pointer: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A NumPy array of the caller's own from memory that is borrowed for a call."""
    import numpy as np

    out = np.empty(shape, dtype)
    if out.nbytes:
        ctypes.memmove(out.ctypes.data, pointer, out.nbytes)
    return out


def doubles(pointer: Any, n: int) -> Any:
    return array(pointer, (n,), "f8")


class Owner:
    """A handle of the library, ended when the last object that holds it is gone, and before what it
    borrows from."""

    def __init__(self, handle: Any, close: str, borrows: Owner | None = None):
        self.handle = handle
        weakref.finalize(self, _close, handle, close, borrows)


def _close(handle: Any, close: str, _borrows: Owner | None) -> None:
    getattr(library(), close)(ctypes.byref(handle))
