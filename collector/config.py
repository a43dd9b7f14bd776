"""Every setting of the collector in one table: name, default, unit and help, read from file < environment < flag.

`SIGAP_WEB__ADDRESS` overrides `[web] address`. A secret may also be given as a file: `SIGAP_STORE__URL_FILE`. Starting
with a setting that is not known or not valid is refused, naming the setting, the value and what is accepted.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from collector.domain.errors import InvalidInput

PREFIX = "SIGAP_"
SEE = "`sigap check --settings` lists every setting."
CONTROL_SOCKET = "control.sock"
"""In the data directory: how the command line on this host reaches the running collector."""


def default_data() -> str:
    """The data directory unless somebody names another."""
    if given := os.environ.get("STATE_DIRECTORY"):  # By systemd; with DynamicUser= a link of its own.
        return str(Path(given.partition(":")[0]).resolve())
    if os.geteuid() == 0:
        return "/var/lib/sigap"
    return str(Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "sigap")


def _default_file() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/sigap/sigap.toml")
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "sigap" / "sigap.toml"


HOST_PORT = r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$"
LEVELS = "^(debug|info|warning|error)$"
MEANT = {HOST_PORT: "host:port, such as 127.0.0.1:8420", LEVELS: "debug, info, warning or error"}
"""Patterns in words."""
PORT_MOST = 65_535

Port = Annotated[str, Meta(pattern=HOST_PORT)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Minutes = Annotated[int, Meta(ge=1, le=10_080)]


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pages, REST and metrics."""

    address: Annotated[Port, Meta(description="Where pages, REST and /metrics are served.")] = "127.0.0.1:8420"
    public_url: Annotated[str, Meta(description="How people reach it; used in links and webhooks.")] = ""
    open_on_loopback: Annotated[
        bool, Meta(description="Let programs on this host read /metrics, /federate and discovery without a token.")
    ] = False
    session_idle_minutes: Annotated[Minutes, Meta(description="A session ends after this long without a request.")] = 30
    session_minutes: Annotated[Minutes, Meta(description="A session ends after this long in any case.")] = 720
    certificate: Annotated[str, Meta(description="PEM file for HTTPS; empty serves HTTP.")] = ""
    key: Annotated[str, Meta(description="PEM file of the certificate's key.")] = ""


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where agents deliver, by mutual TLS."""

    address: Annotated[Port, Meta(description="Where agents deliver.")] = "127.0.0.1:8421"
    advertise: Annotated[str, Meta(description="host:port told to agents; empty means `address`.")] = ""
    linger_milliseconds: Annotated[
        int, Meta(ge=0, le=1_000, description="How long accepted batches wait for others to share their commit.")
    ] = 20


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where new agents exchange a token for a certificate."""

    address: Annotated[Port, Meta(description="Where new agents enrol.")] = "127.0.0.1:8422"
    advertise: Annotated[str, Meta(description="host:port put into tokens; empty means `address`.")] = ""
    names: Annotated[
        list[str], Meta(description="Further names and addresses that the server certificate is valid for.")
    ] = []


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where everything is kept, and for how long."""

    data: Annotated[str, Meta(description="Directory of the database, keys and certificates.")] = ""
    url: Annotated[
        str,
        Meta(
            description="Database; empty means SQLite in the data directory.",
            examples=["postgresql+psycopg://sigap@db/sigap"],
            extra={"secret": True},
        ),
    ] = ""
    raw_days: Annotated[Days, Meta(description="How long raw samples are kept.")] = 15
    five_minute_days: Annotated[Days, Meta(description="How long 5-minute rollups are kept.")] = 90
    hour_days: Annotated[Days, Meta(description="How long hourly rollups are kept.")] = 1_095

    @property
    def database_url(self) -> str:
        """The database's address with the default filled in."""
        return self.url or f"sqlite:///{Path(self.data) / 'sigap.db'}"


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where notifications may go, and how long a start is no news."""

    allowed_networks: Annotated[
        list[str],
        Meta(description="Private networks that webhooks may reach, as CIDR; public addresses always may."),
    ] = []
    start_grace_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=3_600,
            description="After a start of the collector nobody is called silent for this long, unless heard since.",
        ),
    ] = 90


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to standard error."""

    level: Annotated[str, Meta(pattern=LEVELS, description="Least level that is logged.")] = "info"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them."""

    web: Web = Web()
    telemetry: Telemetry = Telemetry()
    enrolment: Enrolment = Enrolment()
    store: Store = Store()
    alerts: Alerts = Alerts()
    log: Log = Log()

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.store.data)

    @property
    def url(self) -> str:
        """How people reach the web UI, without a slash at the end."""
        scheme = "https" if self.web.certificate else "http"
        return (self.web.public_url or f"{scheme}://{self.web.address}").rstrip("/")


class Row(NamedTuple):
    """One line of the settings table."""

    section: str
    name: str
    value: Any
    default: Any
    help: str
    secret: bool

    @property
    def environment(self) -> str:
        """The environment variable that overrides it."""
        return f"{PREFIX}{self.section}__{self.name}".upper()


def table(settings: Settings | None = None) -> Iterator[Row]:
    """Every setting with its effective value; the value of a secret is only said to be set."""
    settings = settings or Settings()
    for section in Settings.__struct_fields__:
        values, defaults = getattr(settings, section), getattr(Settings(), section)
        hints = get_type_hints(type(values), include_extras=True)
        for name in values.__struct_fields__:
            description, secret = _description(hints[name])
            value = getattr(values, name)
            shown = ("set" if value else "not set") if secret else value
            yield Row(section, name, shown, getattr(defaults, name), description, secret)


def load(path: Path | None = None, environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """The effective settings; `flags` are named `section__name` and win over everything.

    Raises:
        InvalidInput: A setting is unknown or its value not accepted; says which, and what would be.
    """
    environment = os.environ if environment is None else environment
    tree = _read(path)
    for name, value in _overrides(environment):
        section, _, key = name.partition("__")
        tree.setdefault(section, {})[key] = _from_text(value)
    for name, value in flags.items():
        if value is not None:
            section, _, key = name.partition("__")
            tree.setdefault(section, {})[key] = value
    if not tree.get("store", {}).get("data"):
        tree.setdefault("store", {})["data"] = default_data()
    _refuse_unknown(tree)
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise InvalidInput(_told(str(error)), hint=SEE) from error
    _validate(settings)
    return settings


def _refuse_unknown(tree: Mapping[str, Any]) -> None:
    known = {section: getattr(Settings(), section).__struct_fields__ for section in Settings.__struct_fields__}
    for section, values in tree.items():
        if section not in known:
            raise InvalidInput(f"[{section}] is no section of the settings; there are: {', '.join(known)}.", hint=SEE)
        for name in values:
            if name not in known[section]:
                accepted = ", ".join(known[section])
                raise InvalidInput(f"{section}.{name} is no setting; [{section}] has: {accepted}.", hint=SEE)


def _told(error: str) -> str:
    """What msgspec found, with our names; the value is left out, as it may be a secret."""
    what, _, where = error.partition(" - at `$.")
    for pattern, words in MEANT.items():
        what = what.replace(f"Expected `str` matching regex {pattern!r}", f"expected {words}")
    return f"The setting {where.rstrip('`')} is not accepted: {what}."


def _validate(settings: Settings) -> None:
    for name in ("web", "telemetry", "enrolment"):
        address: str = getattr(settings, name).address
        if int(address.rpartition(":")[2]) > PORT_MOST:
            raise InvalidInput(f"{name}.address is {address}: there is no port above {PORT_MOST}.")
    for text in settings.alerts.allowed_networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise InvalidInput(
                f"alerts.allowed_networks: {text!r} is not a network: {error}", hint="Write for example 10.0.0.0/8."
            ) from error
    if bool(settings.web.certificate) != bool(settings.web.key):
        raise InvalidInput("web.certificate and web.key belong together: set both or neither.")


def _read(path: Path | None) -> dict[str, dict[str, Any]]:
    chosen = path or _default_file()
    if not chosen.exists():
        if path is not None:
            raise InvalidInput(f"The settings file {path} does not exist.", hint=SEE)
        return {}
    try:
        tree = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"The settings file {chosen} cannot be read: {error}", hint=SEE) from error
    for section, values in tree.items():
        if not isinstance(values, dict):
            raise InvalidInput(f"{chosen}: {section} must be a section: write [{section}] above its settings.")
    return tree


def _overrides(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if not name.startswith(PREFIX) or "__" not in name or name.startswith(f"{PREFIX}AGENT_"):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key.endswith("_file"):
            try:
                yield key.removesuffix("_file"), Path(value).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise InvalidInput(f"{name} names a file that cannot be read: {error}") from error
        else:
            yield key, value


def _from_text(value: str) -> Any:
    """A value from the environment: TOML where it parses as such (numbers, booleans, lists), else the text itself."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _description(hint: Any) -> tuple[str, bool]:
    description, secret = "", False
    for item in getattr(hint, "__metadata__", ()):
        if isinstance(item, Meta):
            description = item.description or description
            secret = secret or bool((item.extra or {}).get("secret"))
    return description, secret
