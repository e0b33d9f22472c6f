"""Our CQL libraries and the ELM beside them: `questionnaires/<slug>/library/<Name>.cql` and `<Name>.json`.

The ELM names the digest of the text it was made from, so that a text changed without its ELM is seen everywhere,
also where no translator is at hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

DIGEST = "cql-sha256"
_EMPTY = ("annotation", "signature", "include", "codeFilter", "dateFilter", "otherFilter", "let", "relationship")


def library_texts(folder: Path = ROOT / "questionnaires") -> list[Path]:
    """Every CQL text of the project, in order of its path."""
    return sorted(folder.glob("*/library/*.cql"))


def elm_path(text: Path) -> Path:
    """Where the ELM of a text is kept."""
    return text.with_suffix(".json")


def digest_of(text: str) -> str:
    """Hex SHA-256 of a CQL text."""
    return hashlib.sha256(text.encode()).hexdigest()


def recorded_digest(elm: Mapping[str, Any]) -> str:
    """Digest of the text that the ELM says it was made from; empty when it says nothing."""
    tags = [tag for note in elm["library"].get("annotation", ()) for tag in note.get("t", ())]
    return next((str(tag["value"]) for tag in tags if tag.get("name") == DIGEST), "")


def write_elm(elm: str, text: str) -> str:
    """ELM as it is committed: a definition a line, places only where a define begins, digest of the text."""
    library = _lean(json.loads(elm)["library"])
    library["annotation"].append({"type": "Annotation", "t": [{"name": DIGEST, "value": digest_of(text)}]})
    lines = [f"{_compact(key)}:{_section(value)}" for key, value in library.items()]
    return '{"library":{\n' + ",\n".join(lines) + "\n}}\n"


def _section(value: Any) -> str:
    if not isinstance(value, dict) or set(value) != {"def"}:
        return _compact(value)
    return '{"def":[\n' + ",\n".join(map(_compact, value["def"])) + "\n]}"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _lean(library: dict[str, Any]) -> dict[str, Any]:
    """Without empty lists that mean nothing and without details of every single expression."""
    return {key: _without(value, depth=0) for key, value in library.items()}


def _without(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        return [_without(item, depth) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without(item, depth + 1)
        for key, item in value.items()
        if not (key in _EMPTY and item == []) and not (depth > 1 and _is_detail(key, item))
    }


def _is_detail(key: str, item: Any) -> bool:
    """The place of a single expression, and the types of tuples, which would be spelled out at every use."""
    return key == "locator" or (key == "resultTypeSpecifier" and "TupleTypeSpecifier" in json.dumps(item))


def by_folder(texts: Iterable[Path]) -> dict[Path, list[Path]]:
    """Texts by their folder: libraries of one folder may include each other."""
    found: dict[Path, list[Path]] = {}
    for text in texts:
        found.setdefault(text.parent, []).append(text)
    return found
