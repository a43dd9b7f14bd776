"""What a check that is defined here may be and say: its kinds, their options, and what each option takes.

As strict as the agents, which read the same options by their own code and refuse whatever else a collector says: other
kinds and options look into the host and are for the agent's own file. A test holds the two to each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from collector.domain.registers import targets
from collector.domain.registers.compound import Setting
from collector.domain.registers.kinds import CONTROL, Enum, Integer, Kind, Number, Refused
from collector.domain.registers.words import Words, choices

LINE_CHARACTERS = 500
_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?")
_STATUS = re.compile(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
NOT_TEXT = Words("must be text", "harus berupa teks")
MISSING = Words("is required: what to look at", "wajib diisi: yang diperiksa")
UNKNOWN = Words("is unknown; accepted: {0}", "tidak dikenal; yang diterima: {0}")
NO_NUMBER = Words("must be a number such as 14 or 0.5", "harus berupa bilangan seperti 14 atau 0.5")


class _Line(Kind):
    """One line of text, as it is."""

    def parse(self, given: Any) -> Any:
        if not isinstance(given, str):
            raise Refused(NOT_TEXT, NOT_TEXT.to("id"))
        if len(given) > LINE_CHARACTERS or CONTROL.search(given):
            raise Refused(
                f"must be text of at most {LINE_CHARACTERS} characters",
                f"harus teks, paling banyak {LINE_CHARACTERS} karakter",
            )
        return given


class _Lines(_Line):
    """Text of several lines, as it is."""

    widget: ClassVar[str] = "multiline"


class _URL(_Line):
    widget: ClassVar[str] = "url"

    def parse(self, given: Any) -> Any:
        return targets.url(_Line.parse(self, given))


@dataclass(frozen=True, slots=True)
class _Address(_Line):
    """host:port, or a host alone where the port is known anyway."""

    default_port: int | None = None
    may_be_empty: bool = False

    def parse(self, given: Any) -> Any:
        text = _Line.parse(self, given)
        return text if self.may_be_empty and not text else targets.address(text, needs_port=self.default_port is None)


class _Host(_Line):
    def parse(self, given: Any) -> Any:
        text = _Line.parse(self, given)
        return targets.host(text) if text else text


class _Name(_Line):
    def parse(self, given: Any) -> Any:
        return targets.domain_name(_Line.parse(self, given))


class _Unit(_Line):
    def parse(self, given: Any) -> Any:
        return targets.unit(_Line.parse(self, given))


class _Decimal(Number):
    """A number, or its decimal text."""

    def parse(self, given: Any) -> Any:
        if isinstance(given, str) and not _DECIMAL.fullmatch(given):
            raise Refused(NO_NUMBER, NO_NUMBER.to("id"))
        return Number.parse(self, given)


class _Whole(Integer):
    """A whole number, or its text."""

    def parse(self, given: Any) -> Any:
        if isinstance(given, float) or (isinstance(given, str) and not _WHOLE.fullmatch(given)):
            raise Refused("must be a whole number", "harus berupa bilangan bulat")
        return Integer.parse(self, given)


class _OneOf(Enum):
    """One of a few words."""

    def parse(self, given: Any) -> Any:
        if not isinstance(given, str) or given != given.strip():
            raise Refused(NOT_TEXT, NOT_TEXT.to("id"))
        return Enum.parse(self, given)


class _Several(Kind):
    """A list, or its items in one text with commas between them; not empty."""

    def parse(self, given: Any) -> Any:
        items = [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given
        if not isinstance(items, list) or not items:
            raise Refused("must be one or several, with commas between", "harus satu atau beberapa, dipisah koma")
        for item in items:
            self._judge(item)
        return given

    def _judge(self, item: Any) -> None:
        _Line().parse(item)

    def form(self, value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


class _Statuses(_Several):
    def _judge(self, item: Any) -> None:
        if isinstance(item, bool) or not isinstance(item, int | str) or not _STATUS.fullmatch(str(item)):
            raise Refused(
                f"'{item}' is neither a status code nor a range such as 200-299",
                f"'{item}' bukan kode status dan bukan rentang seperti 200-299",
            )


class _Headers(Kind):
    """Names and texts of HTTP headers."""

    widget: ClassVar[str] = "map"

    def parse(self, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise Refused("must be one name=value a line", "harus satu nama=nilai per baris")
        for name, value in given.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
                raise Refused(f"'{name}' cannot be set", f"'{name}' tidak dapat diatur")
            if not isinstance(value, str) or not value.isascii() or not value.isprintable():
                raise Refused(
                    f"'{name}' has characters that headers cannot carry",
                    f"'{name}' berisi karakter yang tidak dapat dibawa header",
                )
        return given

    def form(self, value: Any) -> str:
        return "\n".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, Mapping) else str(value)


def _days(name: str, english: str, indonesian: str, default: str) -> Setting:
    return Setting(name, Words(english, indonesian), _Decimal(0, 3_650), unit="d", default=default)


CERTIFICATE = (
    _days(
        "certificate_degraded_days",
        "Degraded when the certificate ends within",
        "Terganggu bila sertifikat berakhir dalam",
        "14",
    ),
    _days("certificate_down_days", "Down when the certificate ends within", "Mati bila sertifikat berakhir dalam", "0"),
)
PAUSE = Setting(
    "retry_interval_seconds",
    Words("Pause between attempts", "Jeda antarpercobaan"),
    _Decimal(0, 600),
    unit="s",
    default="1",
)

HTTP = (
    Setting(
        "url",
        Words("URL", "URL"),
        _URL(),
        Words("For example https://shop.example/", "Misalnya https://toko.example/"),
        required=True,
    ),
    Setting(
        "method",
        Words("Method", "Metode"),
        _OneOf(choices(**{name: (name, name) for name in ("GET", "HEAD", "POST", "PUT", "OPTIONS")})),
        default="GET",
    ),
    Setting(
        "status",
        Words("Expected status", "Status yang diharapkan"),
        _Statuses(),
        Words("Codes and ranges, with commas between.", "Kode dan rentang, dipisah koma."),
        default="200-299",
    ),
    Setting(
        "contains",
        Words("Body contains", "Isi memuat"),
        _Line(),
        Words("Text that must be in the answer.", "Teks yang harus ada dalam jawaban."),
    ),
    Setting(
        "lacks",
        Words("Body lacks", "Isi tidak memuat"),
        _Line(),
        Words("Text that must not be in the answer.", "Teks yang tidak boleh ada dalam jawaban."),
    ),
    Setting("redirects", Words("Redirects followed", "Pengalihan yang diikuti"), _Whole(0, 10), default="5"),
    Setting(
        "headers",
        Words("Request headers", "Header permintaan"),
        _Headers(),
        Words("One name=value a line.", "Satu nama=nilai per baris."),
    ),
    Setting("body", Words("Request body", "Isi permintaan"), _Lines()),
    *CERTIFICATE,
    Setting(
        "address_family",
        Words("Address family", "Keluarga alamat"),
        _OneOf(
            choices(
                any=("IPv4 or IPv6", "IPv4 atau IPv6"),
                ipv4=("IPv4 only", "Hanya IPv4"),
                ipv6=("IPv6 only", "Hanya IPv6"),
            )
        ),
        default="any",
    ),
)
TCP = (
    Setting(
        "address",
        Words("Address", "Alamat"),
        _Address(),
        Words("host:port, for example db.example:5432", "host:port, misalnya db.example:5432"),
        required=True,
    ),
    Setting(
        "send",
        Words("Send", "Kirim"),
        _Lines(),
        Words("Sent once the connection is open.", "Dikirim setelah sambungan terbuka."),
    ),
    Setting(
        "expect",
        Words("Expect", "Harapkan"),
        _Line(),
        Words("Text that must be in the answer.", "Teks yang harus ada dalam jawaban."),
    ),
)
DNS = (
    Setting(
        "query",
        Words("Name", "Nama"),
        _Name(),
        Words("What is asked for, for example shop.example", "Yang ditanyakan, misalnya toko.example"),
        required=True,
    ),
    Setting(
        "record",
        Words("Record", "Record"),
        _OneOf(choices(**{name: (name, name) for name in ("A", "AAAA", "CNAME", "MX", "NS", "TXT")})),
        default="A",
    ),
    Setting(
        "server",
        Words("Server", "Server"),
        _Address(default_port=53, may_be_empty=True),
        Words("Empty: the host's own resolver.", "Kosong: resolver milik host."),
    ),
    Setting(
        "expect",
        Words("Expected records", "Record yang diharapkan"),
        _Several(),
        Words("Must be among the answers; with commas between.", "Harus ada di antara jawaban; dipisah koma."),
    ),
    Setting(
        "code",
        Words("Expected code", "Kode yang diharapkan"),
        _OneOf(choices(**{name: (name, name) for name in ("NOERROR", "NXDOMAIN", "REFUSED")})),
        default="NOERROR",
    ),
)
TLS = (
    Setting(
        "address",
        Words("Address", "Alamat"),
        _Address(default_port=443),
        Words("host or host:port, for example shop.example", "host atau host:port, misalnya toko.example"),
        required=True,
    ),
    Setting(
        "server_name",
        Words("Name on the certificate", "Nama pada sertifikat"),
        _Host(),
        Words("Empty: the host of the address.", "Kosong: host pada alamat."),
    ),
    *CERTIFICATE,
)
SYSTEMD = (
    Setting(
        "unit",
        Words("Unit", "Unit"),
        _Unit(),
        Words("For example nginx, backup.timer or getty@tty1", "Misalnya nginx, backup.timer, atau getty@tty1"),
        required=True,
    ),
)

KNOWN: Mapping[str, tuple[Setting, ...]] = {
    kind: (*settings, PAUSE)
    for kind, settings in {"http": HTTP, "tcp": TCP, "dns": DNS, "tls": TLS, "systemd": SYSTEMD}.items()
}
"""Kind → its options, the first of which is what it looks at."""


def problems(kind: str, options: Mapping[str, Any]) -> dict[str, Words]:
    """What an agent would refuse, by `options.<name>`; the kind must be one of `KNOWN`."""
    known = {setting.name: setting for setting in KNOWN[kind]}
    found = {f"options.{name}": UNKNOWN.fill(", ".join(known)) for name in sorted(options.keys() - known.keys())}
    for name, setting in known.items():
        if setting.required and not options.get(name):
            found[f"options.{name}"] = MISSING
        elif name in options:
            try:
                setting.kind.parse(options[name])
            except Refused as refused:
                found[f"options.{name}"] = refused.words
    return found
