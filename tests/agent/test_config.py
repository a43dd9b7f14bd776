from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.config import Config, ConfigError
from agent.version import VERSION

YAML = """
collector: {address: "collector.example:8421"}
labels: {site: jakarta}
host:
  probes:
    cpu: {interval_seconds: 5}
    timex: {enabled: false}
checks:
  - name: shop
    kind: http
    url: https://shop.example/health
    status: [200-299, 304]
  - {name: backup, kind: file, path: "/var/backups/*.gz", maximum_age_seconds: 93600}
"""
TOML = """
labels = {site = "jakarta"}
collector.address = "collector.example:8421"

[host.probes]
cpu = {interval_seconds = 5}
timex = {enabled = false}

[[checks]]
name = "shop"
kind = "http"
url = "https://shop.example/health"
status = ["200-299", 304]

[[checks]]
name = "backup"
kind = "file"
path = "/var/backups/*.gz"
maximum_age_seconds = 93600
"""


def loaded(tmp_path: Path, text: str, name: str = "agent.yaml", **environment: str) -> Config:
    path = tmp_path / name
    path.write_text(text)
    return config.load(path, environment)


def problems(tmp_path: Path, text: str, name: str = "agent.yaml", **environment: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, name, **environment)
    return caught.value.problems


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    from_yaml = loaded(tmp_path, YAML)
    from_toml = loaded(tmp_path, TOML, "agent.toml")
    assert from_yaml.file == from_toml.file or from_yaml.checks == from_toml.checks
    assert [check.name for check in from_yaml.checks] == ["shop", "backup"]
    assert from_yaml.probe("cpu").interval_seconds == 5
    assert not from_yaml.probe("timex").enabled
    assert from_yaml.probe("meminfo").enabled


def test_no_file_and_no_environment_is_a_configuration(tmp_path: Path) -> None:
    found = config.load(None, {"CONFIGURATION_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/private/x"})
    assert found.path is None
    assert found.checks == ()
    assert found.host_name == os.uname().nodename
    assert found.state_directory == Path("/var/lib/private/x")
    assert found.file.central_checks == "deny"


def test_link_that_systemd_makes_for_a_dynamic_user_is_followed(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "sigap-agent").symlink_to("private")
    found = config.load(None, {"STATE_DIRECTORY": f"{tmp_path}/sigap-agent"})
    assert found.state_directory == tmp_path / "private"


def test_empty_file_is_a_configuration(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").checks == ()
    assert loaded(tmp_path, "", "agent.toml").checks == ()


def test_file_is_found_where_systemd_or_the_user_keeps_it(tmp_path: Path) -> None:
    assert config.find({"CONFIGURATION_DIRECTORY": str(tmp_path)}) is None
    (tmp_path / "agent.yaml").write_text(YAML)
    assert config.find({"CONFIGURATION_DIRECTORY": str(tmp_path)}) == tmp_path / "agent.yaml"
    assert len(config.load(None, {"CONFIGURATION_DIRECTORY": str(tmp_path)}).checks) == 2
    assert len(config.load(None, {"SIGAP_AGENT_CONFIG": str(tmp_path / "agent.yaml")}).checks) == 2


def test_folders_are_the_systems_for_root_and_the_users_otherwise() -> None:
    environment = {"HOME": "/home/sari", "XDG_STATE_HOME": "/home/sari/.state"}
    expected = "/var/lib/sigap-agent" if os.geteuid() == 0 else "/home/sari/.state/sigap-agent"
    assert config.state_directory(environment) == Path(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colector: {}", "colector: unknown key; accepted: central_checks, checks, collector"),
        ("collector: {adress: x}", "collector.adress: unknown key; accepted: address"),
        ("host: {probes: {cpu: {interval: 5}}}", "host.probes.cpu.interval: unknown key; accepted: enabled"),
        ("host: {probes: {cpuu: {}}}", "host: unknown host probe cpuu; accepted: arp, conntrack, cpu"),
        (
            "host: {probes: {cpu: {interval_seconds: 0}}}",
            "host.probes[...].interval_seconds: expected a number of seconds",
        ),
        ("discovery: {interval_seconds: 5m}", "discovery.interval_seconds: expected a number of seconds, not '5m'"),
        ("central_checks: maybe", "central_checks: unknown: 'maybe'; accepted: allow, deny"),
        ("labels: {instance: x}", "labels: instance cannot be set"),
        ("labels: {a-b: x}", "labels"),
        ("collector: {address: nowhere}", "collector: 'nowhere' has no port"),
        ("checks: [{name: a, kind: tcp, address: 'a:1', intervall: 3}]", "checks[0].intervall: unknown key"),
        ("checks: {}", "checks: expected a list, not a section"),
        ("- a", "expected sections with keys at the top"),
        ("collector: {address: 1", "no YAML: line 1, column"),
        ("labels: {a: x, a: y}", "no YAML: line 1, column 16: key 'a' given twice"),
        ("a: !!python/object/apply:os.system ['true']", "no YAML: line 1, column 4"),
    ],
)
def test_mistake_is_named_with_its_place_and_what_is_accepted(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(expected), found[0]


def test_all_unknown_keys_and_all_bad_checks_are_told_at_once(tmp_path: Path) -> None:
    text = """
    labels: {}
    colour: red
    checks:
      - {name: a, kind: tcp}
      - {name: b, kind: nothing}
      - {name: c, kind: tcp, address: "c:1"}
      - {name: c, kind: tcp, address: "c:2"}
    """
    assert [text.partition(":")[0] for text in problems(tmp_path, text)] == [
        "colour",
        "checks[0]",
        "checks[1].kind",
        "checks",
    ]


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    assert "line 2" in problems(tmp_path, "a = 1\nb = = 2\n", "agent.toml")[0]


@pytest.mark.parametrize("name", ["agent.json", "agent"])
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str) -> None:
    assert "accepted: .toml, .yaml, .yml" in problems(tmp_path, "{}", name)[0]


def test_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.yaml", {})


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        YAML,
        SIGAP_AGENT_COLLECTOR__ADDRESS="other.example:1",
        SIGAP_AGENT_LABELS__ROLE="web",
        SIGAP_AGENT_HOST__PROBES__VMSTAT__ENABLED="false",
        SIGAP_AGENT_DISCOVERY__INTERVAL_SECONDS="60",
        SIGAP_AGENT_CENTRAL_CHECKS="allow",
        PATH="/bin",
    )
    assert found.file.collector.address == "other.example:1"
    assert found.file.labels == {"site": "jakarta", "role": "web"}
    assert not found.probe("vmstat").enabled
    assert found.file.discovery.interval_seconds == 60
    assert found.file.central_checks == "allow"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SIGAP_AGENT_COLECTOR__ADDRESS", "x", "names no setting; accepted: SIGAP_AGENT_CENTRAL_CHECKS"),
        ("SIGAP_AGENT_CHECKS", "[]", "names no setting"),
        ("SIGAP_AGENT_LABELS", "{}", "names no setting"),
        ("SIGAP_AGENT_DISCOVERY__INTERVAL_SECONDS", "soon", "'soon' cannot be used"),
        ("SIGAP_AGENT_ENROLMENT__TOKEN_FILE", "/nowhere", "cannot read /nowhere"),
    ],
)
def test_variable_that_cannot_be_meant_is_refused(tmp_path: Path, variable: str, value: str, words: str) -> None:
    found = problems(tmp_path, YAML, **{variable: value})
    assert found[0].startswith(variable)
    assert words in found[0]


def test_secret_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("geheim\n")
    text = YAML + "  - {name: api, kind: http, url: 'http://a/?key=geheim', headers: {X-Key: geheim}, body: geheim}\n"
    found = loaded(tmp_path, text, SIGAP_AGENT_ENROLMENT__TOKEN_FILE=str(secret))
    assert found.file.enrolment.token == "geheim"
    shown: dict[str, Any] = found.shown()
    assert "geheim" not in json.dumps(shown)
    assert shown["enrolment"]["token"] == "(hidden)"
    assert shown["host"]["probes"]["cpu"] == {"enabled": True, "interval_seconds": 5.0}
    assert shown["checks"][0]["options"] == {"url": "https://shop.example/health", "status": ["200-299", 304]}


def test_version_is_the_packages() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
