"""Which define of which library a CQL expression names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r'(?:"((?:[^"\\]|\\.)+)"|([A-Za-z_][A-Za-z0-9_]*))'
_IDENTIFIER = re.compile(rf"\s*(?:{_NAME}\s*\.\s*)?{_NAME}\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineName:
    """`library` is the CQL library identifier; None when the expression leaves it out."""

    define: str
    library: str | None


def read_define_name(expression: str) -> DefineName | None:
    """`"Library".Define`, `Library."Define"` or `Define`; None for anything else, which is inline CQL."""
    match = _IDENTIFIER.fullmatch(expression)
    if match is None:
        return None
    quoted_library, library, quoted, plain = match.groups()
    return DefineName(define=quoted or plain, library=quoted_library or library)
