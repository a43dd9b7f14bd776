"""The authority: its files, its own certificate and the server's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from collector.domain import trust
from collector.domain.errors import StoreError
from collector.flows.authority import AUTHORITY_FILE, SERVER_FILE, Authority
from tests.collector.clock import Clock

NOW = 1_800_000_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


def test_the_authority_outlives_a_restart_and_only_its_owner_can_read_it(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "trust"
    first = Authority(folder, clock=clock)
    second = Authority(folder, clock=clock)
    assert (first.pin, first.server().certificate) == (second.pin, second.server().certificate)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    for name in (AUTHORITY_FILE, SERVER_FILE):
        assert oct((folder / name).stat().st_mode & 0o777) == "0o600"
    assert sorted(os.listdir(folder)) == [AUTHORITY_FILE, SERVER_FILE]


def test_the_server_certificate_is_renewed_at_two_thirds_of_its_life(tmp_path: Path, clock: Clock) -> None:
    authority = Authority(tmp_path / "trust", clock=clock)
    before = authority.server().certificate
    assert authority.server().certificate == before
    clock.now_ms += trust.SERVER_LIFE_MS * 2 // 3
    after = authority.server().certificate
    assert after != before
    assert Authority(tmp_path / "trust", clock=clock).server().certificate == after


def test_a_new_name_gives_a_new_server_certificate(tmp_path: Path, clock: Clock) -> None:
    def names(authority: Authority) -> list[str]:
        extensions = authority.server().certificate.extensions
        return [str(name.value) for name in extensions.get_extension_for_class(x509.SubjectAlternativeName).value]

    assert names(Authority(tmp_path / "t", clock=clock)) == ["localhost", "127.0.0.1", "::1"]
    assert names(Authority(tmp_path / "t", names=["sigap.example", "[2001:db8::1]"], clock=clock)) == [
        "localhost",
        "127.0.0.1",
        "::1",
        "sigap.example",
        "2001:db8::1",
    ]


def test_what_others_could_have_touched_is_refused(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "trust"
    Authority(folder, clock=clock)
    key = folder / AUTHORITY_FILE
    key.chmod(0o640)
    with pytest.raises(StoreError, match="others can reach it"):
        Authority(folder, clock=clock)
    key.chmod(0o600)
    folder.chmod(0o755)
    with pytest.raises(StoreError, match="others can reach it"):
        Authority(folder, clock=clock)
    folder.chmod(0o700)
    key.rename(tmp_path / "elsewhere.pem")
    key.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(StoreError, match="not trusted"):
        Authority(folder, clock=clock)
    key.unlink()
    os.link(tmp_path / "elsewhere.pem", key)
    with pytest.raises(StoreError, match="plain file"):
        Authority(folder, clock=clock)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(StoreError, match="not trusted"):
        Authority(tmp_path / "link", clock=clock)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_damaged_authority_is_said_to_be_damaged_and_never_replaced(
    tmp_path: Path, clock: Clock, content: bytes
) -> None:
    folder = tmp_path / "trust"
    Authority(folder, clock=clock)
    (folder / AUTHORITY_FILE).write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        Authority(folder, clock=clock)
    assert (folder / AUTHORITY_FILE).read_bytes() == content


def test_the_authority_signs_for_nothing_below_it(tmp_path: Path, clock: Clock) -> None:
    made = x509.load_pem_x509_certificate(Authority(tmp_path / "t", clock=clock).certificate_pem)
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert made.public_bytes(serialization.Encoding.DER)
