"""How this host gets its certificate: the first one for a token, each later one for the one before it.

Nothing is sent before the collector has proved that it is the one the token names: its authority is fetched over a
connection that is trusted with nothing, compared with the fingerprint in the token, and is the only root of the
connection that carries the token. The key is made here and never leaves. There is no switch to skip any of it.

`cryptography` is imported when it is needed: an agent that only samples does not carry it in memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import ssl
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agent import call, identity
from agent.connection import Connection, ConnectionLost, mutual, stranger
from agent.identity import Identity, IdentityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

LOG = logging.getLogger(__name__)

TOKEN_PREFIX = "sigap1."
SECRET_BYTES = 32
PIN_BYTES = 32
CHECK_BYTES = 4
TIMEOUT_SECONDS = 15.0
MESSAGE_BYTES_MAX = 64 * 1024
IDENTITY_PREFIX = "urn:sigap:agent:"
load = identity.load
__all__ = ["EnrolError", "Identity", "IdentityError", "enrol", "load", "read_token", "renew_now", "renew_when_due"]


class EnrolError(Exception):
    """Why there is no certificate, and in `hint` what to do next. Never carries the token."""

    def __init__(self, message: str, *, hint: str = "", retry: bool = False) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint
        self.retry = retry  # whether the same attempt may succeed later


class Token(NamedTuple):
    """What the copied word says: where to go, and by what to know the collector."""

    address: str
    pin: bytes  # SHA-256 of the authority's certificate


def read_token(text: str) -> Token:
    """Where the token leads.

    Raises:
        EnrolError: Not a token, or one that was not copied whole.
    """
    encoded = text.strip().removeprefix(TOKEN_PREFIX)
    if encoded == text.strip():
        raise EnrolError("This is not an enrolment token.", hint=f"A token starts with {TOKEN_PREFIX}")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        body, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
        address = body[SECRET_BYTES + PIN_BYTES :].decode()
    except (binascii.Error, ValueError) as error:
        raise EnrolError("The enrolment token is damaged.", hint="Copy it whole, on one line.") from error
    if not address or hashlib.sha256(body).digest()[:CHECK_BYTES] != check:
        raise EnrolError("The enrolment token is damaged.", hint="Copy it whole, on one line.")
    return Token(address, body[SECRET_BYTES : SECRET_BYTES + PIN_BYTES])


def enrol(token: str, state: Path, host_name: str, *, version: str = "", address: str = "") -> Identity:
    """Exchange the token for a certificate and keep it in the state directory. Blocks for seconds.

    Args:
        token: As shown by the collector.
        state: Made with mode 0700 when missing.
        host_name: What this host calls itself.
        version: The agent's.
        address: Where to go instead of the token's address, when the collector is reached differently from here.

    Raises:
        EnrolError: No certificate; the token is used up only if the message says so.
        IdentityError: The state directory is not safe.
    """
    from protos.telemetry.v1 import telemetry_lean as wire

    leads = read_token(token)
    place = address or leads.address
    identity.prepare(state)  # Before the token is used up, not after.
    key, request = _make_request()
    authority_pem = _fetch_authority(place, leads.pin)
    answer = _ask(
        place,
        mutual(authority_pem),
        "Enrolment/Enrol",
        wire.EnrolRequest(token=token.strip(), certificate_request=request, host_name=host_name, agent_version=version),
        wire.EnrolResponse,
    )
    made = _accept(answer, key, authority_pem)
    identity.save(state, made)
    LOG.info("enrolled agent=%s collector=%s", made.agent_id, made.address)
    return made


def renew_when_due(current: Identity, state: Path, *, now_ms: int) -> Identity:
    """`current`, or its successor when two thirds of its life are over. Blocks for seconds then.

    Raises:
        EnrolError: Renewal is due and failed; `retry` tells whether to try again. `current` is still good.
        IdentityError: The state directory is not safe any more.
    """
    if now_ms >= current.not_after_ms:
        raise EnrolError("This host's certificate has expired.", hint="Enrol it again with a new token.")
    return renew_now(current, state) if current.renewal_due(now_ms) else current


def renew_now(current: Identity, state: Path) -> Identity:
    """A new key and certificate for the same agent; the collector takes both until the old one ends."""
    from protos.telemetry.v1 import telemetry_lean as wire

    try:
        trust = mutual(current.authority_pem, current.key_pem, current.certificate_pem)
    except (OSError, ValueError) as error:
        raise EnrolError(f"This host's identity cannot be used: {error}", retry=True) from error
    key, request = _make_request()
    answer = _ask(
        current.address,
        trust,
        "Renewal/Renew",
        wire.RenewRequest(certificate_request=request),
        wire.EnrolResponse,
    )
    made = _accept(answer, key, current.authority_pem)
    if made.agent_id != current.agent_id:
        raise EnrolError("The collector answered with a certificate of another agent.", hint="Enrol this host again.")
    identity.save(state, made)
    LOG.info("certificate_renewed agent=%s not_after_ms=%d", made.agent_id, made.not_after_ms)
    return made


def _make_request() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return key, request.public_bytes(serialization.Encoding.DER)


def _fetch_authority(address: str, pin: bytes) -> bytes:
    """The authority's certificate, PEM, once it is known to be the one that the token names.

    Asks one public question over a connection that is trusted with nothing. A man in the middle can answer it only with
    what does not fit the pin, or with the true authority, whose certificate he then fails to show on the connection
    that carries the token.
    """
    from protos.telemetry.v1 import telemetry_lean as wire

    answer = _ask(address, stranger(), "Enrolment/Authority", wire.AuthorityRequest(), wire.AuthorityResponse)
    try:
        authority = ssl.PEM_cert_to_DER_cert(answer.authority.decode())
    except ValueError:
        authority = b""
    if hashlib.sha256(authority).digest() != pin:
        raise EnrolError(
            f"{address} is not the collector that this token is for; the token was not sent.",
            hint="Is something between this host and the collector? Otherwise take a new token from the right one.",
        )
    return ssl.DER_cert_to_PEM_cert(authority).encode()


def _ask(address: str, context: ssl.SSLContext, method: str, request: Any, response: Any) -> Any:
    from google.protobuf.message import DecodeError

    path = f"/sigap.telemetry.v1.{method}"
    try:
        with closing(
            Connection(address, context, path, timeout_seconds=TIMEOUT_SECONDS, message_bytes_max=MESSAGE_BYTES_MAX)
        ) as connection:
            status, answer = connection.ask(request.SerializeToString(), timeout_seconds=TIMEOUT_SECONDS)
    except ValueError as error:
        raise EnrolError(f"{address} is not host:port.") from error
    except ConnectionLost as error:
        distrusted = error.distrusted and context.verify_mode is not ssl.CERT_NONE
        raise (_distrusted(address) if distrusted else _unreachable(address, error.why)) from error
    if status.code != call.OK:
        raise _failed(status, address)
    try:
        return response.FromString(answer)
    except DecodeError as error:
        raise EnrolError(f"{address} gave an answer that makes no sense.", hint="Update both sides.") from error


def _failed(status: call.Status, address: str) -> EnrolError:
    if status.code == call.UNAVAILABLE:
        return _unreachable(address, status.words)
    if status.code == call.RESOURCE_EXHAUSTED:
        return EnrolError(f"The collector asks to wait: {status.words}", retry=True)
    if status.code == call.UNIMPLEMENTED:
        return EnrolError(f"{address} does not enrol agents.", hint="Is this the enrolment address?")
    return EnrolError(status.words or f"The collector refused ({status.name}).")


def _distrusted(address: str) -> EnrolError:
    return EnrolError(
        f"{address} could not prove to be the collector, or did not take this host's certificate.",
        hint="Is it reached by a name in its certificate (enrolment.names), are both clocks right? "
        "Is something between this host and the collector?",
        retry=True,
    )


def _unreachable(address: str, why: str) -> EnrolError:
    return EnrolError(
        f"The collector at {address} cannot be reached: {why}.",
        hint="Is it running, and does a firewall let this host through?",
        retry=True,
    )


def _accept(answer: Any, key: ec.EllipticCurvePrivateKey, authority_pem: bytes) -> Identity:
    """The identity that the answer gives, once it fits our key and names an agent."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization

    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_pem))
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise EnrolError("The collector's answer holds no usable certificate.", hint="Update both sides.") from error
    if certificate.public_key() != key.public_key() or uris != [IDENTITY_PREFIX + answer.agent_id]:
        raise EnrolError("The collector's answer holds a certificate that is not ours.", hint="Enrol this host again.")
    return Identity(
        agent_id=answer.agent_id,
        certificate_pem=answer.certificate,
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        authority_pem=authority_pem,
        address=answer.telemetry_address,
        not_before_ms=int(certificate.not_valid_before_utc.timestamp()) * 1000,
        not_after_ms=int(certificate.not_valid_after_utc.timestamp()) * 1000,
    )
