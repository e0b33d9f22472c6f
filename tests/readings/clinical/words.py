"""Numbers and the words that go with them."""

from __future__ import annotations


def counted(number: object, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def is_or_are(number: int) -> str:
    """The verb after a number."""
    return "is" if number == 1 else "are"
