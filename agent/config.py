"""Everything the agent can be told: one YAML or TOML file, overlaid by the environment, strict about both.

Without a file the agent watches its host and proposes checks. A key that nothing reads, a value that cannot be meant
and a name given twice are refused with where, what and what is accepted. Reads files and the environment it is given;
starts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from agent.probes import HOST_PROBES, endpoint
from agent.probes.check import Settings
from agent.probes.definition import (
    HIDDEN,
    Refused,
    accepted,
    describe,
    mapped_type,
    read,
    read_check,
    section_of,
    unknown_keys,
)

PREFIX = "SIGAP_AGENT_"
FILE_SUFFIX = "_FILE"
CONFIG_VARIABLE = "SIGAP_AGENT_CONFIG"
FILE_NAMES = ("agent.toml", "agent.yaml", "agent.yml")
FILE_BYTES = 4 * 1024 * 1024
MEBIBYTE = 1024 * 1024

Beat = Annotated[float, Meta(ge=1, le=86_400)]
LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")]
LabelValue = Annotated[str, Meta(max_length=256)]
RESERVED_LABELS = frozenset({"instance", "job", "check", "kind", "target"})


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file."""


class Collector(_Section, frozen=True, kw_only=True):
    """Where to deliver."""

    address: Annotated[str, Meta(description="host:port; empty: the address told at enrolment")] = ""

    def __post_init__(self) -> None:
        if self.address:
            endpoint.parse_endpoint(self.address)


class State(_Section, frozen=True, kw_only=True):
    """What the agent keeps on disk."""

    directory: Annotated[str, Meta(description="identity and spool; empty: chosen by who runs the agent")] = ""
    spool_limit_bytes: Annotated[int, Meta(ge=MEBIBYTE, description="the oldest is dropped and declared above it")] = (
        64 * MEBIBYTE
    )
    spool_keep_seconds: Annotated[float, Meta(ge=60, description="older measurements are dropped and declared")] = (
        7 * 86_400
    )


class Enrolment(_Section, frozen=True, kw_only=True):
    """How the agent gets its identity when it has none."""

    token: Annotated[str, Meta(description="one-time token; secret; used by `run` on its first start")] = ""
    address: Annotated[str, Meta(description="host:port to enrol at instead of the token's own")] = ""


class HostProbe(_Section, frozen=True, kw_only=True):
    """One host probe."""

    enabled: Annotated[bool, Meta(description="false switches the probe off")] = True
    interval_seconds: Annotated[Beat | None, Meta(description="its own beat")] = None


class Host(_Section, frozen=True, kw_only=True):
    """This host and how it is watched."""

    name: Annotated[str, Meta(max_length=253, description="what the host is called; empty: the kernel's name")] = ""
    root: Annotated[str, Meta(description="where the host's / is mounted, in a container")] = "/"
    textfile_directory: Annotated[str, Meta(description="*.prom files to read, as node_exporter does")] = ""
    probes: dict[str, HostProbe] = {}

    def __post_init__(self) -> None:
        unknown = self.probes.keys() - HOST_PROBES.keys()
        if unknown:
            raise ValueError(f"unknown host probe {', '.join(sorted(unknown))}; {accepted(HOST_PROBES)}")


class Discovery(_Section, frozen=True, kw_only=True):
    """Looking for what could be checked."""

    enabled: Annotated[bool, Meta(description="false: nothing is proposed")] = True
    interval_seconds: Beat = 300.0


class Log(_Section, frozen=True, kw_only=True):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class File(_Section, frozen=True, kw_only=True):
    """The whole file; its checks are read kind by kind."""

    collector: Collector = Collector()
    state: State = State()
    enrolment: Enrolment = Enrolment()
    host: Host = Host()
    discovery: Discovery = Discovery()
    log: Log = Log()
    labels: dict[LabelName, LabelValue] = {}
    central_checks: Literal["allow", "deny"] = "deny"
    checks: list[Any] = []

    def __post_init__(self) -> None:
        reserved = RESERVED_LABELS & self.labels.keys()
        if reserved:
            raise ValueError(f"labels: {', '.join(sorted(reserved))} cannot be set; the collector sets them")


SECRETS = (("enrolment", "token"),)


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration."""

    file: File
    checks: tuple[Settings, ...]
    path: Path | None
    state_directory: Path
    host_name: str

    @property
    def accepts_checks(self) -> bool:
        """Whether checks defined by the collector may run here."""
        return self.file.central_checks == "allow"

    def shown(self) -> dict[str, Any]:
        """Every value in effect, without secrets, ready for JSON."""
        values: dict[str, Any] = msgspec.to_builtins(self.file)
        for section, key in SECRETS:
            values[section][key] = HIDDEN if values[section][key] else ""
        values["state"]["directory"] = str(self.state_directory)
        values["host"]["name"] = self.host_name
        values["host"]["probes"] = {
            name: {
                "enabled": self.probe(name).enabled,
                "interval_seconds": self.probe(name).interval_seconds or entry.interval_seconds,
            }
            for name, entry in HOST_PROBES.items()
        }
        values["checks"] = [describe(settings, wire_id=f"local:{settings.name}") for settings in self.checks]
        return {"file": str(self.path) if self.path else None, **values}

    def probe(self, name: str) -> HostProbe:
        """What is said about a host probe."""
        return self.file.host.probes.get(name, HostProbe())


class ConfigError(Exception):
    """The configuration cannot be used; the text is everything a person needs to mend it."""

    def __init__(self, source: str, problems: tuple[str, ...] | list[str]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source} cannot be used:\n{lines}")
        self.problems = tuple(problems)


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read the file (the given one, else the one that is found) and the environment.

    Raises:
        ConfigError: Something in them cannot be used.
    """
    chosen = path or _named(environment) or find(environment)
    raw = parse(chosen) if chosen else {}
    source = str(chosen) if chosen else "The environment"
    try:
        problems = unknown_keys(File, raw, path="")
        overlay(raw, environment)
        file, checks = _read(raw, problems)
    except Refused as error:
        raise ConfigError(source, error.problems) from None
    directory = Path(file.state.directory) if file.state.directory else state_directory(environment)
    return Config(file, checks, chosen, directory, file.host.name or os.uname().nodename)


def _read(raw: dict[str, Any], problems: list[str]) -> tuple[File, tuple[Settings, ...]]:
    checks: list[Settings] = []
    definitions = raw.get("checks") or []
    for position, definition in enumerate(definitions if isinstance(definitions, list) else []):
        try:
            checks.append(read_check(definition, path=f"checks[{position}]"))
        except Refused as error:
            problems += error.problems
    names = [settings.name for settings in checks]
    problems += [f"checks: the name {name} is given twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise Refused(problems)
    return read(File, raw, path=""), tuple(checks)


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _named(environment: Mapping[str, str]) -> Path | None:
    return Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None


def find(environment: Mapping[str, str]) -> Path | None:
    """The file that is used when none is named; None when there is none."""
    folder = _folder(environment, "CONFIGURATION_DIRECTORY", "/etc/sigap", ("XDG_CONFIG_HOME", ".config", "sigap"))
    return next((folder / name for name in FILE_NAMES if (folder / name).exists()), None)


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where identity and spool are kept unless configured: given by systemd, else by who runs the agent."""
    user = ("XDG_STATE_HOME", ".local/state", "sigap-agent")
    folder = _folder(environment, "STATE_DIRECTORY", "/var/lib/sigap-agent", user)
    # With DynamicUser= what systemd gives is a link of its own to the real folder (systemd.exec(5)).
    return folder.resolve() if environment.get("STATE_DIRECTORY") else folder


def _folder(environment: Mapping[str, str], given: str, system: str, user: tuple[str, str, str]) -> Path:
    if environment.get(given):
        return Path(environment[given].partition(":")[0])
    if os.geteuid() == 0:
        return Path(system)
    variable, fallback, name = user
    base = environment.get(variable) or str(Path(environment.get("HOME") or "/") / fallback)
    return Path(base) / name


def parse(path: Path) -> dict[str, Any]:
    """The plain data of a file, by its suffix.

    Raises:
        ConfigError: It cannot be read.
    """
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise ConfigError(str(path), [f"its name ends in {path.suffix!r}; accepted: .toml, .yaml, .yml"])
    try:
        with path.open("rb") as stream:
            text = stream.read(FILE_BYTES + 1).decode()
    except OSError as error:
        raise ConfigError(str(path), [f"{error.strerror}; is the path right, and may this user read it?"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"not UTF-8 text: {error.reason} at byte {error.start}"]) from None
    if len(text) > FILE_BYTES:
        raise ConfigError(str(path), [f"longer than {FILE_BYTES} bytes"])
    raw = _toml(path, text) if path.suffix == ".toml" else _yaml(path, text)
    if not isinstance(raw, dict):
        raise ConfigError(str(path), ["expected sections with keys at the top"])
    return raw


def _toml(path: Path, text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"no TOML: {error}"]) from None


def _yaml(path: Path, text: str) -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        """Plain data only, and no key given twice: the second would silently win."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for position, key in enumerate(keys):
                if key in keys[:position]:
                    raise yaml.MarkedYAMLError(
                        problem=f"key {key!r} given twice", problem_mark=node.value[position][0].start_mark
                    )
            return super().construct_mapping(node, deep)

    loader = Strict(text)
    try:
        raw = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(str(path), [f"no YAML: {where}{error.problem}"]) from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), [f"no YAML: {error}"]) from None
    finally:
        loader.dispose()
    return {} if raw is None else raw


# ── the environment ─────────────────────────────────────────────────────────────────────────────────────────────────


def overlay(raw: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put `SIGAP_AGENT_SECTION__KEY` (or the content of the file in `…_FILE`) over what the file says.

    Raises:
        Refused: A variable names no key, or its value cannot be meant.
    """
    problems: list[str] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        try:
            _overlay_one(raw, variable, environment[variable])
        except Refused as error:
            problems += error.problems
    if problems:
        raise Refused(problems)


def _overlay_one(raw: dict[str, Any], variable: str, text: str) -> None:
    steps = variable.removeprefix(PREFIX).lower().split("__")
    try:
        annotation = _annotation(steps)
    except KeyError:
        if not variable.endswith(FILE_SUFFIX):
            raise Refused([f"{variable}: names no setting; {accepted(_variables())}"]) from None
        steps[-1] = steps[-1].removesuffix(FILE_SUFFIX.lower())
        try:
            annotation = _annotation(steps)
        except KeyError:
            raise Refused([f"{variable}: names no setting; {accepted(_variables())}"]) from None
        text = _content(variable, text)
    try:
        value = msgspec.convert(text, annotation, strict=False)
    except msgspec.ValidationError as error:
        shown = "its value" if tuple(steps) in SECRETS else repr(text)
        raise Refused([f"{variable}: {shown} cannot be used: {error}"]) from None
    section = raw
    for step in steps[:-1]:
        section = section.setdefault(step, {})
        if not isinstance(section, dict):
            raise Refused([f"{step}: expected a section with keys"])
    section[steps[-1]] = value


def _content(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused([f"{variable}: cannot read {path}: {getattr(error, 'strerror', None) or error}"]) from None


def _annotation(steps: list[str]) -> Any:
    """The type of the setting at a path; KeyError when there is none that text can set."""
    annotation: Any = File
    for step in steps:
        if section := section_of(annotation):
            annotation = {field.name: field.type for field in msgspec.structs.fields(section)}[step]
        elif (each := mapped_type(annotation)) is not None:
            annotation = each
        else:
            raise KeyError(step)
    if section_of(annotation) or get_origin(annotation) in (dict, list):
        raise KeyError(steps[-1])
    return annotation


def _variables() -> list[str]:
    names = []
    for field in msgspec.structs.fields(File):
        if section := section_of(field.type):
            inner = [(each.name, each.type) for each in msgspec.structs.fields(section)]
            names += [f"{field.name}__{name}" for name, kind in inner if get_origin(kind) is not dict]
        elif get_origin(field.type) is dict:
            names.append(f"{field.name}__<name>")
        elif get_origin(field.type) is Literal or not get_args(field.type):
            names.append(field.name)
    return [f"{PREFIX}{name.upper()}" for name in names]
