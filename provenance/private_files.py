"""Files that only their owner may read: written whole or not at all, refused when modes are wider.

Source: spec/security.md T37.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from provenance.errors import KeyRingError

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077


def make_private_folder(directory: Path) -> None:
    """A directory of mode 0700, new or empty. Errors: KeyRingError."""
    try:
        directory.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        directory.chmod(_FOLDER_MODE)
        occupied = any(directory.iterdir())
    except OSError as error:
        raise KeyRingError(f"{directory.name} cannot be made: {error.strerror}") from error
    if occupied:
        raise KeyRingError(f"{directory.name} is not empty: open the key ring in it, or choose another place")


def require_private_folder(directory: Path) -> None:
    """Raises KeyRingError where the directory is absent, a link, or open to others."""
    _require_owner_only(directory, stat.S_ISDIR, "0700")


def read_private(path: Path) -> bytes:
    """The bytes of a file of mode 0600. Errors: KeyRingError."""
    _require_owner_only(path, stat.S_ISREG, "0600")
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyRingError(f"{path.name} cannot be read: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Writes a file of mode 0600 so that a reader sees the old or the new content. Errors: KeyRingError."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise KeyRingError(f"{path.name} cannot be written: {error.strerror}") from error


def _require_owner_only(path: Path, is_kind: Callable[[int], bool], wanted: str) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise KeyRingError(f"{path.name}: {error.strerror}") from error
    if not is_kind(mode):
        raise KeyRingError(f"{path.name} is of another kind than expected")
    if stat.S_IMODE(mode) & _OTHERS:
        raise KeyRingError(f"{path.name} can be read by others: its mode must be {wanted}")
