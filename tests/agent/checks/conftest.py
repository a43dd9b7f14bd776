"""Real servers for the checks: HTTP, TLS with certificates made here, DNS, and ones that behave badly."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[[socket.socket], None]


@contextmanager
def listener(handle: Handler) -> Iterator[int]:
    """A TCP server on a free port that gives every connection to `handle`, each in a thread of its own."""
    server = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        try:
            handle(connection)
        except OSError:
            return  # The check hung up, as it should.

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            open_connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
        for connection in open_connections:
            connection.close()


@contextmanager
def black_hole(kind: socket.SocketKind = socket.SOCK_DGRAM) -> Iterator[int]:
    """A port that takes everything and never says anything."""
    with socket.socket(socket.AF_INET, kind) as deaf:
        deaf.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            deaf.listen()
        yield deaf.getsockname()[1]


@contextmanager
def responder(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """A UDP server that sends back what `answer` makes of each datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    message, sender = server.recvfrom(4096)
                except TimeoutError:
                    continue
                for reply in answer(message):
                    server.sendto(reply, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join(5)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> str:
        """Its certificate, as a check's ca_file."""
        return str(self.folder / "ca.pem")

    def context(self, *names: str, days: float = 90, through_days: float | None = None) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate for the names that lasts so long.

        With `through_days` an authority in between that lasts so long has signed it.
        """
        key, between = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer, signer, above = self.certificate.subject, self.key, b""
        if through_days is not None:
            issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority in between")])
            its = _certificate(issuer, self.certificate.subject, between, days=through_days)
            its = its.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            above = its.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            signer = between
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        wanted = _certificate(x509.Name([]), issuer, key, days=days).add_extension(alternatives, critical=True)
        certificate = wanted.sign(signer, hashes.SHA256())
        chain = self.folder / f"{certificate.serial_number}.pem"
        chain.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM) + above)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def stranger(self) -> Path:
        """Key and certificate that this authority has nothing to do with."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
        alternatives = x509.SubjectAlternativeName([_alternative("127.0.0.1")])
        wanted = _certificate(name, name, key, days=90).add_extension(alternatives, critical=True)
        file = self.folder / "stranger.pem"
        file.write_bytes(_pem(key) + wanted.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return file


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=500))
        .not_valid_after(now + datetime.timedelta(days=500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, certificate)


class Site(BaseHTTPRequestHandler):
    """A small web site; /status/503 answers 503, /to?URL redirects, /echo shows the request's headers."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/status/"):
            self.answer(int(path.rpartition("/")[2]), b"told to")
        elif path == "/again":
            self.answer(302, b"", location="/again")
        elif path == "/to":
            self.answer(302, b"", location=query)
        elif path == "/echo":
            self.answer(200, str(self.headers).encode())
        elif path == "/big":
            self.answer(200, b"x" * 300_000 + b"end")
        else:
            self.answer(200, b"Welcome to the shop, 3 articles")

    do_POST = do_GET

    def answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            return  # The check read as much as it wanted.

    def log_message(self, format: str, *args: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)


@contextmanager
def website(context: ssl.SSLContext | None = None, *, address: str = "127.0.0.1") -> Iterator[int]:
    """The small web site on a free port, encrypted when there is a context."""
    server = _Server((address, 0), Site)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def site() -> Iterator[str]:
    with website() as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def refusing() -> Iterator[int]:
    """A port on which nothing listens, and nobody else can meanwhile: it is bound, so the kernel refuses for it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def closed_port() -> Iterator[int]:
    with refusing() as port:
        yield port
