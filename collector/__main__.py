"""The command line of the collector and its operator: tables for people, `--json` for programs.

Reads arguments, composes, prints. Exit codes: 0 done, 1 failed, 2 cannot be used as given, 70 the database failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.table import Table

from collector import config, demo, logs, up
from collector.app import Collector
from collector.demo.run import run
from collector.domain.errors import CollectorError, InvalidInput, StoreBroken
from collector.remote import Remote
from collector.store import migrations
from collector.store.database import Database

LOOPBACK = ["127.0.0.0/8", "::1/128"]
WIDE = 1_000
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
    logs.set_up(settings.log.level)
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
    up.require_loopback(settings.web.address, "web.address")
    return settings


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
      sigap demo                            in a temporary directory, gone when it ends
    """
    with tempfile.TemporaryDirectory(prefix="sigap-demo-") as scratch:
        settings = _for_this_host(file, data or Path(scratch), web, **demo.SETTINGS)

        async def work() -> None:
            await run(Collector(settings, simulated=True))

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


def _remote(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--token", envvar="SIGAP_TOKEN", default="", help="API token, with --url.")(command)
    command = click.option("--url", envvar="SIGAP_URL", default="", help="A collector elsewhere.")(command)
    return click.option(
        "--data", type=click.Path(path_type=Path), help="Data directory of the collector on this host."
    )(command)


def _call(where: Mapping[str, Any], method: str, path: str, body: Any = None, *, text: str | None = None) -> Any:
    data = where["data"] or config.load(None).data
    remote = Remote(Path(data), url=where["url"], token=where["token"])
    return asyncio.run(remote.call(method, path, body, text=text))


@cli.command("apply")
@_remote
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("files", nargs=-1, required=True, type=click.File(encoding="utf-8"))
def apply_command(files: tuple[IO[str], ...], dry_run: bool, as_json: bool, **where: Any) -> None:
    """Create and change records as YAML documents say; all of them or none.

    \b
    Example:
      sigap apply --dry-run services.yaml
    """
    text = "\n---\n".join(stream.read() for stream in files)
    told = _call(where, "POST", f"/apply?dry_run={'true' if dry_run else 'false'}", text=text)
    if as_json:
        _json(told)
        return
    steps = [(one["register"], one["key"], ", ".join([one["action"], *one["transitions"]])) for one in told["steps"]]
    _table(("register", "key", "would do" if dry_run else "done"), steps)


@cli.command("export")
@_remote
@click.option("--register", "only", multiple=True, help="Only this register; may be given more than once.")
def export_command(only: tuple[str, ...], **where: Any) -> None:
    """Write every record as YAML documents, without secrets.

    \b
    Example:
      sigap export --register service > services.yaml
    """
    query = "&".join(f"register={name}" for name in only)
    click.echo(_call(where, "GET", f"/export?{query}"), nl=False)


@cli.command("sign-in")
@_remote
@click.argument("name")
def sign_in_command(name: str, **where: Any) -> None:
    """Print a one-time link that signs NAME in, for 15 minutes."""
    click.echo(_call(where, "POST", "/sign-in-links", {"name": name})["link"])


@cli.command("token")
@_remote
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True)
@click.option("--days", type=click.IntRange(1, 3650), help="When it expires; without it never.")
@click.argument("name")
def token_command(name: str, scope: str, days: int | None, **where: Any) -> None:
    """Make an API token and print it once.

    \b
    Example:
      sigap token prometheus > /etc/prometheus/sigap-token
    """
    click.echo(_call(where, "POST", "/tokens", {"name": name, "scope": scope, "days": days})["secret"])


@cli.command("enrol")
@_remote
@click.option("--host", "host_name", default="", help="Only this host may use it.")
def enrol_command(host_name: str, **where: Any) -> None:
    """Print the command that enrols the next host; it works once, for 15 minutes."""
    click.echo(_call(where, "POST", "/enrolment-tokens", {"host_name": host_name})["command"])


@cli.command("agents")
@_remote
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def agents_command(as_json: bool, **where: Any) -> None:
    """List the agents."""
    found = _call(where, "GET", "/agents")["agents"]
    if as_json:
        _json(found)
        return
    columns = ("host", "status", "version", "last seen", "spool", "gaps", "id")
    _table(
        columns,
        [
            (
                one["host_name"],
                one["status"],
                one["version"],
                _moment(one["last_seen_ms"]),
                str(one["spool_bytes"]),
                str(one["gaps"]),
                one["id"],
            )
            for one in found
        ],
    )


@cli.command("revoke")
@_remote
@click.option("--why", required=True, help="The reason, for the record.")
@click.argument("agent_id")
def revoke_command(agent_id: str, why: str, **where: Any) -> None:
    """Cut an agent off within seconds."""
    _call(where, "POST", f"/agents/{agent_id}/revoke", {"why": why})
    click.echo(f"Revoked {agent_id}.")


@cli.command("alerts")
@_remote
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def alerts_command(as_json: bool, **where: Any) -> None:
    """List what fires now."""
    found = _call(where, "GET", "/alerts")["alerts"]
    if as_json:
        _json(found)
        return
    columns = ("severity", "rule", "host", "since", "summary")
    _table(
        columns,
        [
            (
                one["severity"],
                one["rule"],
                one["host"],
                _moment(one["fired_ms"]),
                one["annotations"].get("summary", ""),
            )
            for one in found
        ],
    )


@cli.command("migrate")
@_shared
@click.option("--generate", metavar="MESSAGE", help="Write the migration that the tables in the code need.")
def migrate_command(file: Path | None, data: Path | None, generate: str | None) -> None:
    """Bring the database to the newest tables; `sigap up` and `serve` do it by themselves."""
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


def _moment(unix_ms: int | None) -> str:
    if unix_ms is None:
        return "never"
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    # Programs get every column whole; only a terminal has an edge.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def main() -> None:
    """The `sigap` command."""
    cli(prog_name="sigap")


if __name__ == "__main__":
    main()
