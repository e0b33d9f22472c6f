"""Tampering is always noticed: any byte, any node of any JSON file, and no input makes the verifier crash."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from typing import Any

import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance import PackageError, read_package, verify_package
from provenance.archive import read_archive, write_archive
from provenance.canonical import jcs, parse_strict
from provenance.errors import StrictJsonError
from provenance.package import MANIFEST, MANIFEST_JWS
from tests.provenance_case import CaseBuilder, anchors, key_ring, patient, resource
from tests.provenance_forge import clean_files, relist

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    # Whole numbers beyond 2^53-1 are refused when spelled without a point, which their canonical form is.
    | st.floats(-(2.0**53) + 1, 2.0**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)
JSON_FILES = sorted(path for path in clean_files() if path.endswith(".json"))


@functools.cache
def small_package() -> bytes:
    """One event about one patient."""
    case = CaseBuilder(ring=key_ring())
    case.record("ehr-extract", [resource(patient())])
    return case.package()


@functools.cache
def small_files() -> dict[str, bytes]:
    return read_archive(small_package())


def files_of(package: bytes) -> dict[str, bytes] | None:
    try:
        return read_package(package)
    except PackageError:
        return None


@settings(max_examples=400, deadline=None)
@given(at=st.integers(0, len(small_package()) - 1), bit=st.integers(0, 7))
def test_flipped_bit_is_never_believed(at: int, bit: int) -> None:
    """The exception are bytes of the zip that no file depends on; the last test lists them."""
    changed = bytearray(small_package())
    changed[at] ^= 1 << bit
    report = verify_package(bytes(changed), anchors())
    assert report.verdict != "TOTAL-PASSED"
    assert report.exit_code != 0
    if files_of(bytes(changed)) != small_files():
        assert report.verdict == "TOTAL-FAILED"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_a_report_not_a_crash(body: bytes) -> None:
    report = verify_package(body, anchors())
    assert set(report.codes) <= {"PACKAGE_FORMAT", "PACKAGE_LIMIT"}
    assert report.verdict == "TOTAL-FAILED"


def nodes(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths of every node of a JSON value."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += nodes(child, (*path, key))
    return found


def replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_replaced_node_of_a_json_file_is_noticed_even_when_the_list_is_put_right(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(JSON_FILES))
    files = clean_files()
    value = json.loads(files[path])
    node = data.draw(st.sampled_from(nodes(value)))
    new = data.draw(VALUES | st.sampled_from(["", "Provenance", "Bundle", "2026-11-01T12:00:00Z", {}, []]))
    changed = json.dumps(replaced(value, node, new), ensure_ascii=False, separators=(",", ":")).encode()
    if changed == files[path]:
        return
    tampered = {**files, path: changed}
    packed = write_archive(tampered) if path == MANIFEST else relist(tampered)
    report = verify_package(packed, anchors())
    report.to_text()
    assert report.verdict == "TOTAL-FAILED", report.codes


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=300) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_anything_in_place_of_any_file_is_a_report_not_a_crash(body: bytes) -> None:
    for path in (MANIFEST, MANIFEST_JWS, "events/000000.json", "bundle/document.json"):
        report = verify_package(write_archive({**small_files(), path: body}), anchors())
        report.to_text()
        assert report.verdict == "TOTAL-FAILED"


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_canonical_form_is_that_of_the_reference_and_is_its_own_canonical_form(value: Any) -> None:
    canonical = jcs(json.dumps(value).encode())
    assert canonical == rfc8785.dumps(value)
    assert canonical == jcs(json.dumps(value, ensure_ascii=False, indent=2).encode())
    assert jcs(canonical) == canonical


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_strict_reading_gives_a_value_or_its_own_error(body: bytes) -> None:
    try:
        value = parse_strict(body)
    except StrictJsonError:
        return
    assert value == json.loads(body)


def test_bytes_of_the_zip_that_no_file_depends_on_are_these_alone() -> None:
    """The system and attributes of an entry, and spellings of deflate that inflate to the same bytes.

    No date, no size, no name, and nothing of what is stored as it is.
    """
    package, idle = small_package(), set()
    for at in range(len(package)):
        changed = bytearray(package)
        changed[at] ^= 1 << at % 8
        if files_of(bytes(changed)) == small_files():
            idle.add(at)
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        entries = archive.infolist()
        at = archive.start_dir
    permitted: set[int] = set()
    for entry in entries:
        permitted |= {at + 4, at + 5, *range(at + 36, at + 42)}
        data = entry.header_offset + 30 + len(entry.filename)
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            permitted |= set(range(data, data + entry.compress_size))
        at += 46 + len(entry.filename)
    assert idle <= permitted
