"""TLS and time: who is not trusted, and those who speak without end, too slowly, or not at all."""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from agent import call, connection
from agent.connection import Connection, ConnectionLost, mutual, stranger
from collector.flows.authority import Authority
from tests.collector.delivery import now_ms

DEADLINE_SECONDS = 20.0
SHORT_SECONDS = 0.3
PAUSE_SECONDS = 0.01
READ_BYTES = 1 << 14
METHOD = "/a/b"
Talk = Callable[[socket.socket, threading.Event], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trust"), clock=now_ms)


def shown(authority: Authority, folder: Path, pem: bytes = b"", *, alpn: str = "h2") -> ssl.SSLContext:
    """What a server shows: its own certificate, or another one by the same authority."""
    pair = authority.server()
    file = folder / "server.pem"
    file.write_bytes(pem or pair.key_pem + pair.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.set_alpn_protocols([alpn])
    return context


@contextmanager
def listening(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that has one conversation, until it has to stop."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as plain:
                if context is None:
                    talk(plain, stop)
                else:
                    with context.wrap_socket(plain, server_side=True) as secured:
                        talk(secured, stop)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join(DEADLINE_SECONDS)


def dial(address: str, context: ssl.SSLContext, seconds: float = DEADLINE_SECONDS) -> Connection:
    return Connection(address, context, METHOD, timeout_seconds=seconds, message_bytes_max=1_000)


def silent(_: socket.socket, stop: threading.Event) -> None:
    stop.wait(DEADLINE_SECONDS)


def speaking(*messages: bytes, pings: bool = False) -> Talk:
    """Reads one request, answers with these messages, and then with a ping now and then, or nothing."""

    def talk(there: socket.socket, stop: threading.Event) -> None:
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        asked = False
        while not asked:
            asked = any(isinstance(event, events.StreamEnded) for event in http.receive_data(there.recv(READ_BYTES)))
        http.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
        for message in messages:
            http.send_data(1, struct.pack(">BL", 0, len(message)) + message)
        there.sendall(http.data_to_send())
        while not stop.wait(PAUSE_SECONDS):
            if pings:
                http.ping(b"and so o")
                there.sendall(http.data_to_send())

    return talk


def test_nothing_older_than_tls_1_3_is_spoken(authority: Authority, tmp_path: Path) -> None:
    old = shown(authority, tmp_path)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for context in (mutual(authority.certificate_pem), stranger()):
        with listening(silent, old) as address, pytest.raises(ConnectionLost, match="PROTOCOL_VERSION"):
            dial(address, context)


def test_a_server_of_another_protocol_is_not_spoken_to(authority: Authority, tmp_path: Path) -> None:
    other = shown(authority, tmp_path, alpn="http/1.1")
    with listening(silent, other) as address, pytest.raises(ConnectionLost, match=r"gRPC|ALPN"):
        dial(address, mutual(authority.certificate_pem))


def certificate(authority: Authority, names: list[x509.GeneralName]) -> bytes:
    """A key and a certificate by the authority: its common name is right, whatever the others are."""
    root = authority._root
    key = ec.generate_private_key(ec.SECP256R1())
    moment = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - datetime.timedelta(days=1))
        .not_valid_after(moment + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = builder.sign(root.key, root.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    return private + made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("names", [[], [x509.DNSName("elsewhere")], [x509.UniformResourceIdentifier("urn:a")]], ids=str)
def test_only_the_names_in_their_own_field_count(
    authority: Authority, tmp_path: Path, names: list[x509.GeneralName]
) -> None:
    context = shown(authority, tmp_path, certificate(authority, names))
    with listening(silent, context) as address, pytest.raises(ConnectionLost, match="not trusted") as lost:
        dial(address.replace("127.0.0.1", "localhost"), mutual(authority.certificate_pem))
    assert lost.value.distrusted


def test_the_right_name_is_enough(authority: Authority, tmp_path: Path) -> None:
    context = shown(authority, tmp_path, certificate(authority, [x509.DNSName("localhost")]))
    with listening(silent, context) as address:
        dial(address.replace("127.0.0.1", "localhost"), mutual(authority.certificate_pem)).close()


def test_an_agent_cannot_play_the_collector(authority: Authority, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    issued = authority.issue_agent(
        request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER), "another"
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = shown(authority, tmp_path, private + issued.certificate_pem)
    with listening(silent, context) as address, pytest.raises(ConnectionLost, match="not trusted"):
        dial(address, mutual(authority.certificate_pem))


def test_damaged_keys_are_said_to_be_damaged(authority: Authority) -> None:
    for authority_pem in (b"\xff", b"authority", authority.certificate_pem):
        with pytest.raises(ValueError, match="enrol this host again"):
            mutual(authority_pem, b"key", b"certificate")


def test_a_key_leaves_no_open_file(authority: Authority) -> None:
    pair = authority.server()
    before = sorted(Path("/proc/self/fd").iterdir())
    mutual(authority.certificate_pem, pair.key_pem, pair.certificate_pem)
    with pytest.raises(ValueError, match="damaged"):
        mutual(authority.certificate_pem, b"key", pair.certificate_pem)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def dripping(there: socket.socket, stop: threading.Event) -> None:
    """The beginning of a long TLS record, and then a byte of it now and then."""
    there.sendall(b"\x16\x03\x03\x3f\x00\x02\x00\x3e\xfc")
    while not stop.wait(PAUSE_SECONDS):
        there.sendall(b"\x03")


@pytest.mark.parametrize("talk", [silent, dripping], ids=["silent", "a byte now and then"])
def test_a_greeting_that_does_not_come_in_time_is_not_waited_for(authority: Authority, talk: Talk) -> None:
    begun = time.monotonic()
    with listening(talk) as address, pytest.raises(ConnectionLost, match="no answer in time") as lost:
        dial(address, mutual(authority.certificate_pem), SHORT_SECONDS)
    assert not lost.value.distrusted
    assert time.monotonic() - begun < DEADLINE_SECONDS / 2


@pytest.mark.parametrize("talk", [silent, speaking(pings=True)], ids=["silent", "pings without end"])
def test_an_answer_that_does_not_come_in_time_is_not_waited_for(
    authority: Authority, tmp_path: Path, talk: Talk
) -> None:
    with listening(talk, shown(authority, tmp_path)) as address:
        asked = dial(address, mutual(authority.certificate_pem))
        begun = time.monotonic()
        with pytest.raises(ConnectionLost, match="no answer in time") as lost:
            asked.ask(b"?", timeout_seconds=SHORT_SECONDS)
        asked.close()
    assert not lost.value.distrusted
    assert time.monotonic() - begun < DEADLINE_SECONDS / 2


def test_a_goodbye_takes_no_longer_than_it_may(authority: Authority, tmp_path: Path) -> None:
    with listening(speaking(pings=True), shown(authority, tmp_path)) as address:
        asked = dial(address, mutual(authority.certificate_pem))
        begun = time.monotonic()
        asked.finish(SHORT_SECONDS)
        asked.close()
    assert asked.status is not None
    assert asked.status.name == "CANCELLED"
    assert time.monotonic() - begun < DEADLINE_SECONDS / 2


# ── too much ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("answers", "words"), [((b"1", b"2"), "more than once"), ((bytes(2_000),), "too long")])
def test_more_than_one_answer_and_one_that_is_too_long_are_refused(
    authority: Authority, tmp_path: Path, answers: tuple[bytes, ...], words: str
) -> None:
    with listening(speaking(*answers), shown(authority, tmp_path)) as address:
        asked = dial(address, mutual(authority.certificate_pem))
        try:
            status, answer = asked.ask(b"?", timeout_seconds=DEADLINE_SECONDS)
        except ConnectionLost as error:
            status, answer = call.Status(call.INTERNAL, error.why), b""
        asked.close()
    assert (status.code, answer) == (call.INTERNAL, b"")
    assert words in status.words


def flooding(there: socket.socket, stop: threading.Event) -> None:
    """Pings that ask for answers, of which none is ever read."""
    http = H2Connection(H2Configuration(client_side=False))
    http.initiate_connection()
    while not stop.is_set():
        for _ in range(500):
            http.ping(b"12345678")
        there.sendall(http.data_to_send())


def test_who_asks_without_end_and_reads_nothing_fills_no_memory(authority: Authority, tmp_path: Path) -> None:
    with listening(flooding, shown(authority, tmp_path)) as address:
        asked = dial(address, mutual(authority.certificate_pem))
        asked._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, READ_BYTES)
        asked.stream()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while asked.awaits & select.POLLIN:
            assert time.monotonic() < deadline
            asked.receive()
        assert asked.receive() == []
        assert len(asked._unsent) < connection.UNSENT_BYTES_MAX + 2 * connection.READ_BYTES
        asked.close()
