"""What goes wrong: one exception, with the library's code and the place it is about."""
from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """The library's codes, as in phosphene.h."""

    OK = 0
    EINVAL = 1
    ENOMEM = 2
    EIO = 3
    EFORMAT = 4
    EUNSUPPORTED = 5
    ESPEC = 6
    ERANGE = 7
    ETEXT = 8
    ENUMERIC = 9
    ECANCELED = 10


class Error(Exception):
    """An error of the library.

    code      a Status
    message   one line that names the thing
    pos       the byte of `source` (or of a file) it is about, or None
    source    the spec or text that was given, or None
    """

    def __init__(self, code: int, message: str, pos: int | None = None, source: str | None = None):
        super().__init__(code, message, pos, source)
        self.code = Status(code)
        self.message = message
        self.pos = pos
        self.source = source

    def __str__(self) -> str:
        return self.message + self.caret()

    def caret(self) -> str:
        """The source and a caret under the place; nothing where there is none."""
        if self.source is None or self.pos is None or self.code not in (Status.ESPEC, Status.ERANGE):
            return ""
        data = self.source.encode("utf-8", "surrogatepass")
        if not 0 <= self.pos <= len(data):
            return ""
        shown = "".join(c if c.isprintable() else " " for c in self.source)
        return f"\n  {shown}\n  {' ' * len(data[:self.pos].decode('utf-8', 'replace'))}^"
