"""The collector's own authority: makes its key on the first start, issues the server's and the agents' certificates.

One file each for the authority and the server, key and certificate together, so that a crash never parts them. Knows
nothing of tokens, tables or the network; whom it may sign for is decided by `flows.enrol`.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.domain import trust
from collector.domain.errors import InvalidInput, StoreError
from collector.domain.message import Message
from collector.store.vault import Vault

LOG = logging.getLogger(__name__)

AUTHORITY_FILE = "authority.pem"
SERVER_FILE = "server.pem"
REQUEST_BYTES_MAX = 8192
USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
CURVES = (ec.SECP256R1, ec.SECP384R1)
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
PEM_BORDER = b"-----BEGIN CERTIFICATE-----"


class Pair(NamedTuple):
    """A key and the certificate of its public half."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted: the file's mode protects it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


class Issued(NamedTuple):
    """A certificate for an agent; times are Unix milliseconds, UTC."""

    certificate_pem: bytes
    fingerprint: str
    not_before_ms: int
    not_after_ms: int


class Authority:
    """Signs for this collector. `names` are what the server certificate is valid for beside this host itself."""

    def __init__(self, folder: Path, *, names: Sequence[str] = (), clock: Callable[[], int]) -> None:
        self._vault = Vault(folder)
        self._names = _unique((*ALWAYS_NAMED, *names))
        self._clock = clock
        self._lock = threading.Lock()
        self._root = self._load(AUTHORITY_FILE) or self._found_authority()
        stored = self._load(SERVER_FILE)
        self._server = stored if stored and self._serves(stored) else self._issue_server()

    @property
    def certificate_pem(self) -> bytes:
        """The authority's certificate, which every agent has as its only root."""
        return self._root.certificate_pem

    @property
    def pin(self) -> bytes:
        """SHA-256 of the authority's certificate, as carried by tokens."""
        return self._root.certificate.fingerprint(hashes.SHA256())

    def server(self) -> Pair:
        """The server's key and certificate, renewed when two thirds of its life are over."""
        with self._lock:  # gRPC asks from its own threads, for each port.
            if _is_due(self._server.certificate, self._clock()):
                self._server = self._issue_server()
            return self._server

    def issue_agent(self, request: bytes, agent_id: str) -> Issued:
        """A certificate for the key of `request` (DER), naming `agent_id` and nothing that the request asked for.

        Raises:
            InvalidInput: No certificate request, not signed by its own key, or of a kind of key that we do not take.
        """
        key = requested_key(request)
        identity = x509.UniformResourceIdentifier(trust.IDENTITY_PREFIX + agent_id)
        certificate = _sign(self._root, key, trust.AGENT, name=agent_id, names=[identity], now_ms=self._clock())
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return Issued(pem, fingerprint(certificate), *_life(certificate))

    def _found_authority(self) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(None, key.public_key(), trust.AUTHORITY, name="Sigap", now_ms=self._clock(), own=key)
        return self._keep(AUTHORITY_FILE, Pair(key, certificate), "authority_made")

    def _issue_server(self) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(name) for name in self._names]
        certificate = _sign(
            self._root, key.public_key(), trust.SERVER, name="Sigap collector", names=names, now_ms=self._clock()
        )
        return self._keep(SERVER_FILE, Pair(key, certificate), "server_certificate_issued")

    def _keep(self, file: str, pair: Pair, event: str) -> Pair:
        self._vault.write(file, pair.key_pem + pair.certificate_pem)
        LOG.info("%s file=%s not_after=%s", event, file, pair.certificate.not_valid_after_utc.isoformat())
        return pair

    def _load(self, file: str) -> Pair | None:
        content = self._vault.read(file)
        if content is None:
            return None
        try:
            key = serialization.load_pem_private_key(content, password=None)
            certificate = x509.load_pem_x509_certificate(content[content.index(PEM_BORDER) :])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _damaged(self._vault.folder / file) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise _damaged(self._vault.folder / file)
        return Pair(key, certificate)

    def _serves(self, pair: Pair) -> bool:
        try:
            pair.certificate.verify_directly_issued_by(self._root.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        named = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        same = {_general_name(name) for name in self._names} == set(named)
        return same and not _is_due(pair.certificate, self._clock())


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a certificate request whose sender proved to have the private one. All else is ignored."""
    if len(request) > REQUEST_BYTES_MAX:
        raise InvalidInput(
            "The certificate request is too large.", hint=Message("At most {count} bytes.", count=REQUEST_BYTES_MAX)
        )
    try:
        parsed = x509.load_der_x509_csr(request)
        proven, key = parsed.is_signature_valid, parsed.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise InvalidInput("This is not a certificate request.", hint="Send PKCS #10 in DER.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise InvalidInput("The key is of a kind that is not taken.", hint="Use ECDSA with P-256 or P-384.")
    if not proven:
        raise InvalidInput("The certificate request is not signed by its own key.")
    return key


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, hex: how the list of those let in knows a certificate."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _sign(
    issuer: Pair | None,
    key: ec.EllipticCurvePublicKey,
    profile: trust.Profile,
    *,
    name: str,
    now_ms: int,
    names: Sequence[x509.GeneralName] = (),
    own: ec.EllipticCurvePrivateKey | None = None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else own
    assert signer is not None, "a certificate without an issuer is signed by its own key"
    issuing_key = signer.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now_ms - trust.BACKDATE_MS))
        .not_valid_after(_moment(now_ms + profile.life_ms))
        .add_extension(x509.BasicConstraints(profile.is_authority, 0 if profile.is_authority else None), critical=True)
        .add_extension(_key_usage(profile), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing_key), critical=False)
    )
    if profile.usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([USAGES[profile.usage]]), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(profile: trust.Profile) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not profile.is_authority,
        key_cert_sign=profile.is_authority,
        crl_sign=profile.is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip("[]") for name in names if name))


def _moment(unix_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(unix_ms // 1000, datetime.UTC)


def _life(certificate: x509.Certificate) -> tuple[int, int]:
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return int(since.timestamp()) * 1000, int(until.timestamp()) * 1000


def _is_due(certificate: x509.Certificate, now_ms: int) -> bool:
    return trust.renewal_due(*_life(certificate), now_ms)


def _damaged(path: Path) -> StoreError:
    return StoreError(
        Message("{path} is damaged.", path=str(path)),
        hint="Restore it from the backup; without it every agent must enrol again.",
    )
