"""The commands that ask a running collector: by its control socket on this host, or by `--url` and an API token.

What they do is REST, so that whatever a command can, a program can. Imports nothing of the collector but how to ask.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from collector import printing, remote
from collector.domain.errors import Conflict, InvalidInput, NotFound

SUFFIXES = (".yaml", ".yml", ".json")
"""Which files of a directory are applied."""
STDIN = "-"
DAYS_MOST = 3_650


@click.command("apply")
@remote.options
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@printing.json_option
@click.argument("files", nargs=-1, required=True)
def apply(files: tuple[str, ...], dry_run: bool, as_json: bool, **where: Any) -> None:
    """Create and change records as YAML documents say; all of them or none.

    FILES are files, directories (their .yaml, .yml and .json files, at any depth) or - for standard input.

    \b
    Example:
      sigap apply --dry-run services.yaml
      sigap export --register rule | sigap apply --data elsewhere -
    """
    texts = {str(name): text for each in files for name, text in _texts(each)}
    told = remote.ask(where, "POST", f"/apply?dry_run={'true' if dry_run else 'false'}", {"files": texts})
    if as_json:
        printing.json_out(told)
        return
    steps = [
        (one["register"], one["key"], ", ".join([one["action"], *one["transitions"]]))
        for one in told["steps"]
        if one["changed"]
    ]
    if steps:
        printing.table_out(("register", "key", "would do" if dry_run else "done"), steps, empty="")
    same = len(told["steps"]) - len(steps)
    verb = "would change" if dry_run else "changed"
    click.echo(f"{len(steps)} {verb}, {same} as they were.", err=True)


def _texts(given: str) -> Iterator[tuple[Path | str, str]]:
    """The named texts behind one argument."""
    if given == STDIN:
        yield "standard input", _decoded("standard input", sys.stdin.buffer.read())
        return
    path = Path(given)
    found = [path]
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and _is_shown(each, path))
        if not found:
            raise InvalidInput(f"The directory {path} holds no document.", hint=f"Looked for {', '.join(SUFFIXES)}.")
    for each in found:
        try:
            raw = each.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{each} cannot be read: {error.strerror}.", hint="Nothing was applied.") from error
        yield each, _decoded(each, raw)


def _is_shown(path: Path, below: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(below).parts)


def _decoded(name: Path | str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{name}:{line} is not UTF-8 text.", hint="Save it as UTF-8. Nothing was applied."
        ) from error


@click.command("export")
@remote.options
@click.option("--register", "only", multiple=True, help="Only this register; may be given more than once.")
def export(only: tuple[str, ...], **where: Any) -> None:
    """Write every record as YAML documents, without secrets.

    \b
    Example:
      sigap export --register service > services.yaml
    """
    query = urlencode([("register", name) for name in only])
    click.echo(remote.ask(where, "GET", f"/export?{query}"), nl=False)


@click.command("sign-in")
@remote.options
@printing.json_option
@click.argument("name")
def sign_in(name: str, as_json: bool, **where: Any) -> None:
    """Print a one-time link that signs NAME in, for 15 minutes.

    \b
    Example:
      sigap sign-in siti
    """
    made = remote.ask(where, "POST", "/sign-in-links", {"name": name})
    printing.json_out(made) if as_json else click.echo(made["link"])


@click.command("token")
@remote.options
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True)
@click.option("--days", type=click.IntRange(1, DAYS_MOST), help="When it expires; without it never.")
@printing.json_option
@click.argument("name")
def token(name: str, scope: str, days: int | None, as_json: bool, **where: Any) -> None:
    """Make an API token and print it once.

    \b
    Example:
      sigap token prometheus > /etc/prometheus/sigap-token
    """
    made = remote.ask(where, "POST", "/tokens", {"name": name, "scope": scope, "days": days})
    printing.json_out(made) if as_json else click.echo(made["secret"])


@click.command("enrol")
@remote.options
@click.option("--host", "host_name", default="", help="Only this host may use it.")
@printing.json_option
def enrol(host_name: str, as_json: bool, **where: Any) -> None:
    """Print the command that enrols the next host; it works once, for 15 minutes.

    \b
    Example:
      sigap enrol --host web-1
    """
    made = remote.ask(where, "POST", "/enrolment-tokens", {"host_name": host_name})
    printing.json_out(made) if as_json else click.echo(made["command"])
    if made.get("hint"):
        click.echo(made["hint"], err=True)


@click.command("agents")
@remote.options
@click.option("--host", default="", help="Only those of the host with this key.")
@printing.json_option
def agents(host: str, as_json: bool, **where: Any) -> None:
    """List the agents: the host each runs on, and how it is; --json has more.

    \b
    Example:
      sigap agents --host web-1
    """
    columns: printing.Columns = {
        "host": lambda one: one["host"],
        "state": lambda one: one["state"],
        "version": lambda one: one["version"],
        "last seen": lambda one: printing.moment(one["last_seen_ms"]),
        "spool": lambda one: printing.amount(one["spool_bytes"]),
        "gaps": lambda one: str(one["gaps"]),
    }
    empty = "No agent yet; `sigap enrol` prints the command for the next host."
    printing.list_out(_agents(where, host), columns, as_json=as_json, empty=empty)


def _agents(where: Mapping[str, Any], host: str = "") -> list[dict[str, Any]]:
    query = urlencode({"host": host} if host else {})
    found: list[dict[str, Any]] = remote.ask(where, "GET", f"/agents?{query}")["agents"]
    return found


@click.command("revoke")
@remote.options
@click.option("--why", required=True, help="The reason, for the record.")
@click.argument("agent")
def revoke(agent: str, why: str, **where: Any) -> None:
    """Cut an agent off within seconds; AGENT is its id or the key of its host.

    \b
    Example:
      sigap revoke web-1 --why "replaced by web-2"
    """
    found = [one for one in _agents(where) if agent in (one["id"], one["host"])]
    chosen = [one for one in found if one["state"] != "revoked"] or found[:1]
    if not chosen:
        raise NotFound(f"There is no agent {agent}.", hint="`sigap agents` lists them.")
    if len(chosen) > 1:
        raise Conflict(
            f"{agent} has {len(chosen)} agents.", hint=f"Name one: {', '.join(one['id'] for one in chosen)}."
        )
    remote.ask(where, "POST", f"/agents/{quote(chosen[0]['id'], safe='')}/revoke", {"why": why})
    click.echo(f"Revoked {chosen[0]['id']} of {chosen[0]['host']}.")


@click.command("alerts")
@remote.options
@printing.json_option
def alerts(as_json: bool, **where: Any) -> None:
    """List what fires now, worst first.

    \b
    Example:
      sigap alerts --json
    """
    found = remote.ask(where, "GET", "/alerts")["alerts"]
    columns: printing.Columns = {
        "severity": lambda one: one["severity"],
        "rule": lambda one: one["rule"],
        "host": lambda one: one["host"],
        "since": lambda one: printing.moment(one["fired_ms"]),
        "summary": lambda one: one["annotations"].get("summary", ""),
    }
    printing.list_out(found, columns, as_json=as_json, empty="Nothing fires.")


COMMANDS = (apply, export, sign_in, token, enrol, agents, revoke, alerts)
