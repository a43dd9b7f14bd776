"""The command line of the collector and its operator: tables for people, `--json` for programs.

Reads arguments, composes, prints. What serves is imported when it is to be served: `--help` and the commands that only
ask a running collector start at once. Exit codes: 0 done, 1 failed, 2 cannot be used as given, 70 the database failed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collector import commands, config, logs, printing
from collector.account_commands import account
from collector.domain.errors import CollectorError, InvalidInput, StoreBroken

if TYPE_CHECKING:
    import asyncio

LOOPBACK = ["127.0.0.0/8", "::1/128"]
PRIVATE_UMASK = 0o077
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
            print(f"  {self._placed(name)}: {text}", file=sys.stderr)
        if self.error.hint:
            print(f"  {self.error.hint}", file=sys.stderr)

    def _placed(self, name: str) -> str:
        """The field, after the place in a file where it stands."""
        place = getattr(self.error, "places", {}).get(name)
        return name if place is None else place


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
    import asyncio

    from collector.edges.connections import allow_open_files

    logs.set_up(settings.log.level)
    allow_open_files()
    # Whatever is made from here on – database, sockets, backups – is this account's alone.
    os.umask(PRIVATE_UMASK)
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        runner.run(work())


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of the extra `speed`, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _for_this_host(file: Path | None, data: Path | None, web: str | None, **more: Any) -> config.Settings:
    """Settings of an instance that only this host reaches, and that asks nobody to sign in."""
    settings = config.load(
        file,
        store__data=str(data) if data else None,
        web__address=web,
        web__open_on_loopback=True,
        alerts__allowed_networks=LOOPBACK,
        log__level="warning",
        **more,
    )
    _require_loopback(settings.web.address)
    return settings


def _require_loopback(address: str) -> None:
    """Refuse to open without a password what others could reach."""
    host = address.rpartition(":")[0].strip("[]")
    if host not in ("localhost", "::1") and not host.startswith("127."):
        raise InvalidInput(
            f"web.address is {address}, which others can reach; `sigap up` and `sigap demo` are for this host.",
            hint="Use `sigap serve` and set up an account.",
        )


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
    from collector import up
    from collector.app import Collector

    settings = _for_this_host(file, data, web)

    async def work() -> None:
        await up.up(Collector(settings), browser=browser)

    _run(work, settings)


@cli.command("demo")
@_shared
@click.option("--web", metavar="HOST:PORT", help="Where to serve the web UI (loopback).")
def demo_command(file: Path | None, data: Path | None, web: str | None) -> None:
    """Fill an instance with 20 simulated hosts, 8 services and a month of history, and keep it alive.

    \b
    Example:
      sigap demo                in a temporary directory, gone when it ends
    """
    from collector import demo
    from collector.app import Collector

    with tempfile.TemporaryDirectory(prefix="sigap-demo-") as scratch:
        settings = _for_this_host(file, data or Path(scratch), web, **demo.SETTINGS)
        settings = demo.beside_others(settings, fixed=("web",) if web else ())

        async def work() -> None:
            await demo.run(Collector(settings, simulated=True))

        _run(work, settings)


@cli.command("serve")
@_shared
def serve_command(file: Path | None, data: Path | None) -> None:
    """Run the collector alone, as a service.

    \b
    Example:
      sigap serve --config /etc/sigap/sigap.toml
    """
    from collector import up
    from collector.app import Collector

    settings = config.load(file, store__data=str(data) if data else None)

    async def work() -> None:
        await up.serve(Collector(settings))

    _run(work, settings)


@cli.command("check")
@_shared
@click.option("--settings", "show", is_flag=True, help="List every setting with its value and meaning.")
@printing.json_option
def check_command(file: Path | None, data: Path | None, show: bool, as_json: bool) -> None:
    """Check the settings without starting anything.

    \b
    Example:
      SIGAP_WEB__ADDRESS=0.0.0.0:8420 sigap check --settings
    """
    settings = config.load(file, store__data=str(data) if data else None)
    rows = list(config.table(settings))
    if as_json:
        printing.json_out([row._asdict() | {"environment": row.environment} for row in rows])
        return
    if show:
        for row in rows:
            click.echo(f"{row.section}.{row.name} = {json.dumps(row.value, ensure_ascii=False)}")
            click.echo(f"    {row.help} {row.environment}")
        return
    click.echo("The settings are accepted.")


@cli.command("migrate")
@_shared
@click.option("--generate", metavar="MESSAGE", help="Write the migration that the tables in the code need.")
def migrate_command(file: Path | None, data: Path | None, generate: str | None) -> None:
    """Bring the database to the newest tables; `sigap up` and `serve` do it by themselves.

    \b
    Example:
      sigap migrate --data /var/lib/sigap
    """
    from collector.store import migrations
    from collector.store.database import Database

    if generate is not None:
        click.echo(f"Wrote {migrations.generate(generate)}")
        return
    settings = config.load(file, store__data=str(data) if data else None)
    database = Database(settings.store.database_url)
    try:
        applied = migrations.migrate(database.engine)
    finally:
        database.close()
    click.echo(f"Applied {', '.join(applied)}." if applied else "The tables are current.")


for each in (*commands.COMMANDS, account):
    cli.add_command(each)


def main() -> None:
    """The `sigap` command."""
    cli(prog_name="sigap")


if __name__ == "__main__":
    main()
