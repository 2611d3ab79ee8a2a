"""Text to ids and back."""
from __future__ import annotations

import ctypes
import operator
import os
from collections.abc import Sequence
from typing import Any

from . import _abi
from ._native import Owner, call, integers, library, text
from .errors import Error, Status


def id_array(ids: Sequence[int]) -> Any:
    """Ids for the library; IndexError for what is no id of any vocabulary."""
    plain = [operator.index(i) for i in ids]  # NumPy has integers too
    wrong = [i for i in plain if not 0 <= i < 2**31]
    if wrong:
        raise IndexError(f"id {wrong[0]} is out of range")
    return (ctypes.c_int32 * len(plain))(*plain)


class Tokenizer:
    """The tokenizer of a model, or of a file: a GGUF file, a tokenizer.json or the folder that holds it."""

    def __init__(self, path: str | os.PathLike[str]):
        handle = ctypes.c_void_p()
        call("ph_tokenizer_open", ctypes.byref(handle), os.fsencode(path))
        self._take(handle, Owner(handle, "ph_tokenizer_close"))

    def _take(self, handle: Any, owner: Owner) -> None:
        self._handle, self._owner = handle, owner
        self._info = library().ph_tokenizer_get_info(handle).contents
        self._texts: dict[int, str | None] = {}

    @classmethod
    def _of(cls, model: Owner) -> Tokenizer:
        handle = library().ph_model_tokenizer(model.handle)
        if not handle:
            raise Error(Status.EUNSUPPORTED, "this model has no vocabulary")
        self = cls.__new__(cls)
        self._take(ctypes.c_void_p(handle), model)
        return self

    def __len__(self) -> int:
        return int(self._info.vocab)

    def __repr__(self) -> str:
        return f"<phosphene.Tokenizer {self._info.model.decode()}, {len(self)} tokens>"

    @property
    def bos(self) -> int:
        """The id of the BOS token, -1 without one."""
        return int(self._info.bos)

    @property
    def eot(self) -> int:
        """The id of the end-of-text token, -1 without one."""
        return int(self._info.eot)

    @property
    def encodes(self) -> bool:
        """False where only the pieces are known."""
        return bool(self._info.encodes)

    def encode(self, text: str, *, special: bool = False, add: bool = False) -> list[int]:
        """The ids of a text. special: parse special tokens in it; add: the BOS and EOS that the
        tokenizer's own flags ask for."""
        ids, n, data = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t(), text.encode()
        flags = special * _abi.ENCODE_SPECIAL | add * _abi.ENCODE_ADD
        call("ph_tokenizer_encode", ctypes.byref(ids), ctypes.byref(n), self._handle, data, len(data), flags,
             source=text)
        try:
            return integers(ids, n.value)
        finally:
            library().ph_free(ids)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        out, n = ctypes.c_void_p(), ctypes.c_size_t()
        call("ph_tokenizer_decode", ctypes.byref(out), ctypes.byref(n), self._handle, id_array(ids), len(ids))
        try:
            return ctypes.string_at(out, n.value)
        finally:
            library().ph_free(out)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, U+FFFD for what is not UTF-8."""
        return text(self.decode_bytes(ids))

    def piece(self, id: int) -> bytes | None:
        """The bytes of a token; None for an id that is none."""
        n = ctypes.c_size_t()
        found = library().ph_tokenizer_piece(self._handle, id, ctypes.byref(n)) if 0 <= id < len(self) else None
        return ctypes.string_at(found, n.value) if found else None

    def token(self, id: int) -> str | None:
        """The text of a token, U+FFFD for what is not UTF-8."""
        if id not in self._texts:
            piece = self.piece(id)
            self._texts[id] = None if piece is None else text(piece)
        return self._texts[id]

    def tokens(self, ids: Sequence[int]) -> list[str | None]:
        return [self.token(id) for id in ids]

    def token_bytes(self, ids: Sequence[int]) -> list[str | None] | None:
        """The bytes, in hexadecimal, of the tokens that are not UTF-8; None if all are."""
        pieces = [(self.piece(id), self.token(id)) for id in ids]
        odd = [piece.hex() if piece is not None and (shown is None or shown.encode() != piece) else None
               for piece, shown in pieces]
        return odd if any(o is not None for o in odd) else None

