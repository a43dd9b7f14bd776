"""`sigap account`: the accounts of people, for whoever runs the collector, also when nobody can sign in any more.

By the control socket on the collector's host it needs no account; what it does is in the history as done by `control`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import click

from collector import printing
from collector.commands import _call, _remote, json_option

ROLES = ("viewer", "operator", "admin")
STATES = ("active", "invited", "disabled")


@click.group("account")
def account() -> None:
    """List accounts, disable and enable them, change a role, let a person choose a new password."""


def _path(name: str) -> str:
    return f"/accounts/{quote(name, safe='')}"


@account.command("list")
@_remote
@click.option("--role", type=click.Choice(ROLES), help="Only those with this role.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@json_option
def list_accounts(role: str | None, state: str | None, as_json: bool, **where: Any) -> None:
    """List the accounts with role, state, last sign-in, open sessions and working API tokens.

    \b
    Example:
      sigap account list --role admin
    """
    query = urlencode({name: value for name, value in (("role", role), ("state", state)) if value})
    found = _call(where, "GET", f"/accounts?{query}")["items"]
    if as_json:
        printing.json_out(found)
        return
    columns = ("name", "role", "state", "last sign-in", "sessions", "tokens")
    rows = [
        (
            one["name"],
            one["role"],
            one["state"],
            printing.moment(one["signed_in_ms"]),
            str(one["sessions"]),
            str(one["tokens"]),
        )
        for one in found
    ]
    printing.table_out(columns, rows, empty="No such account.")


@account.command("disable")
@_remote
@click.option("--why", default="", help="The reason, for the record.")
@click.argument("name")
def disable(name: str, why: str, **where: Any) -> None:
    """Shut an account: its sessions end, and its API tokens open nothing.

    \b
    Example:
      sigap account disable budi --why "left the company"
    """
    _call(where, "PATCH", _path(name), {"active": False, "why": why})
    click.echo(f"Disabled {name}.")


@account.command("enable")
@_remote
@click.option("--why", default="", help="The reason, for the record.")
@click.argument("name")
def enable(name: str, why: str, **where: Any) -> None:
    """Open an account again; its API tokens work again.

    \b
    Example:
      sigap account enable budi
    """
    _call(where, "PATCH", _path(name), {"active": True, "why": why})
    click.echo(f"Enabled {name}.")


@account.command("role")
@_remote
@click.option("--why", default="", help="The reason, for the record.")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
def change_role(name: str, role: str, why: str, **where: Any) -> None:
    """Change what a person may do; their sessions end.

    \b
    Example:
      sigap account role siti admin
    """
    _call(where, "PATCH", _path(name), {"role": role, "why": why})
    click.echo(f"{name} is {role}.")


@account.command("reset")
@_remote
@json_option
@click.argument("name")
def reset(name: str, as_json: bool, **where: Any) -> None:
    """Print a one-time link with which a person chooses a new password, for 24 hours.

    \b
    Example:
      sigap account reset siti
    """
    made = _call(where, "POST", f"{_path(name)}/reset-links", {})
    printing.json_out(made) if as_json else click.echo(made["link"])
