"""Narrative and other foreign XHTML made safe to show.

Only the view is rewritten; what was received and signed stays as it is (security T7). The allow-list is
that of FHIR narrative (txt-1) without anything that loads, runs or tracks: no scripts, styles, events,
forms, frames or images, and links only to http, https and mailto.
"""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from lxml import etree

from gateway.errors import InputError
from gateway.fhir.xml import XHTML_NAMESPACE, safe_parse

ALLOWED = frozenset(
    (
        *("a", "abbr", "acronym", "b", "big", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd"),
        *("dfn", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "ol", "p"),
        *("pre", "q", "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th"),
        *("thead", "tr", "tt", "ul", "var"),
    )
)
"""Elements that are kept; of others only their text is, and of some not even that."""
_SILENT = frozenset(
    {"script", "style", "iframe", "object", "embed", "noscript", "template", "svg", "math", "title", "head"}
)
"""Elements whose content is no text for people."""
_VOID = frozenset({"br", "hr", "col"})
_ATTRIBUTES = {
    "a": ("href", "title"),
    "td": ("colspan", "rowspan"),
    "th": ("colspan", "rowspan", "scope"),
    "abbr": ("title",),
    "acronym": ("title",),
    "ol": ("start",),
}
_EVERYWHERE = ("lang", "dir")
_SAFE_VALUE = re.compile(r"[\w .,:;()/\-]{0,200}")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]+")
MAX_CHARACTERS = 1_000_000
"""Longest narrative shown."""
_MAX_DEPTH = 80


class SafeHtml(str):
    """Markup that this module made; the only kind a template may print raw."""

    __slots__ = ()

    def __html__(self) -> str:
        """What template engines ask for before printing without escaping."""
        return str(self)


def sanitise(div: str) -> SafeHtml:
    """The narrative as markup that is safe inside our pages; text is kept, what is not allowed is dropped.

    Narrative that is not well-formed, too long or too deep is shown as escaped text.
    """
    if len(div) > MAX_CHARACTERS:
        return SafeHtml("<p>The narrative is too long to show.</p>")
    try:
        root = safe_parse(div.encode("utf-8", "replace"))
    except InputError:
        return SafeHtml(f"<p>{html.escape(re.sub(r'<[^>]*>', ' ', div))}</p>")
    parts: list[str] = []
    _write(root, parts, 0)
    return SafeHtml("".join(parts))


def plain_text(div: str) -> str:
    """The text of a narrative without markup, blanks folded."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", sanitise(div))).split())


def safe_link(url: str) -> str:
    """The url when it may be a link (http, https with a host, mailto), else empty.

    Blanks and control characters are removed first, as browsers do before they look at the scheme (B113).
    """
    bare = _INVISIBLE.sub("", url)
    try:
        parts = urlsplit(bare)
    except ValueError:
        return ""
    if parts.scheme.lower() in ("http", "https") and parts.hostname and not (parts.username or parts.password):
        return bare
    return bare if parts.scheme.lower() == "mailto" and parts.path else ""


def _write(node: etree._Element, parts: list[str], depth: int) -> None:
    name = _local_name(node)
    if name in _SILENT or depth > _MAX_DEPTH:
        return
    is_kept = name in ALLOWED
    if is_kept:
        parts.append(f"<{name}{_attributes(node, name)}>")
    parts.append(html.escape(node.text or "", quote=False))
    if name == "img":
        parts.append(html.escape(node.get("alt") or "", quote=False))
    for child in node:
        _write(child, parts, depth + 1)
        parts.append(html.escape(child.tail or "", quote=False))
    if is_kept and name not in _VOID:
        parts.append(f"</{name}>")


def _local_name(node: etree._Element) -> str:
    """Name in lower case; elements of foreign namespaces (svg, math) read as svg, whose content is dropped."""
    name = etree.QName(node)
    return name.localname.lower() if name.namespace in (None, XHTML_NAMESPACE) else "svg"


def _attributes(node: etree._Element, name: str) -> str:
    found = []
    for key in (*_ATTRIBUTES.get(name, ()), *_EVERYWHERE):
        value = node.get(key)
        if value is None:
            continue
        shown = safe_link(value) if key == "href" else value if _SAFE_VALUE.fullmatch(value) else ""
        if shown:
            found.append(f' {key}="{html.escape(shown)}"')
    rel = ' rel="noopener noreferrer nofollow"' if any(item.startswith(" href") for item in found) else ""
    return "".join(found) + rel
