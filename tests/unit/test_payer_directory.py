"""Payer rows: found by slug and identifier, overlaid by the operator's, refused when misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest

from payer_endpoints.directory import Directory, DirectoryError, load_directory, read_row

SYSTEM = "https://payer.example.org/payer-id"
ROW = """
[payer]
slug = "acme"
name = "Acme"
identifiers = [{ system = "urn:example:payer", value = "1" }]
org_identifier = { system = "http://hl7.org/fhir/sid/us-npi", value = "1234567893" }
[pas]
base_url = "https://pas.example.org/fhir/"
[pas.transmission]
application_sender_code = "A"
application_receiver_code = "B"
"""


@pytest.mark.parametrize(
    ("value", "slug"),
    [
        ("SYN-MCR-01", "example-medicare"),
        ("SYN-OPEN-02", "example-open"),
        ("SYN-DOWN-03", "example-down"),
        ("SYN-SLOW-04", "example-slow"),
    ],
)
def test_packaged_payers_are_found_by_identifier(value: str, slug: str) -> None:
    directory = load_directory()
    row = directory.by_identifier(SYSTEM, value)
    assert row is not None
    assert row.slug == slug
    assert directory.get(slug) is row


@pytest.mark.parametrize(("system", "value"), [(SYSTEM, "syn-mcr-01"), ("", "SYN-MCR-01"), (SYSTEM, "")])
def test_identifiers_are_compared_as_they_stand(system: str, value: str) -> None:
    assert load_directory().by_identifier(system, value) is None


@pytest.mark.threat("T2")
def test_private_networks_need_the_permission_of_the_settings() -> None:
    refused = load_directory().get("example-medicare")
    granted = load_directory(allow_loopback=True).get("example-medicare")
    assert refused is not None
    assert granted is not None
    assert (refused.networks, refused.plain_http) == ((), False)
    assert (granted.networks, granted.plain_http) == (("127.0.0.0/8",), True)


def test_an_operators_row_replaces_the_packaged_one(tmp_path: Path) -> None:
    text = ROW.replace('"acme"', '"example-open"')
    (tmp_path / "example-open.toml").write_text(text)
    directory = load_directory([tmp_path])
    row = directory.get("example-open")
    assert row is not None
    assert row.name == "Acme"
    assert directory.by_identifier("urn:example:payer", "1") is row
    assert directory.by_identifier(SYSTEM, "SYN-OPEN-02") is None
    assert len(directory) == 4


def test_one_file_may_be_given_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(ROW)
    assert load_directory([tmp_path / "acme.toml"]).get("acme") is not None


def test_defaults_follow_the_design() -> None:
    row = read_row(ROW, "acme.toml")
    assert row.pas is not None
    assert row.pas.base_url == "https://pas.example.org/fhir"
    assert row.pas.timeouts_seconds.submit == 15
    assert row.pas.timeouts_seconds.submit_read > row.pas.timeouts_seconds.submit
    assert row.pas.inquire_after_unknown
    assert row.release == "auto"
    assert row.crd is None
    assert row.token_for(row.pas).kind == "none"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("[pas]\n", "[pas]\ntimeout = 3\n"), "pas.timeout"),
        (('name = "Acme"\n', 'name = "Acme"\nnmae = "x"\n'), "payer.nmae"),
        (('name = "Acme"\n', ""), "payer.name"),
        (("[pas]\n", '[pas]\nversion = "1.0.0"\n'), "pas.version"),
        (("https://pas.example.org/fhir/", "https://u:p@pas.example.org/fhir"), "pas.base_url"),
        (("https://pas.example.org/fhir/", "file:///etc/passwd"), "pas.base_url"),
        (("[pas]\n", "[pas]\ntimeouts_seconds = { submit = 0 }\n"), "pas.timeouts_seconds.submit"),
        (("[pas]\n", '[token]\nkind = "static"\n[pas]\n'), "token"),
        (('name = "Acme"\n', 'name = "Acme"\nnetworks = ["nowhere"]\n'), "payer.networks"),
        (("[pas]\n", "[quirks.late_answers]\non = true\n[pas]\n"), "quirks.late_answers.reason"),
        (('"acme"', '"other"'), "payer.slug"),
    ],
)
def test_a_faulty_row_is_refused_with_the_path_of_the_key(change: tuple[str, str], key: str) -> None:
    with pytest.raises(DirectoryError) as refusal:
        read_row(ROW.replace(*change), "acme.toml")
    assert refusal.value.key == key
    assert refusal.value.file == "acme.toml"


def test_two_payers_cannot_share_an_identifier() -> None:
    first = read_row(ROW, "acme.toml")
    second = read_row(ROW.replace('"acme"', '"other"'), "other.toml")
    with pytest.raises(DirectoryError, match="already used by acme"):
        Directory([first, second])


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[payer", b"#" * 70_000])
def test_a_file_that_is_no_row_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "acme.toml").write_bytes(body)
    with pytest.raises(DirectoryError):
        load_directory([tmp_path])


def test_a_quirk_is_a_switch_with_a_reason() -> None:
    text = ROW + '\n[quirks.queued_outcome]\nreason = "answers outcome queued for a pend"\n'
    row = read_row(text, "acme.toml")
    assert row.has_quirk("queued_outcome")
    assert not row.has_quirk("other")
