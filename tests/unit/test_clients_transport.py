"""One exchange over real sockets: what is sent, what is read, and how every failure is told."""

from __future__ import annotations

import datetime as dt
import gzip
import logging
import logging.config
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.clients.endpoint import Endpoint
from gateway.clients.limits import Limits, read_retry_after
from gateway.clients.transport import EHR, PAYER, Failures, Transport
from gateway.errors import (
    EhrTimedOut,
    EhrUnreachable,
    EhrUnreadable,
    InputError,
    PartnerError,
    PayerTimedOut,
    PayerUnreachable,
    PayerUnreadable,
    SettingsError,
)
from tests.stub_http import Answer, Seen, fhir, stub_server

NETWORKS = ("127.0.0.0/8",)
QUICK = Limits(total_seconds=0.6, connect_seconds=0.5, raw_bytes=100_000, body_bytes=200_000)
PATIENT = {"resourceType": "Patient", "id": "p1"}
OK = fhir(PATIENT)
CUT_GZIP = gzip.compress(b"{}" * 99)[:-9]


def transport(port: int, *, limits: Limits = QUICK, failures: Failures = EHR) -> Transport:
    endpoint = Endpoint(id="ehr", base_url=f"http://127.0.0.1:{port}/fhir", networks=NETWORKS, plain_http=True)
    return Transport(endpoint, limits=limits, failures=failures)


def test_a_request_states_its_format_and_little_else() -> None:
    with stub_server(lambda _: OK) as server:
        reply = transport(server.port).send("GET", "Patient/p1")
    assert reply.status == 200
    assert reply.media_type == "application/fhir+json"
    assert reply.sent_at <= reply.answered_at
    assert set(server.seen[0].headers) == {"host", "accept", "accept-encoding", "user-agent"}
    assert server.seen[0].headers["accept"] == "application/fhir+json"


def test_connections_are_reused_and_cookies_are_not_kept() -> None:
    with stub_server(lambda _: fhir(PATIENT, set_cookie="session=1; Path=/")) as server:
        client = transport(server.port)
        for _ in range(3):
            client.send("GET", "Patient/p1")
        client.close()
    assert server.connections == 1
    assert all("cookie" not in seen.headers for seen in server.seen)


def test_many_threads_share_one_transport() -> None:
    with stub_server(lambda _: OK) as server:
        client = transport(server.port, limits=Limits(connections=4))
        replies: list[int] = []
        threads = [
            threading.Thread(target=lambda: replies.append(client.send("GET", "Patient/p1").status)) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        client.close()
    assert replies == [200] * 12
    assert server.connections <= 4


def test_the_environment_does_not_choose_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_server(lambda _: Answer(status=500)) as proxy, stub_server(lambda _: OK) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert transport(server.port).send("GET", "Patient/p1").status == 200
    assert proxy.connections == 0


@pytest.mark.threat("T2")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with stub_server(lambda _: OK) as canary:
        moved = Answer(status=status, headers={"location": canary.url("/latest/meta-data")})
        with stub_server(lambda _: moved) as server:
            assert transport(server.port).send("POST", "Claim/$submit", body=b"{}").status == status
    assert canary.connections == 0


def _refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_no_connection_means_nothing_was_sent() -> None:
    with pytest.raises(EhrUnreachable) as caught:
        transport(_refused_port()).send("POST", "Claim/$submit", body=b"{}")
    assert caught.value.reason == "ehr.unreachable"
    with pytest.raises(PayerUnreachable):
        transport(_refused_port(), failures=PAYER).send("POST", "Claim/$submit", body=b"{}")


def test_a_listener_that_does_not_accept_means_nothing_was_sent() -> None:
    """The system completes the handshake of a full queue no more, so the connection never stands."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        before = time.monotonic()
        with pytest.raises(PayerUnreachable):
            transport(listener.getsockname()[1], failures=PAYER).send("POST", "Claim/$submit", body=b"{}")
        assert time.monotonic() - before < 2
        for client in waiting:
            client.close()


@pytest.mark.threat("T13")
@pytest.mark.parametrize(
    "answer, error, reason",
    [
        (Answer(wait_seconds=1.2), PayerTimedOut, "payer.timeout"),
        (Answer(raw=b""), PayerTimedOut, "payer.timeout"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}"), PayerTimedOut, "payer.timeout"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"), PayerTimedOut, "payer.timeout"),
        (Answer(body=b"x" * 50, piece_seconds=0.05), PayerTimedOut, "payer.timeout"),
        (Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), PayerUnreadable, "payer.not-http"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n"), PayerUnreadable, "payer.not-http"),
        (Answer(body=b"x" * 150_000), PayerUnreadable, "payer.too-large"),
        (Answer(body=b"junk", headers={"content-encoding": "gzip"}), PayerUnreadable, "payer.encoding"),
        (Answer(body=b"junk", headers={"content-encoding": "br"}), PayerUnreadable, "payer.encoding"),
        (Answer(body=CUT_GZIP, headers={"content-encoding": "gzip"}), PayerUnreadable, "payer.encoding"),
    ],
)
def test_after_sending_a_failure_is_an_unknown_outcome_or_unreadable(
    answer: Answer, error: type[PartnerError], reason: str
) -> None:
    with stub_server(lambda _: answer) as server:
        before = time.monotonic()
        with pytest.raises(error) as caught:
            transport(server.port, failures=PAYER).send("POST", "Claim/$submit", body=b"{}")
    assert caught.value.reason == reason
    assert time.monotonic() - before < 1.5
    assert "127.0.0.1" not in caught.value.message


def test_a_reader_that_stops_reading_ends_with_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = time.monotonic()
        with pytest.raises(PayerTimedOut):
            transport(listener.getsockname()[1], failures=PAYER).send("POST", "x", body=b"x" * 20_000_000)
        assert time.monotonic() - before < 2


def test_waiting_for_a_free_connection_ends_with_the_deadline_and_sends_nothing() -> None:
    with stub_server(lambda _: Answer(wait_seconds=0.9)) as server:
        client = transport(server.port, limits=Limits(total_seconds=2, connections=1))
        busy = threading.Thread(target=lambda: client.send("GET", "slow"))
        busy.start()
        while not server.seen:
            time.sleep(0.01)
        with pytest.raises(EhrUnreachable):
            client.send("POST", "Claim/$submit", body=b"{}", timeout_seconds=0.2)
        busy.join(5)
        client.close()
    assert [seen.method for seen in server.seen] == ["GET"]


def test_a_deadline_of_one_call_replaces_the_usual_one() -> None:
    with stub_server(lambda _: Answer(wait_seconds=0.9)) as server:
        assert transport(server.port).send("GET", "x", timeout_seconds=5).status == 200


@pytest.mark.parametrize(
    "body, coding",
    [
        (gzip.compress(b"{} " * 1000), "gzip"),
        (gzip.compress(b"{} " * 1000), "x-gzip"),
        (gzip.compress(b"{} " * 400) + gzip.compress(b"{} " * 600), "gzip"),
        (zlib.compress(b"{} " * 1000), "deflate"),
        (zlib.compress(b"{} " * 1000)[2:-4], "deflate"),
        (b"{} " * 1000, "identity"),
        (b"{} " * 1000, ""),
        (gzip.compress(b"{} " * 1000), ""),
    ],
    ids=["gzip", "x-gzip", "two members", "zlib", "raw deflate", "identity", "none", "undeclared gzip"],
)
@pytest.mark.parametrize("piece_seconds", [0.0, 0.0001])
def test_content_codings_are_undone_however_the_bytes_come(body: bytes, coding: str, piece_seconds: float) -> None:
    answer = Answer(body=body, headers={"content-encoding": coding} if coding else {}, piece_seconds=piece_seconds)
    with stub_server(lambda _: answer) as server:
        reply = transport(server.port, limits=Limits()).send("GET", "x")
    assert reply.body == b"{} " * 1000
    assert reply.is_coding_undeclared is (coding == "" and body[:1] == b"\x1f")


BOMB = """
import gzip, resource, sys
from gateway.clients.decoding import BodyTooLarge
from gateway.clients.endpoint import Endpoint
from gateway.clients.transport import Transport
from gateway.errors import EhrUnreadable
from tests.stub_http import Answer, fhir, stub_server
import zlib
engine = zlib.compressobj(9, zlib.DEFLATED, 31)
bomb = b"".join([engine.compress(bytes(1 << 20)) for _ in range(256)] + [engine.flush()])
header = {"content-encoding": "gzip"} if sys.argv[1] == "declared" else {}
def script(seen):
    return Answer(body=bomb, headers=header) if seen.target.endswith("bomb") else fhir({"resourceType": "Patient"})
with stub_server(script) as server:
    endpoint = Endpoint(id="e", base_url=server.url(), networks=("127.0.0.0/8",), plain_http=True)
    client = Transport(endpoint)
    client.send("GET", "warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        client.send("GET", "bomb")
    except EhrUnreadable as error:
        print(error.reason, len(bomb), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.threat("T3")
@pytest.mark.parametrize("kind", ["declared", "undeclared"])
def test_a_gzip_bomb_stops_before_memory_grows(kind: str) -> None:
    root = Path(__file__).resolve().parents[2]
    made = subprocess.run([sys.executable, "-c", BOMB, kind], capture_output=True, text=True, cwd=root, timeout=60)
    reason, size, grown_kib = made.stdout.split()
    assert reason == "ehr.too-large", made.stderr
    assert int(size) < 300_000
    assert int(grown_kib) < 25 * 1024


def test_an_endpoint_outside_its_networks_is_never_contacted() -> None:
    with stub_server(lambda _: OK) as server:
        endpoint = Endpoint(id="ehr", base_url=f"https://ehr.example.org:{server.port}/fhir", networks=("10.9.0.0/16",))
        client = Transport(endpoint, limits=QUICK, resolver=lambda *_: ["127.0.0.1"])
        with pytest.raises(EhrUnreachable) as caught:
            client.send("GET", "Patient/p1")
    assert caught.value.reason == "ehr.address-refused"
    assert server.connections == 0


@pytest.mark.threat("T2")
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "2130706433"]
)
def test_a_public_name_with_an_inner_address_is_refused(address: str) -> None:
    client = Transport(Endpoint(id="e", base_url="https://ehr.example.org/fhir"), resolver=lambda *_: [address])
    with pytest.raises(EhrUnreachable) as caught:
        client.send("GET", "Patient/p1")
    assert caught.value.reason == "ehr.address-refused"


@pytest.mark.threat("T2")
def test_a_name_that_changes_between_check_and_use_gains_nothing() -> None:
    """The resolver answers a loopback address once and another one afterwards; the connection uses the checked one."""
    answers = [["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]]
    with stub_server(lambda _: OK) as server:
        endpoint = Endpoint(
            id="e", base_url=f"http://ehr.example.org:{server.port}/fhir", networks=NETWORKS, plain_http=True
        )
        client = Transport(endpoint, limits=QUICK, resolver=lambda *_: answers.pop(0))
        assert client.send("GET", "Patient/p1").status == 200
        assert len(answers) == 2
        assert server.seen[0].headers["host"] == f"ehr.example.org:{server.port}"
        client.close()
        with pytest.raises(EhrUnreachable):
            client.send("GET", "Patient/p1")
    assert server.connections == 1


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with stub_server(lambda _: OK) as server:
        endpoint = Endpoint(
            id="e", base_url=f"http://ehr.example.org:{server.port}/fhir", networks=NETWORKS, plain_http=True
        )
        client = Transport(endpoint, resolver=lambda *_: ["127.0.0.2", "127.0.0.1"])
        assert client.send("GET", "Patient/p1").status == 200


def test_a_slow_resolver_ends_with_the_deadline() -> None:
    def never(host: str, port: int, seconds: float) -> Sequence[str]:
        raise TimeoutError

    with pytest.raises(EhrUnreachable):
        Transport(Endpoint(id="e", base_url="https://ehr.example.org"), resolver=never).send("GET", "x")


@pytest.mark.threat("T22")
@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00b", "ä", "a\x1bb"])
def test_a_header_with_control_characters_is_not_sent(value: str) -> None:
    with stub_server(lambda _: OK) as server, pytest.raises(InputError):
        transport(server.port).send("GET", "x", headers={"authorization": value})
    assert server.seen == []


@pytest.mark.threat("T17")
def test_libraries_log_nothing_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with stub_server(lambda _: fhir(PATIENT, x_secret="Zzyxqa")) as server:
        client = transport(server.port)
        client.send("GET", "Patient/Zzyxqa", query=[("family", "Zzyxqa")], headers={"authorization": "Bearer Zzyxqa"})
        with pytest.raises(EhrUnreachable) as caught:
            transport(_refused_port()).send("GET", "Patient/Zzyxqa")
    assert "Zzyxqa" not in caplog.text
    assert "Zzyxqa" not in repr(caught.value) + caught.value.diagnostics()


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("120", 120),
        ("0", 0),
        (" 7 ", 7),
        ("Wed, 25 Nov 2026 10:00:30 GMT", 30),
        ("Wed, 25 Nov 2026 09:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("99999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: int | None) -> None:
    assert read_retry_after(value, dt.datetime(2026, 11, 25, 10, 0, tzinfo=dt.UTC)) == seconds


# --- TLS ---------------------------------------------------------------------------------------------------------


def _certificate(
    subject: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = dt.datetime.now(dt.UTC)
    signer_key = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False)
    )
    if issuer is None:
        usage = x509.KeyUsage(*[False] * 5, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(signer_key, hashes.SHA256()), key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Pki:
    """A CA of the test and a server certificate for ehr.example.org."""

    def __init__(self, folder: Path) -> None:
        ca = _certificate("Test CA", None)
        self.server, key = _certificate("ehr.example.org", ca)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(_pem(ca[0]))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.chain = folder / "server.pem"
        self.chain.write_bytes(_pem(self.server) + private)

    def context(self, **options: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        for name, value in options.items():
            setattr(context, name, value)
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def _tls_client(port: int, name: str, ca_file: Path | None) -> Transport:
    endpoint = Endpoint(
        id="ehr",
        base_url=f"https://{name}:{port}/fhir",
        networks=NETWORKS,
        ca_file=str(ca_file) if ca_file else None,
    )
    return Transport(endpoint, limits=QUICK, resolver=lambda *_: ["127.0.0.1"])


def test_tls_goes_to_the_checked_address_under_the_name(pki: Pki) -> None:
    context = pki.context()
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with stub_server(lambda _: OK, tls=context) as server:
        reply = _tls_client(server.port, "ehr.example.org", pki.ca_file).send("GET", "Patient/p1")
    assert reply.status == 200
    assert names == ["ehr.example.org"]
    assert reply.tls_peer_sha256 == pki.server.fingerprint(hashes.SHA256()).hex()


@pytest.mark.threat("T29")
@pytest.mark.parametrize("name, has_ca", [("other.example.org", True), ("ehr.example.org", False)])
def test_another_name_or_another_ca_means_nothing_was_sent(pki: Pki, name: str, has_ca: bool) -> None:
    with stub_server(lambda _: OK, tls=pki.context()) as server:
        client = _tls_client(server.port, name, pki.ca_file if has_ca else None)
        with pytest.raises(EhrUnreachable):
            client.send("GET", "Patient/p1", headers={"authorization": "Bearer x"})
    assert server.seen == []


def test_an_unreadable_ca_file_is_an_error_at_start(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("not PEM")
    endpoint = Endpoint(id="ehr", base_url="https://ehr.example.org", ca_file=str(broken))
    with pytest.raises(SettingsError):
        Transport(endpoint)


def test_a_plain_server_behind_an_https_address_gets_no_request(pki: Pki) -> None:
    with stub_server(lambda _: OK) as server, pytest.raises(EhrUnreachable):
        _tls_client(server.port, "ehr.example.org", pki.ca_file).send("GET", "x", headers={"authorization": "Bearer x"})
    assert all("authorization" not in seen.headers for seen in server.seen)


def test_a_tls_server_that_says_nothing_ends_with_the_deadline(pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = time.monotonic()
        with pytest.raises(EhrUnreachable):
            _tls_client(listener.getsockname()[1], "ehr.example.org", pki.ca_file).send("GET", "x")
        assert time.monotonic() - before < 2


Script = Callable[[Seen], Answer]


def test_the_body_is_kept_as_it_came() -> None:
    text = b'{ "resourceType" : "Patient",\n "x": 87.50, "y": "\\u00e4\xc3\xa4" }\n'
    with stub_server(
        lambda _: Answer(body=text, headers={"content-type": "application/json+fhir;charset=utf-8"})
    ) as server:
        reply = transport(server.port).send("GET", "Patient/p1")
    assert reply.body == text
    assert reply.is_json


def test_an_unreadable_answer_of_an_ehr_has_its_own_class() -> None:
    with stub_server(lambda _: Answer(raw=b"garbage\r\n\r\n")) as server, pytest.raises(EhrUnreadable):
        transport(server.port).send("GET", "x")
    with stub_server(lambda _: Answer(raw=b"")) as server, pytest.raises(EhrTimedOut):
        transport(server.port).send("GET", "x")


@pytest.mark.threat("T17")
def test_libraries_stay_silent_after_logging_is_configured_again(caplog: pytest.LogCaptureFixture) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    caplog.set_level(logging.DEBUG)
    with stub_server(lambda _: fhir(PATIENT)) as server:
        transport(server.port).send("GET", "Patient/Zzyxqa")
    assert "Zzyxqa" not in caplog.text
