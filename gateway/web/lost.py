"""What a form held that came too late: its session was renewed or ended in another tab, so nothing of it counts.

What was typed is shown once more, to be copied, and never sent again by itself: the person may be another one now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.web.page import Form

CODE: Final = "request.token"
"""Reason of the refusal."""
SENTENCE: Final = (
    "This form belongs to another sign-in: in another tab you proved who you are, or signed in anew. Nothing was saved "
    "or done. Open the page again and repeat what you did; what you typed stands below, to be copied."
)
SECRET: Final = frozenset({"password", "token"})
"""Fields that are shown to nobody."""
_OWN: Final = frozenset({"draft", "entry", "seq", "shown", "state", "then"})
"""Fields that the page filled in itself."""
_ACTS: Final = frozenset({"cancel", "link", "search", "sign", "sign-out", "visits", "write"})
"""Last words of addresses that only take forms."""


def typed(form: Form) -> list[tuple[str, str]]:
    """Name and value of every field that a person filled in, in the order of the page."""
    found = ((name, value) for name in form.fields if name not in SECRET | _OWN for value in form.all(name))
    return [(name.partition(":")[2] or name, value) for name, value in found if value.strip()]


def page_of(path: str) -> str:
    """Address of the page on which a form stood that is sent to `path`."""
    before, _, last = path.rpartition("/")
    return (before or "/") if last in _ACTS else path
