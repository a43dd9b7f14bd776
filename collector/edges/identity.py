"""Who is at the other end of a mutual-TLS connection, and what this end shows of itself.

gRPC has verified the chain before any of this runs; here the certificate is read once more on its own, so that a
looser TLS library does not loosen us. Whether it is let in is decided by `flows.enrol.admit`, never here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from collector.domain import trust
from collector.domain.errors import Unauthenticated
from collector.flows.authority import Authority, Pair

CERTIFICATE = "x509_pem_cert"


class Peer(NamedTuple):
    """What a client certificate says: the agent it names, and its own SHA-256."""

    agent_id: str
    fingerprint: str


def identify(auth_context: Mapping[str, Sequence[bytes]]) -> Peer:
    """The agent and the fingerprint of the verified client certificate of a call.

    Raises:
        Unauthenticated: No certificate, or not of the kind that the enrolment issues.
    """
    shown = auth_context.get(CERTIFICATE) or ()
    try:
        certificate = x509.load_pem_x509_certificate(b"".join(shown)) if len(shown) == 1 else None
        agent_id = _named_agent(certificate) if certificate else None
    except ValueError:
        agent_id = None
    if certificate is None or agent_id is None:
        raise Unauthenticated(trust.REFUSAL_WORDS[trust.Refusal.NO_IDENTITY])
    return Peer(agent_id, certificate.fingerprint(hashes.SHA256()).hex())


def _named_agent(certificate: x509.Certificate) -> str | None:
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return None
    if authority or list(usage) != [ExtendedKeyUsageOID.CLIENT_AUTH] or len(names) != 1:
        return None
    name = names[0]
    if not isinstance(name, x509.UniformResourceIdentifier) or not name.value.startswith(trust.IDENTITY_PREFIX):
        return None
    agent_id = name.value.removeprefix(trust.IDENTITY_PREFIX)
    return agent_id if str(uuid.UUID(agent_id)) == agent_id else None


def server_credentials(authority: Authority, *, mutual: bool) -> Any:
    """What a gRPC server shows, renewed without a restart; `mutual` also demands a certificate of this authority."""
    roots = authority.certificate_pem if mutual else None
    given = authority.server()

    def configuration(pair: Pair) -> Any:
        return grpc.ssl_server_certificate_configuration([(pair.key_pem, pair.certificate_pem)], roots)

    def renewed() -> Any:
        # Asked at every handshake; None keeps what is there.
        nonlocal given
        current = authority.server()
        if current is given:
            return None
        given = current
        return configuration(current)

    return grpc.dynamic_ssl_server_credentials(configuration(given), renewed, require_client_authentication=mutual)
