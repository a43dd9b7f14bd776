"""The rules of trust: what a token carries, whom a certificate admits, when it is renewed, how often one may ask.

Values and arithmetic. Keys, signatures, files and tables are the work of `flows.authority` and `store.agents`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.pace import Pace

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS

TOKEN_PREFIX = "sigap1."
TOKEN_LIFE_MS = 15 * MINUTE_MS
SECRET_BYTES = 32
PIN_BYTES = 32
CHECK_BYTES = 4

AGENT_LIFE_MS = 30 * DAY_MS
SERVER_LIFE_MS = 397 * DAY_MS
AUTHORITY_LIFE_MS = 3650 * DAY_MS
BACKDATE_MS = 60 * MINUTE_MS
"""How far `not before` lies in the past: hosts whose clocks run behind must be able to enrol."""
OVERLAP_MS = DAY_MS
"""How long a certificate that was replaced twice is still taken."""
LIVE_CERTIFICATES_MAX = 5
HOST_NAME_MAX = 120
"""Linux knows 64; the rest of the 128 of a register key is for a number."""
IDENTITY_PREFIX = "urn:sigap:agent:"

TOKEN_REFUSED = "This token is not valid (any more). Ask for a new one."
"""What every refused token is told, whatever the reason: a stranger learns nothing."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an enrolment token carries: 256 secret bits, the SHA-256 of the authority's certificate, and where to go."""

    secret: bytes
    pin: bytes
    address: str  # host:port of the enrolment service

    def text(self) -> str:
        """The one word that a person copies; its last four bytes tell a damaged copy from a wrong one."""
        body = self.secret + self.pin + self.address.encode()
        return TOKEN_PREFIX + base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")

    @property
    def secret_hash(self) -> str:
        """SHA-256 of the secret, hex: all that is ever stored."""
        return hashlib.sha256(self.secret).hexdigest()


def read_token(text: str) -> Token:
    """The token that `text` spells.

    Raises:
        InvalidInput: Not a token, or one that was not copied whole. The text is not repeated in the message.
    """
    encoded = text.strip().removeprefix(TOKEN_PREFIX)
    if encoded == text.strip():
        raise InvalidInput(
            "This is not an enrolment token.", hint=Message("A token starts with {prefix}", prefix=TOKEN_PREFIX)
        )
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        body, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
        address = body[SECRET_BYTES + PIN_BYTES :].decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("The enrolment token is damaged.", hint="Copy it whole, on one line.") from error
    if not address or check != _check(body):
        raise InvalidInput("The enrolment token is damaged.", hint="Copy it whole, on one line.")
    return Token(body[:SECRET_BYTES], body[SECRET_BYTES : SECRET_BYTES + PIN_BYTES], address)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECK_BYTES]


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What the store knows of a token; times are Unix milliseconds, UTC."""

    id: str
    host_name: str  # empty: any host
    created_by: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    agent_id: str | None = None

    def state(self, now_ms: int) -> str:
        """`used`, `expired` or `open`; a token is expired from `expires_ms` on."""
        if self.used_ms is not None:
            return "used"
        return "expired" if now_ms >= self.expires_ms else "open"

    def fits(self, host_name: str) -> bool:
        """Whether this host may use it: bound to no host, or to this one; letter case does not count."""
        return not self.host_name or self.host_name == host_label(host_name)


def why_refused(record: TokenRecord | None, host_name: str, now_ms: int) -> str:
    """Why a token is not taken, for the log only: `unknown`, `used`, `expired`, `wrong host`; empty when it is good."""
    if record is None:
        return "unknown"
    if (state := record.state(now_ms)) != "open":
        return state
    return "" if record.fits(host_name) else "wrong host"


def reaches_only_here(address: str) -> bool:
    """Whether an address, as it is told to agents, leads every host to itself: loopback, or every address at once.

    >>> [reaches_only_here(each) for each in ("127.0.0.1:8422", "localhost:1", "[::]:8422", "collector.example:8422")]
    [True, True, True, False]
    """
    host = address.rpartition(":")[0].strip("[]").lower()
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return found.is_loopback or found.is_unspecified


def host_label(host_name: str) -> str:
    """The host name as tokens are bound to it: lower case, without the closing dot.

    Raises:
        InvalidInput: Too long, or with characters that no host name has.
    """
    label = host_name.strip().rstrip(".").lower()
    if len(label) > HOST_NAME_MAX or not all(
        character.isascii() and (character.isalnum() or character in "-_.") for character in label
    ):
        raise InvalidInput(
            "The host name is not valid.",
            fields={"host_name": Message("Letters, digits, '-', '_' and '.', at most {count}.", count=HOST_NAME_MAX)},
        )
    return label


class Profile(NamedTuple):
    """What a certificate may be used for and how long; nothing of it comes from who asks for it."""

    life_ms: int
    usage: str  # extended key usage: client, server; empty for the authority
    is_authority: bool = False


AUTHORITY = Profile(AUTHORITY_LIFE_MS, "", is_authority=True)
SERVER = Profile(SERVER_LIFE_MS, "server")
AGENT = Profile(AGENT_LIFE_MS, "client")


def renewal_due(not_before_ms: int, not_after_ms: int, now_ms: int) -> bool:
    """Whether two thirds of a certificate's life are over; from then on it is renewed."""
    return now_ms >= not_before_ms + (not_after_ms - not_before_ms) * 2 // 3


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate on the list of those let in, with the agent that it was given to."""

    fingerprint: str  # SHA-256 of the DER, hex
    agent_id: str
    host_id: int
    not_before_ms: int
    not_after_ms: int  # may lie before the certificate's own end: it was replaced
    revoked: bool


class Refusal(StrEnum):
    """Why a certificate is not let in; the value is the code on the wire and in logs."""

    NO_IDENTITY = "no_identity"
    NOT_LISTED = "certificate_not_listed"
    OTHER_AGENT = "certificate_of_another_agent"
    REVOKED = "revoked"
    NOT_YET_VALID = "certificate_not_yet_valid"
    EXPIRED = "certificate_expired"


ENROL_AGAIN = "Enrol this host again with a new token."
REFUSAL_WORDS: dict[Refusal, str] = {
    Refusal.NO_IDENTITY: f"The client certificate names no agent of this collector. {ENROL_AGAIN}",
    Refusal.NOT_LISTED: f"The collector did not issue this certificate, or has forgotten it. {ENROL_AGAIN}",
    Refusal.OTHER_AGENT: f"The certificate belongs to another agent than it names. {ENROL_AGAIN}",
    Refusal.REVOKED: "This agent was revoked on the collector. Its data stay in the spool; ask the administrator.",
    Refusal.NOT_YET_VALID: "The certificate is not valid yet. Check the clocks of this host and of the collector.",
    Refusal.EXPIRED: f"The certificate has expired. {ENROL_AGAIN}",
}


def judge(credential: Credential | None, agent_id: str, now_ms: int) -> Refusal | None:
    """Whether a certificate is let in; None lets it in.

    Args:
        credential: What the list says of the certificate's fingerprint; None when it is not on it.
        agent_id: The agent that the certificate names.
        now_ms: The collector's clock.

    Source:
        Issue §3; every use of a certificate, renewal included, asks here, so that none forgets revocation.
    """
    if credential is None:
        return Refusal.NOT_LISTED
    if credential.agent_id != agent_id:
        return Refusal.OTHER_AGENT
    if credential.revoked:
        return Refusal.REVOKED
    if now_ms < credential.not_before_ms:
        return Refusal.NOT_YET_VALID
    return Refusal.EXPIRED if now_ms >= credential.not_after_ms else None


PACE_PER_ADDRESS = Pace(rate=5, burst=20)
PACE_OF_ALL = Pace(rate=20, burst=100)
