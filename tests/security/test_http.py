"""The web port of the running product: headers, limits, cookies, redirects, HTTPS, and the socket of its owner."""

from __future__ import annotations

import datetime
import http.client
import os
import socket
import ssl
import stat
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.config import CONTROL_SOCKET
from tests.system.product import Product, product, short_folder, wait_for

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("security")]

PROTECTING = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ANSWERS = (
    ("GET", "/", 200), ("GET", "/nowhere", 404), ("GET", "/hosts.json", 200), ("GET", "/static/missing.js", 404),
    ("GET", "/static/app.css", 200), ("GET", "/metrics", 200), ("GET", "/-/healthy", 200), ("PUT", "/", 405),
    ("GET", "/docs/nothing", 404), ("GET", "/api/v1/host/missing", 404), ("GET", "/api/v1/host?sort=nothing", 422),
    ("GET", "/api/v1/openapi.json", 200), ("POST", "/alerts/1/acknowledge", 403), ("GET", "/live/changes", 200),
    ("GET", "/sign-in", 200),
    ("GET", "/api/v1/host.csv", 200), ("GET", "/setup", 303),
)  # fmt: skip
ELSEWHERE = (
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example",
    "/\\/evil.example", "http://evil.example", "https:evil.example", "https:/evil.example", "HTTPS://evil.example",
    "ftp://evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x",
    "file:///etc/passwd", " //evil.example", "\t//evil.example", "/\t/evil.example", "/\n/evil.example",
    "/\r\n/evil.example", "\n//evil.example", "/%0d%0aSet-Cookie:%20x=y//", "/\x00/evil.example",
    "/\x0b/evil.example", "/\x1f/evil.example", "//evil.example\\@ours", "//user@evil.example",
    "//ours@evil.example/", "/.//evil.example", "/..//evil.example", "/./\\evil.example", "/%2f/evil.example",
    "/%5cevil.example", "%2f%2fevil.example", "/;//evil.example", "/?//evil.example", "/#//evil.example",
    "/\u2028/evil.example", "/\u202e/evil.example", "\ufeff//evil.example", "/\xa0/evil.example",
    "\u3000//evil.example", "/\uff0fevil.example", "\uff0f\uff0fevil.example", "//[::1]", "//0x7f000001",
    "//2130706433", "///", "//", "/\\", ".", "evil.example", "@evil.example", "?next=//evil.example", "#", "",
    "//evil.example:80", "http:///evil.example", "http:\\\\evil.example", "/a/../..//evil.example",
    "/a/..;/evil.example", "//evil%E3%80%82example", "//evil\u3002example",
)  # fmt: skip
BODY_LIMIT_BYTES = 1024 * 1024
SLOW_CLIENTS = 60


@pytest.fixture(scope="module")
def running() -> Iterator[Product]:
    with product(environment={"SIGAP_WEB__OPEN_ON_LOOPBACK": "true"}) as started:
        yield started


def _raw(address: str, sent: bytes, *, seconds: float = 5.0) -> bytes:
    """What a client that speaks HTTP by hand is answered, until the connection ends or is silent."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(sent)
        found = b""
        try:
            while piece := connection.recv(65_536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return found


def test_every_answer_carries_the_protecting_headers(running: Product) -> None:
    for method, path, status in ANSWERS:
        with closing(http.client.HTTPConnection(running.address, timeout=10)) as connection:
            connection.request(method, path, headers={"Cookie": running.browser.cookie, "Accept": "text/html"})
            answer = connection.getresponse()
            headers = answer.headers
        assert answer.status == status, (method, path, answer.status)
        assert {name: headers[name] for name in PROTECTING} == PROTECTING, path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"], path
        assert headers["Cache-Control"], path
        assert "Access-Control-Allow-Origin" not in headers, path
        # What we are made of, in which version, is a list of what to try.
        assert "aiohttp" not in headers.get("Server", ""), path
        assert "ython" not in headers.get("Server", ""), path


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(5_000)) + b"\r\n",
        b"<script>alert(1)</script>\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_never_shown_as_a_page(running: Product, sent: bytes) -> None:
    answer = _raw(running.address, sent, seconds=3)
    head = answer.partition(b"\r\n")[0]
    if head:
        assert head.split()[1][:1] in b"4 3", answer[:200]
    assert b"Traceback" not in answer
    assert b"<script>" not in answer or b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in answer
    assert running.browser.request("GET", "/-/healthy").status == 200


def test_a_body_has_a_limit_whether_it_is_announced_or_not(running: Product) -> None:
    head = (
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    )
    much = b"x" * (2 * BODY_LIMIT_BYTES)
    announced = head + b"Content-Length: %d\r\n\r\n" % len(much) + much
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(much) + much + b"\r\n0\r\n\r\n"
    for sent in (announced, chunked):
        answer = _sent_in_full(running.address, sent)
        assert not answer or answer.split()[1] in (b"413", b"422"), answer[:300]


def _sent_in_full(address: str, sent: bytes) -> bytes:
    try:
        return _raw(address, sent, seconds=3)
    except (BrokenPipeError, ConnectionResetError):
        return b""


def test_a_packed_body_cannot_grow_beyond_the_limit(running: Product) -> None:
    import zlib

    bomb = zlib.compress(b"csrf=" + b"x" * (64 * BODY_LIMIT_BYTES), 9)
    sent = (
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Encoding: deflate\r\nConnection: close\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    ) + bomb
    assert running.process is not None
    before = _resident_kib(running.process.pid)
    answer = _sent_in_full(running.address, sent)
    assert not answer or answer.split()[1][:1] == b"4", answer[:300]
    assert _resident_kib(running.process.pid) - before < 32 * 1024


def _resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


def test_clients_that_never_finish_their_headers_keep_nobody_out(running: Product) -> None:
    host, _, port = running.address.rpartition(":")
    with ExitStack() as held:
        for _ in range(SLOW_CLIENTS):
            slow = held.enter_context(socket.create_connection((host, int(port)), timeout=5))
            slow.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        began = time.monotonic()
        assert running.browser.request("GET", "/-/healthy").status == 200
        assert time.monotonic() - began < 2.0


def test_another_host_name_gets_nothing_that_loopback_would(running: Product) -> None:
    assert running.browser.request("GET", "/metrics", headers={"Cookie": ""}).status == 200
    for name in ("rebound.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::1].evil.example", "0", ""):
        sent = f"GET /metrics HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        assert _raw(running.address, sent).split()[1] in (b"401", b"400", b"303"), name
        page = f"GET /hosts HTTP/1.1\r\nHost: {name}\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"
        assert b"evil.example" not in _raw(running.address, page.encode()).replace(name.encode(), b""), name
    for header in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1"):
        sent = f"GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n{header}\r\nConnection: close\r\n\r\n".encode()
        assert _raw(running.address, sent).split()[1] != b"200", header


def test_no_way_on_leads_to_another_site(running: Product) -> None:
    wrong = []
    for target in ELSEWHERE:
        signing = running.browser.request(
            "GET", "/sign-in?" + urllib.parse.urlencode({"next": target}, errors="replace")
        )
        cookie = running.browser.cookie
        answers = [
            running.browser.submit("/styleguide", "/preferences", theme="dark", back=target),
            running.browser.submit("/sign-in", "/sign-in", name="local", password="x", next=target),
        ]
        running.browser.cookie = cookie
        for place in [_next_of(signing.text), *(one.headers.get("Location") or "/" for one in answers)]:
            if not _stays(place, running.address):
                wrong.append((target, place))
    assert not wrong


def _next_of(page: str) -> str:
    import html
    import re

    found = re.search(r'name="next" value="([^"]*)"', page)
    return html.unescape(found[1]) if found else "/"


def _stays(location: str, address: str) -> bool:
    """Whether a browser stays: it drops tabs and line ends, and reads backslashes as slashes (WHATWG URL)."""
    read = (
        "".join(one for one in location if one not in "\t\r\n").strip("".join(map(chr, range(33)))).replace("\\", "/")
    )
    joined = urllib.parse.urlsplit(urllib.parse.urljoin(f"http://{address}/sign-in", read))
    return joined.scheme == "http" and joined.netloc == address and not read.startswith("//")


def test_the_data_directory_and_its_socket_are_the_owners_alone(running: Product) -> None:
    assert running.folder.stat().st_uid == os.geteuid()
    assert stat.S_IMODE((running.folder / CONTROL_SOCKET).stat().st_mode) == 0o600
    open_to_others = [
        path.name
        for path in running.folder.rglob("*")
        if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.name != "agent.toml"  # that one the test wrote
    ]
    assert not open_to_others


def test_who_comes_over_the_network_is_never_taken_for_the_owner(running: Product) -> None:
    for headers in ({"Host": "sigap"}, {"X-Forwarded-For": "unix:"}, {"Authorization": "Bearer control"}):
        answer = running.browser.request("GET", "/api/v1/tokens", headers={"Cookie": "", **headers})
        assert answer.status == 401


def test_the_local_agent_gets_no_secret_of_the_collector(running: Product) -> None:
    pid = wait_for(running.agent_pid, 10, "the local agent runs")
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {one.partition(b"=")[0].decode() for one in environment}
    assert not [name for name in names if name.startswith("SIGAP_") and not name.startswith("SIGAP_AGENT_")]


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "web.pem", folder / "web.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


def test_with_a_certificate_there_is_https_and_nothing_else() -> None:
    with short_folder() as folder:
        certificate, key = _certificate(folder)
        settings = {"SIGAP_WEB__CERTIFICATE": str(certificate), "SIGAP_WEB__KEY": str(key)}
        secure = Product(folder / "d", environment=settings)
        try:
            secure.start()
            _check_https(secure, ssl.create_default_context(cafile=str(certificate)))
            for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                assert not _speaks(secure.address, old), old
            assert _raw(secure.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", seconds=2)[:8] != b"HTTP/1.1"
            secure.stop()
        finally:
            secure.kill()


def _check_https(secure: Product, trust: ssl.SSLContext) -> None:
    import re

    link = re.findall(r"/sign-in\?link=(\S+)", secure.output())[-1]
    assert f"https://{secure.address}/sign-in?link=" in secure.output()
    with closing(http.client.HTTPSConnection(secure.address, timeout=10, context=trust)) as connection:
        connection.request("GET", "/sign-in")
        page = connection.getresponse()
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.read().decode())
        assert csrf
        assert "max-age=31536000" in page.headers["Strict-Transport-Security"]
        body = urllib.parse.urlencode({"csrf": csrf[1], "link": link, "next": "/"})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{secure.address}"}
        connection.request("POST", "/sign-in", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-sigap=")
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= {one.strip().lower() for one in cookie.split(";")}
        assert "domain=" not in cookie.lower()
        connection.request("GET", "/hosts.json", headers={"Cookie": cookie.partition(";")[0]})
        assert connection.getresponse().status == 200


def _speaks(address: str, version: ssl.TLSVersion) -> bool:
    import warnings

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as plain, context.wrap_socket(plain):
            return True
    except (ssl.SSLError, ConnectionError):
        return False


def test_a_key_that_others_can_read_is_found_before_it_is_used() -> None:
    with short_folder() as folder:
        secure = Product(folder / "d")
        secure.start()
        secure.stop()
        for name in ("keys", "trust"):
            (secure.folder / name).chmod(0o755)
            done = secure.run("serve")
            assert done.returncode != 0
            assert "others can reach it" in done.stderr
            os.chmod(secure.folder / name, 0o700)
