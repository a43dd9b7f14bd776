"""The key and certificate of a simulated host: enrolled with a one-time token, as every host is.

Keeps nothing on disk: a simulated host ends with the program.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.flows.enrol import Enroller

WHO = "demo"
VERSION = "simulated"


class Identity(NamedTuple):
    """What a simulated host proves itself by."""

    agent_id: str
    host_name: str
    key_pem: bytes
    certificate_pem: bytes
    authority_pem: bytes

    def credentials(self) -> Any:
        """For a mutual-TLS channel."""
        return grpc.ssl_channel_credentials(self.authority_pem, self.key_pem, self.certificate_pem)


async def enrol(enroller: Enroller, host_name: str) -> Identity:
    """A token for this host, a key, a request, a certificate.

    Raises:
        Unauthenticated, InvalidInput, TooMuch: The enrolment was refused.
    """
    issued = await enroller.issue(WHO, host_name)
    key_pem, request = await asyncio.to_thread(_request)
    enrolled = await enroller.redeem(
        issued.secret, request, host_name=host_name, version=VERSION, caller=f"{WHO}:{host_name}"
    )
    return Identity(enrolled.agent_id, host_name, key_pem, enrolled.certificate_pem, enrolled.authority_pem)


def _request() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, request.public_bytes(serialization.Encoding.DER)
