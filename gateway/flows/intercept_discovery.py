"""Which CDS services there are, for doors that know nothing of the guides."""

from __future__ import annotations

from gateway.profiles.crd_services import HOOKS, build_discovery

__all__ = ["SERVICES", "build_discovery"]
SERVICES = frozenset(HOOKS)
"""Ids of the services."""
