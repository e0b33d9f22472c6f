"""Templates of the package, filled with escaping always on; nothing from outside ever becomes a template."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gateway.fhir.narrative import safe_link, sanitise
from gateway.web import chips, dates

STATIC: Final[dict[str, str]] = {
    "style.css": "text/css; charset=utf-8",
    "pages.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Every file that is served, and its media type; nothing else is."""


@lru_cache(maxsize=len(STATIC))
def static_file(name: str) -> bytes:
    """Bytes of a file of `STATIC`."""
    return (files("gateway.web") / "static" / name).read_bytes()


def static_url(name: str) -> str:
    """Address of a file; it changes with the content, so that browsers may keep it for long."""
    return f"/static/{name}?v={hashlib.sha256(static_file(name)).hexdigest()[:12]}"


def size_text(size: int) -> str:
    """`940 bytes`, `12.3 kB`, `4.1 MB`."""
    if size < 1000:
        return f"{size} byte{'s' if size != 1 else ''}"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def words(name: str) -> str:
    """A name of ours as words: `payer-response` → `payer response`."""
    return name.replace("_", " ").replace("-", " ")


def short_reference(reference: str) -> str:
    """`Procedure/6a61db85…`: enough to tell records apart; the page it leads to has all of it."""
    kind, slash, name = reference.partition("/")
    return f"{kind}/{name[:8]}…" if slash and len(name) > 12 else reference


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("gateway.web", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True, enabled_extensions=("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "day": dates.show_day,
        "instant": dates.show_instant,
        "clock": dates.show_clock,
        "exact": dates.exact,
        "link": safe_link,
        "foreign": sanitise,
        "size": size_text,
        "words": words,
        "short": short_reference,
    }
    made.globals |= {"static_url": static_url, "decision_chip": chips.decision_chip, "time_left": dates.time_left}
    return made


def render(template: str, **values: Any) -> str:
    """The page as text."""
    return _environment().get_template(template).render(values)
