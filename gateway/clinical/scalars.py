"""YAML without its surprises: mappings, lists and strings, nothing else.

Every scalar stays the text that was written, so `NO` is a state and `00630` a code. Anchors,
aliases, tags, directives, duplicate keys, several documents and large files are refused before any
value is built. Source: security T34.
"""

from __future__ import annotations

from typing import Any

import yaml

from gateway.errors import SettingsError

MAX_BYTES = 65_536
"""Largest document accepted."""
MAX_DEPTH = 12
"""Deepest nesting accepted."""

_REFUSED = {
    yaml.AnchorToken: "anchors",
    yaml.AliasToken: "aliases",
    yaml.TagToken: "tags",
    yaml.DirectiveToken: "directives",
}
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def parse_scalars(text: str, name: str = "rule") -> Any:
    """Nested dicts, lists and strings of one YAML document. `name` stands in the `SettingsError` raised."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SettingsError(f"{name}: a rule has at most {MAX_BYTES} bytes.", code="rule.size")
    try:
        _require_plain(text, name)
        nodes = list(yaml.compose_all(text, Loader=yaml.BaseLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SettingsError(f"{name}: this is not YAML.", code="rule.yaml") from None
    if len(nodes) != 1:
        raise SettingsError(f"{name}: exactly one document is expected.", code="rule.yaml")
    return _value(nodes[0], name, MAX_DEPTH)


def _require_plain(text: str, name: str) -> None:
    """Look at the tokens alone, and stop at the first that is refused or nested too deeply: parsing costs more."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.BaseLoader):
        word = _REFUSED.get(type(token))
        if word:
            raise SettingsError(f"{name}: YAML {word} are not allowed here.", code="rule.yaml")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise SettingsError(f"{name}: nested too deeply.", code="rule.yaml")


def _value(node: yaml.Node, name: str, depth: int) -> Any:
    if depth == 0:
        raise SettingsError(f"{name}: nested too deeply.", code="rule.yaml")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, name, depth - 1) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    found: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in found:
            raise SettingsError(f"{name}: a key is given twice or is not plain text.", code="rule.yaml")
        found[str(key.value)] = _value(item, name, depth - 1)
    return found
