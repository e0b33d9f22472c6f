"""An append-only file of what happened, so that a restarted harness is the same payer.

One JSON object a line with its `kind`; bytes travel as base64. A torn last line (the process was killed while writing)
is skipped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


class Journal:
    """Writes lines as they happen; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def append(self, kind: str, **fields: Any) -> None:
        """Add one line and hand it to the operating system at once."""
        if self._path is None:
            return
        if self._file is None:
            self._mend()
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps({"kind": kind, **{key: _plain(value) for key, value in fields.items()}}) + "\n")
        self._file.flush()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every whole line of the file, oldest first; nothing where there is no file yet."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        if self._path is not None:
            self._path.write_text("")

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _mend(self) -> None:
        """Cut a torn last line off, or the next line would be glued to it."""
        if self._path is None or not self._path.exists():
            return
        content = self._path.read_bytes()
        if content and not content.endswith(b"\n"):
            self._path.write_bytes(content[: content.rfind(b"\n") + 1])


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def unpack(text: str) -> bytes:
    """The bytes of a base64 field."""
    return base64.b64decode(text)
