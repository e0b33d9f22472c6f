"""Which addresses can be registered, and which URLs belong to one."""

from __future__ import annotations

import httpx
import pytest

from gateway.clients.endpoint import Endpoint, encode_query
from gateway.errors import InputError, SettingsError

EHR = Endpoint(id="ehr", base_url="https://ehr.example.org/app/fhir")
ASKED = httpx.URL("https://ehr.example.org/app/fhir/Encounter?patient=1")

BAD_BASES = [
    {"base_url": "http://ehr.example.org/fhir"},
    {"base_url": "http://ehr.example.org/fhir", "plain_http": True},
    {"base_url": "http://10.0.0.1/fhir", "plain_http": True, "networks": ("10.0.0.0/8",)},
    {"base_url": "http://127.0.0.1/fhir", "plain_http": True, "networks": ("127.0.0.0/8", "10.0.0.0/8")},
    {"base_url": "http://127.0.0.1/fhir", "networks": ("127.0.0.0/8",)},
    {"base_url": "https://ehr.example.org:8443/fhir"},
    {"base_url": "https://user@ehr.example.org/fhir"},
    {"base_url": "https://user:secret@ehr.example.org/fhir"},
    {"base_url": "https://ehr.example.org/fhir?x=1"},
    {"base_url": "https://ehr.example.org/fhir?"},
    {"base_url": "https://ehr.example.org/fhir#x"},
    {"base_url": "https://ehr.example.org/%2e%2e/fhir"},
    {"base_url": "https://2130706433/fhir"},
    {"base_url": "https://0x7f000001/fhir"},
    {"base_url": "https://0177.0.0.1/fhir"},
    {"base_url": "https://127.1/fhir"},
    {"base_url": "https://1.2.3.0x4/fhir"},
    {"base_url": "https://[::ffff:127.0.0.1%25eth0]/fhir"},
    {"base_url": "https:///fhir"},
    {"base_url": "https://ehr_.example..org/fhir"},
    {"base_url": "ftp://ehr.example.org/"},
    {"base_url": "file:///etc/passwd"},
    {"base_url": "gopher://ehr.example.org/"},
    {"base_url": "https://ehr.exämple.org/fhir"},
    {"base_url": ""},
    {"base_url": "https://ehr.example.org/fhir", "networks": ("10.0.0.0/33",)},
    {"base_url": "https://ehr.example.org/fhir", "networks": ("169.254.169.254/32",)},
]


@pytest.mark.threat("T2")
@pytest.mark.parametrize("fields", BAD_BASES)
def test_an_unusable_base_is_refused_at_start(fields: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="Endpoint x"):
        Endpoint(id="x", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "https://ehr.example.org/fhir"},
        {"base_url": "https://ehr.example.org"},
        {"base_url": "https://ehr.example.org:443/fhir/"},
        {"base_url": "https://10.1.2.3:8443/fhir", "networks": ("10.1.0.0/16",)},
        {"base_url": "http://127.0.0.1:8181/x/fhir", "plain_http": True, "networks": ("127.0.0.0/8",)},
        {"base_url": "http://localhost:8181", "plain_http": True, "networks": ("127.0.0.0/8", "::1/128")},
        {"base_url": "https://[2606:2800:220:1::1]/fhir"},
    ],
)
def test_a_usual_base_is_taken(fields: dict[str, object]) -> None:
    Endpoint(id="x", **fields)  # type: ignore[arg-type]


FOREIGN = [
    "http://ehr.example.org/app/fhir?page=2",
    "https://ehr.example.org:8443/app/fhir?page=2",
    "https://ehr.example.org:80/app/fhir?page=2",
    "https://evil.example.net/app/fhir?page=2",
    "https://ehr.example.org.evil.example.net/app/fhir",
    "https://evil-ehr.example.org/app/fhir",
    "https://ehr.example.org@evil.example.net/app/fhir",
    "https://user@ehr.example.org/app/fhir",
    "https://user:pw@ehr.example.org/app/fhir",
    "https://evil.example.net\\@ehr.example.org/app/fhir",
    "https://evil.example.net#@ehr.example.org/app/fhir",
    "https://evil.example.net?@ehr.example.org/app/fhir",
    "//evil.example.net/app/fhir",
    "\\\\evil.example.net/app/fhir",
    "/\\evil.example.net/app/fhir",
    "///evil.example.net/app/fhir",
    "https:evil.example.net/app/fhir",
    "/other?page=2",
    "/",
    "/app",
    "/app/fhirx",
    "/app/fhir-admin/users",
    "../../admin",
    "../../../etc/passwd",
    "/app/fhir/../admin",
    "/app/fhir/../../admin",
    "/app/fhir/%2e%2e/admin",
    "/app/fhir/%2E%2E/admin",
    "/app/fhir/.%2e/admin",
    "/app/fhir/%252e%252e/admin",
    "/app/fhir/%25252e%25252e/admin",
    "/app/fhir/..%2fadmin",
    "/app/fhir/..%5cadmin",
    "/app/fhir/..\\admin",
    "https://ehr.example.org/app/fhir/../../admin",
    "http://127.0.0.1/app/fhir",
    "http://localhost/app/fhir",
    "http://[::1]/app/fhir",
    "http://[::ffff:127.0.0.1]/app/fhir",
    "http://[::ffff:7f00:1]/app/fhir",
    "http://[0:0:0:0:0:0:0:1]/app/fhir",
    "http://0.0.0.0/app/fhir",
    "http://0/app/fhir",
    "http://2130706433/app/fhir",
    "http://0x7f000001/app/fhir",
    "http://0x7f.0.0.1/app/fhir",
    "http://017700000001/app/fhir",
    "http://0177.0.0.1/app/fhir",
    "http://127.1/app/fhir",
    "http://127.0.0.1.nip.io/app/fhir",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "https://168.63.129.16/metadata",
    "file:///etc/passwd",
    "gopher://ehr.example.org/app/fhir",
    "ftp://ehr.example.org/app/fhir",
    "jar:https://ehr.example.org/app/fhir!/x",
    "data:application/fhir+json,{}",
    "javascript:alert(1)",
    "urn:uuid:5f3c7f2e-3c3f-4d3b-8f7e-0b6ea8a1f9aa",
    "ldap://ehr.example.org/app/fhir",
    "dict://ehr.example.org:11211/",
    "https://ehr.example.org/app/fhir\r\nHost: evil.example.net",
    "https://ehr.example.org/app/fhir?x=\x00",
    "https://ehr.example.org/app/fhir?x=\t1",
    "https://ehr\u3002example.org/app/fhir",
    "https://ⓔhr.example.org/app/fhir",
    "https://ehr.example.org:99999/app/fhir",
    "https://ehr.example.org:abc/app/fhir",
    "https://[::1/app/fhir",
    "https://",
    " https://evil.example.net/app/fhir",
]
"""Links that lead out of https://ehr.example.org/app/fhir, or might."""


@pytest.mark.threat("T1")
@pytest.mark.parametrize("link", FOREIGN)
def test_a_link_elsewhere_is_not_followed(link: str) -> None:
    with pytest.raises(InputError) as caught:
        EHR.follow(link, ASKED)
    assert caught.value.reason == "client.foreign-link"
    assert "example" not in caught.value.message


@pytest.mark.parametrize(
    "link, target",
    [
        ("https://ehr.example.org/app/fhir?_getpages=u&_bundletype=s", "?_getpages=u&_bundletype=s"),
        ("https://EHR.example.org:443/app/fhir?page=2", "?page=2"),
        ("/app/fhir/Encounter?type=http://x.example.org/cs%7Ca&p=2", "/Encounter?type=http://x.example.org/cs%7Ca&p=2"),
        ("?page=2", "/Encounter?page=2"),
        ("Encounter?page=2", "/Encounter?page=2"),
        ("https://ehr.example.org/app/fhir/E?date=ge2026-01-01T00:00%2B01:00", "/E?date=ge2026-01-01T00:00%2B01:00"),
    ],
)
def test_a_link_under_the_base_is_followed_as_given(link: str, target: str) -> None:
    url = EHR.follow(link, ASKED)
    assert (url.scheme, url.host, url.raw_path.decode()) == ("https", "ehr.example.org", f"/app/fhir{target}")


@pytest.mark.threat("T1")
@pytest.mark.parametrize(
    "reference, expected",
    [
        ("Practitioner/1", "Practitioner/1"),
        ("Practitioner/1/_history/3", "Practitioner/1"),
        ("https://ehr.example.org/app/fhir/Practitioner/1", "Practitioner/1"),
        ("https://ehr.example.org/app/fhir/Practitioner/1/_history/3", "Practitioner/1"),
        ("https://other.example.org/fhir/Practitioner/1", None),
        ("https://ehr.example.org/app/fhir.evil.example.net/Practitioner/1", None),
        ("https://ehr.example.org/app/fhir/../Practitioner/1", None),
        ("urn:uuid:5f3c7f2e-3c3f-4d3b-8f7e-0b6ea8a1f9aa", None),
        ("#contained", None),
        ("Practitioner/..", None),
        ("Practitioner?identifier=1", None),
        ("practitioner/1", None),
        ("", None),
    ],
)
def test_references_are_normalised_to_this_server_only(reference: str, expected: str | None) -> None:
    assert EHR.relative(reference) == expected


@pytest.mark.parametrize("path", ["Patient/", "/Patient", "Patient//1", "Patient/..", ".", "../x"])
def test_paths_with_empty_or_dot_segments_are_refused(path: str) -> None:
    with pytest.raises(InputError):
        EHR.locate(path)


@pytest.mark.threat("T22")
@pytest.mark.parametrize(
    "query, text",
    [
        ([("code", "http://loinc.org|82237-9")], "code=http://loinc.org%7C82237-9"),
        ([("date", "ge2026-01-01T00:00:00+01:00")], "date=ge2026-01-01T00:00:00%2B01:00"),
        ([("name", "a b&c=d#e;f?g")], "name=a%20b%26c%3Dd%23e%3Bf?g".replace("?", "%3F")),
        ([("x", "{{7*7}}\r\n")], "x=%7B%7B7%2A7%7D%7D%0D%0A"),
        ([("name", "ä")], "name=%C3%A4"),
    ],
)
def test_reserved_characters_in_a_query_are_escaped(query: list[tuple[str, str]], text: str) -> None:
    assert encode_query(query) == text


@pytest.mark.parametrize("value", ["", " ", "|", "Patient/", "a,,b", "a,", ",", "a, ,b", "Patient/,Patient/1"])
def test_an_empty_parameter_is_never_sent(value: str) -> None:
    with pytest.raises(InputError) as caught:
        EHR.locate("ServiceRequest", [("patient", value)])
    assert caught.value.reason == "client.empty-parameter"
