"""`sigap account`: the accounts of people, for whoever runs the collector, also when nobody can sign in any more.

By the control socket on the collector's host it needs no account; what it does is in the history as done by `control`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import click

from collector import printing, remote

ROLES = ("viewer", "operator", "admin")
STATES = ("active", "invited", "disabled")
why_option = click.option("--why", default="", help="The reason, for the record.")


@click.group("account")
def account() -> None:
    """List accounts, disable and enable them, change a role, let a person choose a new password."""


def _path(name: str) -> str:
    return f"/accounts/{quote(name, safe='')}"


def _change(where: Mapping[str, Any], name: str, told: str, /, **change: Any) -> None:
    remote.ask(where, "PATCH", _path(name), change)
    click.echo(told)


@account.command("list")
@remote.options
@click.option("--role", type=click.Choice(ROLES), help="Only those with this role.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@printing.json_option
def list_accounts(role: str | None, state: str | None, as_json: bool, **where: Any) -> None:
    """List the accounts with role, state, last sign-in, open sessions and working API tokens.

    \b
    Example:
      sigap account list --role admin
    """
    query = urlencode({name: value for name, value in (("role", role), ("state", state)) if value})
    found = remote.ask(where, "GET", f"/accounts?{query}")["items"]
    columns: printing.Columns = {
        "name": lambda one: one["name"],
        "role": lambda one: one["role"],
        "state": lambda one: one["state"],
        "last sign-in": lambda one: printing.moment(one["signed_in_ms"]),
        "sessions": lambda one: str(one["sessions"]),
        "tokens": lambda one: str(one["tokens"]),
    }
    printing.list_out(found, columns, as_json=as_json, empty="No such account.")


@account.command("disable")
@remote.options
@why_option
@click.argument("name")
def disable(name: str, why: str, **where: Any) -> None:
    """Shut an account: its sessions end, and its API tokens open nothing.

    \b
    Example:
      sigap account disable budi --why "left the company"
    """
    _change(where, name, f"Disabled {name}.", active=False, why=why)


@account.command("enable")
@remote.options
@why_option
@click.argument("name")
def enable(name: str, why: str, **where: Any) -> None:
    """Open an account again; its API tokens work again.

    \b
    Example:
      sigap account enable budi
    """
    _change(where, name, f"Enabled {name}.", active=True, why=why)


@account.command("role")
@remote.options
@why_option
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
def change_role(name: str, role: str, why: str, **where: Any) -> None:
    """Change what a person may do; their sessions end.

    \b
    Example:
      sigap account role siti admin
    """
    _change(where, name, f"{name} is {role}.", role=role, why=why)


@account.command("reset")
@remote.options
@printing.json_option
@click.argument("name")
def reset(name: str, as_json: bool, **where: Any) -> None:
    """Print a one-time link with which a person chooses a new password, for 24 hours.

    \b
    Example:
      sigap account reset siti
    """
    made = remote.ask(where, "POST", f"{_path(name)}/reset-links", {})
    printing.json_out(made) if as_json else click.echo(made["link"])
