"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """Folder of public packages, corpora and tools; may be absent."""
    return Path(os.environ.get("PA_GATEWAY_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; skips the test where it is absent."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"public corpora are not at {folder.name}/ beside the project")
    return folder


@pytest.fixture(scope="session")
def corpora(shared: Path) -> Path:
    """The public test corpora; skips where they are absent (PA_GATEWAY_CORPORA overrides)."""
    folder = Path(os.environ.get("PA_GATEWAY_CORPORA", shared / "corpora"))
    if not folder.is_dir():
        pytest.skip("public corpora are absent")
    return folder
