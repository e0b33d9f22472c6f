"""The two generations of the guides every simulated payer serves, each at its own address.

`/{payer}/…` speaks CRD 2.2.1, DTR 2.2.0, PAS 2.2.1; `/{payer}/2.0.1/…` speaks 2.0.1 of all three. A payer gives every
incompatible version a distinct endpoint (pas:conf-1); differences: crd.md §16, dtr.md §16, pas.md §13.
"""

from __future__ import annotations

from enum import StrEnum


class Guide(StrEnum):
    """Which generation a message is in."""

    STU2 = "2.0.1"
    STU2_2 = "2.2"


def guide_of(path: str) -> Guide:
    """By the address that was called."""
    return Guide.STU2 if path.split("/")[2:3] == [Guide.STU2.value] else Guide.STU2_2
