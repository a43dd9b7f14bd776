"""The tls check: the handshake succeeds, chain and name are good, and the certificate is not about to expire."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from agent.probes import attempts, endpoint
from agent.probes.attempts import Finding
from agent.probes.check import EXPIRY, LOOKUP, Days, Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason, took
from agent.sample import State

HANDSHAKE = Measure("probe_tls_handshake_seconds", "Seconds that the TLS handshake took", "seconds")
HTTPS_PORT = 443


class TLSCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a tls check."""

    address: Line
    server_name: Line = ""
    ca_file: Line = ""
    certificate_degraded_days: Days = 14.0
    certificate_down_days: Days = 0.0

    KIND: ClassVar[str] = "tls"
    MEASURES: ClassVar[tuple[Measure, ...]] = (LOOKUP, HANDSHAKE, EXPIRY)
    LOCAL_ONLY: ClassVar[frozenset[str]] = frozenset({"ca_file"})

    def __post_init__(self) -> None:
        endpoint.parse_endpoint(self.address, default_port=HTTPS_PORT)
        if self.server_name:
            endpoint.check_host(self.server_name)
        super().__post_init__()

    @property
    def target(self) -> str:
        """The address as configured."""
        return self.address

    def look(self, deadline: Deadline) -> Finding:
        """Shake hands and read the certificate's last day."""
        where = endpoint.parse_endpoint(self.address, default_port=HTTPS_PORT)
        name = self.server_name or where.host
        addresses = endpoint.resolve(where, deadline)
        values = {LOOKUP.key: deadline.spent()}
        connection = endpoint.connect(addresses, where, deadline)
        before = deadline.spent()
        with endpoint.encrypt(connection, name, deadline, ca_file=self.ca_file) as secured:
            expires_unix = endpoint.expires_unix(secured)
            version = secured.version()
        spent = deadline.spent()
        values |= {HANDSHAKE.key: spent - before, EXPIRY.key: expires_unix}
        finding = attempts.expiry(
            name,
            expires_unix,
            deadline.wall_ms / 1000,
            degraded_days=self.certificate_degraded_days,
            down_days=self.certificate_down_days,
        )
        if finding.state is State.UP:
            reason = Reason(
                "{version} after {took}. {certificate}",
                version=str(version),
                took=took(spent),
                certificate=finding.reason,
            )
            finding = replace(finding, reason=reason)
        return replace(finding, latency_seconds=spent, values=values)
