"""The command line of the collector and its operator: tables for people, `--json` for programs.

Reads arguments, composes, prints. Exit codes: 0 done, 1 failed, 2 cannot be used as given, 70 the database failed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from collector import config, up
from collector.app import Collector
from collector.domain.errors import CollectorError, InvalidInput, StoreBroken

LOOPBACK = ["127.0.0.0/8", "::1/128"]
EXIT_FAILED, EXIT_USAGE, EXIT_STORE = 1, 2, 70

EXAMPLES = """
\b
Examples:
  sigap up                              collector, agent and web UI on this host
  sigap demo                            a filled instance with simulated hosts
  sigap serve --config /etc/sigap/sigap.toml
  sigap check --settings                every setting with its value and meaning
  sigap apply --dry-run services.yaml   what would change
"""


class Failure(click.ClickException):
    """One of our errors, as one clear message."""

    def __init__(self, error: CollectorError) -> None:
        super().__init__(error.message)
        self.error = error
        codes = {StoreBroken: EXIT_STORE, InvalidInput: EXIT_USAGE}
        self.exit_code = codes.get(type(error), EXIT_FAILED)  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print what failed and what to do next."""
        del file
        print(f"sigap: {self.error.message}", file=sys.stderr)
        for name, text in getattr(self.error, "fields", {}).items():
            print(f"  {name}: {text}", file=sys.stderr)
        if self.error.hint:
            print(f"  {self.error.hint}", file=sys.stderr)


class Group(click.Group):
    """Commands whose errors are told, not traced."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CollectorError as error:
            raise Failure(error) from error


@click.group(cls=Group, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sigap", prog_name="sigap")
def cli() -> None:
    """Sigap: service management that measures instead of asking."""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--data", type=click.Path(path_type=Path), help="Directory of database and keys.")(command)
    return click.option(
        "--config", "file", type=click.Path(path_type=Path), help="Settings file (TOML); see `sigap check --settings`."
    )(command)


def _run(work: Callable[[], Coroutine[Any, Any, None]], settings: config.Settings) -> None:
    logging.basicConfig(
        level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    asyncio.run(work())


@cli.command("up")
@_shared
@click.option("--web", metavar="HOST:PORT", help="Where to serve the web UI (loopback).")
@click.option("--browser/--no-browser", default=False, help="Open the page in a browser.")
def up_command(file: Path | None, data: Path | None, web: str | None, browser: bool) -> None:
    """Run collector, agent, database and web UI on this host.

    \b
    Example:
      sigap up --data ./var
    """
    settings = config.load(
        file,
        store__data=str(data) if data else None,
        web__address=web,
        web__open_on_loopback=True,
        alerts__allowed_networks=LOOPBACK,
        log__level="warning",
    )
    up.require_loopback(settings.web.address, "web.address")

    async def work() -> None:
        await up.up(Collector(settings), browser=browser)

    _run(work, settings)


@cli.command("serve")
@_shared
def serve_command(file: Path | None, data: Path | None) -> None:
    """Run the collector alone, as a service.

    \b
    Example:
      sigap serve --config /etc/sigap/sigap.toml
    """
    settings = config.load(file, store__data=str(data) if data else None)

    async def work() -> None:
        await up.serve(Collector(settings))

    _run(work, settings)


@cli.command("check")
@_shared
@click.option("--settings", "show", is_flag=True, help="List every setting with its value and meaning.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check_command(file: Path | None, data: Path | None, show: bool, as_json: bool) -> None:
    """Check the settings without starting anything.

    \b
    Example:
      SIGAP_WEB__ADDRESS=0.0.0.0:8420 sigap check --settings
    """
    settings = config.load(file, store__data=str(data) if data else None)
    rows = list(config.table(settings))
    if as_json:
        _json([row._asdict() | {"environment": row.environment} for row in rows])
        return
    if show:
        columns = ("setting", "value", "environment", "meaning")
        _table(columns, [(f"{r.section}.{r.name}", str(r.value), r.environment, r.help) for r in rows])
        return
    click.echo("The settings are accepted.")


def _json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


def main() -> None:
    """The `sigap` command."""
    cli(prog_name="sigap")


if __name__ == "__main__":
    main()
