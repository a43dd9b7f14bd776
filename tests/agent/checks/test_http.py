from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import msgspec
import pytest

from agent.probes import CHECKS
from agent.sample import State

from .conftest import Authority, black_hole, listener, website
from .running import numbers, outcome, run


def test_good_answer_is_up_and_says_how_long_it_took(site: str) -> None:
    found = outcome("http", url=site)
    assert found.state is State.UP
    assert found.reason.startswith("HTTP 200 after ")
    assert 0 < found.latency_seconds < 2


def test_wrong_status_is_down_and_names_both(site: str) -> None:
    found = outcome("http", url=f"{site}/status/503")
    assert found.state is State.DOWN
    assert found.reason.startswith("HTTP 503 instead of 200–299 after ")


def test_status_may_be_a_list_of_codes_and_ranges(site: str) -> None:
    assert outcome("http", url=f"{site}/status/404", status=[200, "403-404"]).state is State.UP
    assert outcome("http", url=f"{site}/status/402", status=[200, "403-404"]).state is State.DOWN


@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ({"contains": "shop"}, State.UP, "HTTP 200"),
        ({"contains": "bank"}, State.DOWN, "without the text 'bank'"),
        ({"lacks": "shop"}, State.DOWN, "with the text 'shop'"),
        ({"matches": r"\d+ articles"}, State.UP, "HTTP 200"),
        ({"matches": r"\d{5} articles"}, State.DOWN, "without a match"),
    ],
)
def test_body_is_compared(site: str, options: dict[str, str], state: State, words: str) -> None:
    found = outcome("http", url=site, **options)
    assert (found.state, words in found.reason) == (state, True), found.reason


def test_only_the_first_64_kib_of_a_body_are_read(site: str) -> None:
    observation = run("http", url=f"{site}/big", contains="end")
    assert observation.outcome is not None
    assert observation.outcome.state is State.DOWN
    assert numbers(observation)["probe_http_uncompressed_body_length"] == 65_536


def test_numbers_carry_blackbox_exporters_names(site: str) -> None:
    observation = run("http", url=f"{site}/to?/")
    found = numbers(observation)
    assert found["probe_success"] == 1
    assert found["probe_http_status_code"] == 200
    assert found["probe_http_redirects"] == 1
    assert found["probe_http_version"] == 1.0
    assert found["probe_ip_protocol"] == 4
    phases = [value for name, value in found.items() if name.startswith("probe_http_duration_seconds[")]
    assert len(phases) == 5
    assert 0 < sum(phases) <= found["probe_duration_seconds"]
    labels = dict(observation.samples[0].series.labels)
    assert labels == {"check": "it", "kind": "http", "target": f"{site}/to"}


def test_series_are_the_same_whatever_happens(site: str, closed_port: int) -> None:
    up = [sample.series.name for sample in run("http", url=site).samples]
    down = [sample.series.name for sample in run("http", url=f"http://127.0.0.1:{closed_port}").samples]
    assert up == down


def test_redirects_are_limited(site: str) -> None:
    found = outcome("http", url=f"{site}/to?{site}/to?{site}/to?{site}/", redirects=2)
    assert found.state is State.DOWN
    assert "More than 2 redirects" in found.reason


def test_redirect_to_another_scheme_is_not_followed(site: str) -> None:
    found = outcome("http", url=f"{site}/to?file:///etc/passwd")
    assert found.state is State.DOWN
    assert "not followed" in found.reason


def test_redirect_itself_can_be_what_is_expected(site: str) -> None:
    assert outcome("http", url=f"{site}/to?/", redirects=0, status=[302]).state is State.UP


def test_credentials_do_not_follow_a_redirect_to_another_server(site: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Bearer geheim\n")
    options = {"headers_from_files": {"Authorization": str(token)}, "contains": "geheim"}
    assert outcome("http", url=f"{site}/echo", **options).state is State.UP
    assert outcome("http", url=f"{site}/to?{site}/echo", **options).state is State.UP
    with website() as other:
        assert outcome("http", url=f"{site}/to?http://127.0.0.1:{other}/echo", **options).state is State.DOWN


def test_unreadable_token_is_unknown_not_down(site: str) -> None:
    found = outcome("http", url=site, headers_from_files={"Authorization": "/nowhere/token"})
    assert found.state is State.UNKNOWN
    assert "/nowhere/token" in found.reason


def test_proxy_environment_is_never_used(site: str, closed_port: int) -> None:
    proxies = ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy")
    for name in proxies:
        os.environ[name] = f"http://127.0.0.1:{closed_port}"
    try:
        assert outcome("http", url=site).state is State.UP
    finally:
        for name in proxies:
            del os.environ[name]


def test_refused_connection_is_down(closed_port: int) -> None:
    found = outcome("http", url=f"http://127.0.0.1:{closed_port}")
    assert found.state is State.DOWN
    assert "refused" in found.reason


def test_server_that_accepts_and_stays_silent_is_down_within_the_timeout() -> None:
    with black_hole(socket.SOCK_STREAM) as port:
        began = time.monotonic()
        found = outcome("http", url=f"http://127.0.0.1:{port}", timeout_seconds=0.3)
        assert time.monotonic() - began < 1
    assert found.state is State.DOWN
    assert "within 0.3 s" in found.reason


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"])
def test_drip_feeding_server_cannot_outlast_the_timeout(start: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)  # The server's pace is the subject of the test.

    with listener(drip) as port:
        began = time.monotonic()
        found = outcome("http", url=f"http://127.0.0.1:{port}", timeout_seconds=0.4)
        assert time.monotonic() - began < 1
    assert found.state is State.DOWN


def test_response_that_ends_too_early_is_down() -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_RDWR)

    with listener(handle) as port:
        found = outcome("http", url=f"http://127.0.0.1:{port}/")
    assert found.state is State.DOWN
    assert found.reason == f"127.0.0.1:{port} closed the connection in the middle of its response"


def test_server_that_speaks_no_http_is_down_with_a_clean_reason() -> None:
    with listener(lambda connection: connection.sendall(b"220 \x1b[31mmail\x00 ready\r\n\r\n")) as port:
        found = outcome("http", url=f"http://127.0.0.1:{port}")
    assert found.state is State.DOWN
    assert "HTTP" in found.reason
    assert found.reason.isprintable()


def test_good_certificate_is_up_and_its_last_day_is_a_number(authority: Authority) -> None:
    with website(authority.context("127.0.0.1", days=90)) as port:
        observation = run("http", url=f"https://127.0.0.1:{port}", ca_file=authority.file)
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP, observation.outcome.reason
    found = numbers(observation)
    assert found["probe_ssl_earliest_cert_expiry"] == pytest.approx(time.time() + 90 * 86_400, abs=60)
    assert found["probe_http_ssl"] == 1
    assert found["probe_http_duration_seconds[tls]"] > 0


@pytest.mark.parametrize(
    ("names", "days", "state", "words"),
    [
        (["127.0.0.1"], 3.5, State.DEGRADED, "Certificate of 127.0.0.1 expires in 3 days"),
        (["127.0.0.1"], -1, State.DOWN, "certificate has expired"),
        (["example.org"], 90, State.DOWN, "not valid"),
    ],
)
def test_certificate_is_judged(authority: Authority, names: list[str], days: float, state: State, words: str) -> None:
    with website(authority.context(*names, days=days)) as port:
        found = outcome("http", url=f"https://127.0.0.1:{port}", ca_file=authority.file)
    assert (found.state, words in found.reason) == (state, True), found.reason


def test_stranger_s_certificate_is_down(authority: Authority) -> None:
    with website(authority.context("127.0.0.1")) as port:
        found = outcome("http", url=f"https://127.0.0.1:{port}")
    assert found.state is not State.UP


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "example.org", "http://", "http://user:pw@example.org/", "http://ex ample.org/",
        "http://example.org:99999/", "http://example.org/\r\nX: y", "http://-example.org/",
    ],
)  # fmt: skip
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "it", "url": url}, CHECKS["http"])


@pytest.mark.parametrize(
    "options",
    [{"status": ["2xx"]}, {"matches": "("}, {"headers": {"Host": "x"}}, {"headers": {"X": "a\r\nb"}}, {"colour": 1}],
)
def test_option_that_cannot_be_meant_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "it", "url": "http://example.org", **options}, CHECKS["http"])
