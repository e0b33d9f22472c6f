"""FHIR XML turned into FHIR JSON, through one hardened parser.

Everything from outside is hostile (security T4): UTF-8 only, no DOCTYPE of any kind, no entity but the
five of XML, nothing fetched, size and depth bounded. What is not FHIR R4 is refused whole; nothing is
partly read (field case B61). Decimals keep their digits. Source: FHIR R4, XML and JSON formats.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from lxml import etree

from gateway.errors import InputError, TooLarge
from gateway.fhir.elements import Element, element_table, is_resource_type
from gateway.fhir.json import MAX_DEPTH, parse_json

FHIR_NAMESPACE = "http://hl7.org/fhir"
XHTML_NAMESPACE = "http://www.w3.org/1999/xhtml"
MAX_BYTES = 10_000_000
"""Largest XML body read; a chart Bundle of this product's size is far below."""
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_DECLARATION = re.compile(rb"^<\?xml\s[^>]{0,200}\?>")
_ENCODING = re.compile(rb"""encoding\s*=\s*["']([^"']{1,40})["']""")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

_Node = etree._Element


def parse_xml(body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """One FHIR resource in XML as FHIR JSON.

    Refuses with `InputError` and a reason `xml.*`: bytes over `max_bytes` (413), other encodings than
    UTF-8, DOCTYPE, text that is not XML, a root outside the FHIR namespace, unknown resource types,
    elements and attributes, repeated elements that may not repeat, nesting over `max_depth`. No input
    value is repeated in a message.
    """
    root = _parse(body, max_bytes)
    _require_depth(root, max_depth)
    namespace, name = _name(root)
    if namespace != FHIR_NAMESPACE:
        _refuse(f"The root element is not in namespace {FHIR_NAMESPACE}.", "namespace")
    return _resource(root, name)


def safe_parse(text: bytes) -> _Node:
    """Parse UTF-8 XML without entities, DTD, network, comments or processing instructions.

    The only call of an XML parser in the product. `InputError` (`xml.doctype`, `xml.syntax`).
    """
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        _refuse("A document type declaration is not accepted.", "doctype")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError:
        raise InputError("The body is not well-formed XML.", code="xml.syntax") from None
    # Defensive: the parser's own view, should a declaration ever hide from the search above.
    if getattr(root.getroottree().docinfo, "doctype", ""):
        _refuse("A document type declaration is not accepted.", "doctype")
    return root


def _parse(body: bytes, max_bytes: int) -> _Node:
    if len(body) > max_bytes:
        raise TooLarge("The XML body is too large.", code="xml.size")
    plain = body.removeprefix(b"\xef\xbb\xbf")
    if b"\x00" in plain or plain[:2] in (b"\xff\xfe", b"\xfe\xff"):
        _refuse("The XML is not UTF-8; send UTF-8.", "encoding")
    declaration = _DECLARATION.match(plain)
    named = _ENCODING.search(declaration.group()) if declaration else None
    if named and named.group(1).lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        _refuse("The XML is not UTF-8; send UTF-8.", "encoding")
    try:
        plain.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("The XML is not UTF-8; send UTF-8.", "encoding")
    return safe_parse(plain[declaration.end() :] if declaration else plain)


def _require_depth(root: _Node, max_depth: int) -> None:
    """Measured without recursion, since conversion recurses."""
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > max_depth:
            _refuse(f"The XML is nested more than {max_depth} levels deep.", "depth")


def _resource(node: _Node, name: str) -> dict[str, Any]:
    if not is_resource_type(name):
        _refuse("The XML holds an unknown resource type.", "resource-type")
    return {"resourceType": name, **_members(node, name)}


def _members(node: _Node, type_name: str) -> dict[str, Any]:
    """The members of a resource or complex element, in document order, repeating ones as lists."""
    table = element_table(type_name)
    built = _attributes(node, table)
    for child in _children(node):
        namespace, name = _name(child)
        element = table.get(name)
        if element is not None and element.kind == "xhtml" and namespace == XHTML_NAMESPACE:
            _put(built, element, _xhtml(child), None)
        elif element is None or namespace != FHIR_NAMESPACE:
            _refuse("The XML holds an element that FHIR R4 does not have there.", "element")
        else:
            _put(built, element, *_value(child, element))
    return _pruned(built, table)


def _value(node: _Node, element: Element) -> tuple[Any, Any]:
    """Value of an element, and what goes into its `_name` twin (None when nothing does)."""
    if element.kind == "complex":
        return _members(node, element.type_name), None
    if element.kind == "resource":
        inner = list(_children(node))
        if len(inner) != 1 or _name(inner[0])[0] != FHIR_NAMESPACE or node.attrib:
            _refuse("The XML holds a resource element without exactly one resource.", "element")
        return _resource(inner[0], _name(inner[0])[1]), None
    twin = _twin(node)
    raw = node.get("value")
    if raw is None and twin is None:
        _refuse("The XML holds an element without value and without extension.", "empty")
    return (None if raw is None else _primitive(raw, element)), twin


def _twin(node: _Node) -> dict[str, Any] | None:
    """Id and extensions of a primitive, which JSON keeps beside its value."""
    built: dict[str, Any] = {}
    for key, value in node.attrib.items():
        if key == "id":
            built["id"] = str(value)
        elif key != "value":
            _refuse("The XML holds an attribute that FHIR does not have there.", "attribute")
    for child in _children(node):
        if _name(child) != (FHIR_NAMESPACE, "extension"):
            _refuse("The XML holds an element that FHIR R4 does not have there.", "element")
        built.setdefault("extension", []).append(_members(child, "Extension"))
    return built or None


def _primitive(raw: str, element: Element) -> Any:
    """JSON value of a primitive: numbers keep every digit, strings every character."""
    if element.kind == "boolean" and raw in ("true", "false"):
        return raw == "true"
    if element.kind == "integer" and _INTEGER.fullmatch(raw):
        return parse_json(raw.removeprefix("+").encode("ascii"))
    if element.kind == "decimal" and _DECIMAL.fullmatch(raw):
        return parse_json(raw.encode("ascii"))
    if element.kind != "string" or not raw:
        _refuse("The XML holds a value that does not fit its element.", "value")
    return raw


def _put(built: dict[str, Any], element: Element, value: Any, twin: Any) -> None:
    """Add a value; repeating primitives keep value and twin at the same position."""
    name, shadow = element.name, f"_{element.name}"
    if not element.is_list:
        if name in built or shadow in built:
            _refuse("The XML repeats an element that may occur only once.", "cardinality")
        built |= {name: value} if value is not None else {}
        built |= {shadow: twin} if twin is not None else {}
        return
    built.setdefault(name, []).append(value)
    built.setdefault(shadow, []).append(twin)


def _pruned(built: dict[str, Any], table: Any) -> dict[str, Any]:
    """Lists of nothing but null are not written; FHIR JSON has no empty members."""
    kept: dict[str, Any] = {}
    for name, value in built.items():
        is_hollow = isinstance(value, list) and all(item is None for item in value)
        if not is_hollow or name.removeprefix("_") not in table:
            kept[name] = value
    return kept


def _attributes(node: _Node, table: Any) -> dict[str, Any]:
    """`id` of an element and `url` of an extension; schema hints are passed over, anything else refused."""
    built: dict[str, Any] = {}
    for key, value in node.attrib.items():
        if str(key).startswith(_XSI):
            continue
        is_known = key == "id" or (key == "url" and "valueBase64Binary" in table)
        if not is_known or not value:
            _refuse("The XML holds an attribute that FHIR does not have there.", "attribute")
        built[str(key)] = str(value)
    return built


def _children(node: _Node) -> Iterator[_Node]:
    """Child elements; text between them is refused, since FHIR keeps values in attributes."""
    stray = [node.text, *(child.tail for child in node)]
    if any(piece and piece.strip() for piece in stray):
        _refuse("The XML holds text outside of narrative.", "text")
    yield from node


def _xhtml(node: _Node) -> str:
    """The narrative as a string, with its own namespace declarations only."""
    own = copy.deepcopy(node)
    own.tail = None
    etree.cleanup_namespaces(own)
    return etree.tostring(own, encoding="unicode")


def _name(node: _Node) -> tuple[str, str]:
    """Namespace and local name. Defensive: entity nodes have no name and are refused."""
    if not isinstance(node.tag, str):
        _refuse("The XML holds an entity reference.", "entity")
    name = etree.QName(node)
    return name.namespace or "", name.localname


def _refuse(message: str, reason: str) -> NoReturn:
    raise InputError(message, code=f"xml.{reason}")
