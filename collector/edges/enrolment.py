"""The two gRPC services by which an agent gets its certificates, and the port of the first.

Translation only: bytes in, a flow, bytes out. What is allowed is decided in `flows.enrol`.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from typing import Any

import grpc
import grpc.aio

from collector.domain.errors import CollectorError
from collector.edges import connections, grpc_errors
from collector.edges.identity import identify, server_credentials
from collector.flows.enrol import Enrolled, Enroller
from protos.telemetry.v1 import telemetry_pb2 as wire
from protos.telemetry.v1 import telemetry_pb2_grpc as services

MESSAGE_BYTES_MAX = 16 * 1024
METADATA_BYTES_MAX = 8 * 1024
STREAMS_PER_CONNECTION = 4
CONNECTION_AGE_MS = 300_000
IPV6_SITE_BITS = 64
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    # The limit above is checked before inflating: without this, 16 KiB could become gigabytes.
    ("grpc.per_message_decompression", 0),
    ("grpc.so_reuseport", 0),
    *connections.ENROLMENT.options(),
)


class _Enrolment(services.EnrolmentServicer):
    def __init__(self, enroller: Enroller) -> None:
        self._enroller = enroller

    async def Authority(self, request: wire.AuthorityRequest, context: Any) -> wire.AuthorityResponse:
        del request, context
        return wire.AuthorityResponse(authority=self._enroller.authority.certificate_pem)

    async def Enrol(self, request: wire.EnrolRequest, context: Any) -> wire.EnrolResponse:
        try:
            enrolled = await self._enroller.redeem(
                request.token,
                request.certificate_request,
                host_name=request.host_name,
                version=request.agent_version,
                caller=caller(context.peer()),
            )
        except CollectorError as error:
            await grpc_errors.refuse(context, error)
        return _response(enrolled)


class _Renewal(services.RenewalServicer):
    def __init__(self, enroller: Enroller) -> None:
        self._enroller = enroller

    async def Renew(self, request: wire.RenewRequest, context: Any) -> wire.EnrolResponse:
        try:
            peer = identify(context.auth_context())
            renewed = await self._enroller.renew(peer.agent_id, peer.fingerprint, request.certificate_request)
        except CollectorError as error:
            await grpc_errors.refuse(context, error)
        return _response(renewed)


def add_renewal(server: Any, enroller: Enroller) -> None:
    """Serve renewal on the agents' mutual-TLS server."""
    services.add_RenewalServicer_to_server(_Renewal(enroller), server)  # type: ignore[no-untyped-call]


def enrolment_server(enroller: Enroller, address: str) -> tuple[Any, int]:
    """The enrolment port, not started: the server and the port that it is bound to.

    Raises:
        OSError: The address is taken or not this host's.
    """
    server = grpc.aio.server(options=OPTIONS)
    services.add_EnrolmentServicer_to_server(_Enrolment(enroller), server)  # type: ignore[no-untyped-call]
    return server, connections.bind(server, address, server_credentials(enroller.authority, mutual=False))


def caller(peer: str) -> str:
    """The address behind gRPC's name of a peer; of IPv6 the /64, which is what one site has."""
    kind, _, rest = urllib.parse.unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    if kind == "ipv6":
        try:
            return str(ipaddress.ip_network((host, IPV6_SITE_BITS), strict=False))
        except ValueError:
            return host
    return host or peer


def _response(enrolled: Enrolled) -> wire.EnrolResponse:
    return wire.EnrolResponse(
        agent_id=enrolled.agent_id,
        certificate=enrolled.certificate_pem,
        authority=enrolled.authority_pem,
        not_after_ms=enrolled.not_after_ms,
        telemetry_address=enrolled.telemetry_address,
    )
