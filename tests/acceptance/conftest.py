"""The running house, once for all acceptance tests of a worker."""

from __future__ import annotations

from tests.acceptance.server import server

__all__ = ["server"]
