"""The collector's command line: what it prints, how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from collector.__main__ import EXIT_FAILED, EXIT_USAGE, cli


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


SERVING = {"aiohttp", "alembic", "asyncio", "collector.app", "collector.demo", "grpc", "jinja2", "numpy", "sqlalchemy"}
"""What only a running collector needs; importing it takes over a second."""


def test_help_has_examples() -> None:
    assert "sigap apply --dry-run services.yaml" in run("--help").output


COMMANDS = sorted(
    (name, *([inner] if inner else []))
    for name, command in cli.commands.items()
    for inner in (command.commands if isinstance(command, click.Group) else [""])
)


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_fits_a_terminal(names: tuple[str, ...]) -> None:
    told = run(*names, "--help").output
    assert f"sigap {' '.join(names)}" in told.partition("Example")[2]
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--help"], ["apply", "--data", "/nowhere", "/dev/null"], ["check"]])
def test_what_does_not_serve_starts_without_the_collector(arguments: list[str]) -> None:
    script = (
        "import atexit, sys; from collector.entry import main;"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr));"
        "sys.argv = ['sigap', *sys.argv[1:]]; main()"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "collector.commands" in loaded
    assert not SERVING & loaded


def test_settings_are_listed_with_value_and_meaning(tmp_path: Path) -> None:
    told = json.loads(run("check", "--settings", "--json", "--data", str(tmp_path), SIGAP_STORE__RAW_DAYS="3").output)
    found = {f"{row['section']}.{row['name']}": row for row in told}
    assert found["store.raw_days"]["value"] == 3
    assert found["store.raw_days"]["environment"] == "SIGAP_STORE__RAW_DAYS"
    assert all(row["help"] for row in told)


def test_a_secret_setting_is_only_said_to_be_set(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://sigap:canary@db/sigap\n")
    told = run("check", "--settings", "--json", SIGAP_STORE__URL_FILE=str(secret)).output
    assert "canary" not in told
    assert '"set"' in told


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SIGAP_WEB__ADRESS": "x:1"}, "adress"),
        ({"SIGAP_STORE__RAW_DAYS": "many"}, "raw_days"),
        ({"SIGAP_WEB__ADDRESS": "no port"}, "web.address"),
        ({"SIGAP_ALERTS__ALLOWED_NETWORKS": '["10.0.0.0/33"]'}, "10.0.0.0/33"),
        ({"SIGAP_WEB__CERTIFICATE": "/x.pem"}, "web.key"),
        ({"SIGAP_STORE__URL_FILE": "/does/not/exist"}, "SIGAP_STORE__URL_FILE"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_nothing_starts(environment: dict[str, str], told: str) -> None:
    result = run("check", **environment)
    assert result.exit_code == EXIT_USAGE
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_settings_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sigap.toml"
    path.write_text("[web\n")
    result = run("check", "--config", str(path))
    assert (result.exit_code, str(path) in result.stderr) == (EXIT_USAGE, True)


def test_without_a_running_collector_commands_say_what_to_do(tmp_path: Path) -> None:
    result = run("agents", "--data", str(tmp_path))
    assert result.exit_code == EXIT_FAILED
    assert "No collector answers at" in result.stderr
    assert "--data" in result.stderr


def test_up_refuses_to_open_to_others_what_needs_no_password(tmp_path: Path) -> None:
    result = run("up", "--data", str(tmp_path), "--web", "0.0.0.0:8420")
    assert result.exit_code == EXIT_USAGE
    assert "sigap serve" in result.stderr


def test_migrate_makes_the_tables_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    first, second = run("migrate", "--data", str(tmp_path)), run("migrate", "--data", str(tmp_path))
    assert "Applied" in first.output
    assert "current" in second.output
