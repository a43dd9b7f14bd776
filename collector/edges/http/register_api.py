"""REST resources of every register, their CSV, and YAML documents in and out.

Bodies are JSON objects of field name → value, references by key. A record's version is its ETag; a change that names
an old one is a conflict.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.registers import NAMES, REGISTERS, named
from collector.domain.registers.base import Register
from collector.domain.registers.document import to_csv
from collector.edges.http import register_form as shape
from collector.edges.http import render
from collector.edges.http.body import JSON, YAML, read_at_most, read_object, require_type
from collector.edges.http.context import actor_of, context_of, viewer_of
from collector.edges.http.form import is_count
from collector.edges.http.routing import Permission, Route
from collector.flows import manifest, written
from collector.flows.written import Document
from collector.store import accounts, audit
from collector.store import registers as store
from collector.store.database import Connection
from collector.store.registers import PAGE_ROWS, Query

API = "/api/v1"
ONE = f"{API}/{{register:{'|'.join(NAMES)}}}"
CHANGES_MOST = 200
APPLY_BYTES = 8 * 1024 * 1024
"""How much may be applied at once: the most documents, with long texts in them."""
CONTROL = frozenset({"q", "sort", "limit", "offset", "page"})
"""What the query may hold beside filters."""


def _register(request: web.Request) -> Register[Any]:
    return REGISTERS[request.match_info["register"]]


def _json(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=render.json_bytes(data), content_type="application/json", status=status, headers=headers or {}
    )


def _query(request: web.Request, *, everything: bool = False) -> Query:
    given = request.query
    filters = {name: value for name, value in given.items() if name not in CONTROL and value}
    limit = None if everything else _number(given.get("limit", ""), PAGE_ROWS)
    return Query(given.get("q", ""), filters, given.get("sort") or "key", _number(given.get("offset", ""), 0), limit)


def _number(text: str, default: int) -> int:
    if text and not is_count(text):
        raise InvalidInput(Message("'{text}' is not a number of records.", text=text))
    return int(text) if text else default


def _version(request: web.Request, body: dict[str, Any]) -> int | None:
    """The version that the client changes: If-Match, or "version" in the body."""
    given = body.pop("version", None)
    tag = request.headers.get("If-Match", "").strip()
    if tag and tag != "*":
        given = tag.removeprefix("W/").strip('"')
    if given is None:
        return None
    if isinstance(given, bool) or not is_count(str(given)):
        raise InvalidInput(
            Message("'{given}' is not a version.", given=str(given)),
            hint='Send the ETag of the record, such as If-Match: "3".',
        )
    return int(given)


async def _answer(request: web.Request, record: Any, *, status: int = 200) -> web.Response:
    register = _register(request)
    shown = await context_of(request).db.read(lambda c: store.shown(c, register.name, [record])[0])
    headers = {"ETag": f'"{record.version}"'}
    if status == 201:
        headers["Location"] = f"{API}/{register.name}/{record.key}"
    return _json(shown, status=status, headers=headers)


async def registers(request: web.Request) -> web.Response:
    """Every register: fields, states, transitions."""
    del request
    return _json({"items": [shape.describe(each) for each in REGISTERS.values()]})


async def listing(request: web.Request) -> web.Response:
    """One page of records, and how many there are in all."""
    register, query = _register(request), _query(request)

    def work(connection: Connection) -> dict[str, Any]:
        found = store.search(connection, register.name, query)
        return {"items": store.shown(connection, register.name, found.records), "total": found.total}

    return _json(await context_of(request).db.read(work))


async def table(request: web.Request) -> web.Response:
    """Every record that is asked for, as CSV."""
    register, query = _register(request), _query(request, everything=True)

    def work(connection: Connection) -> str:
        found = store.search(connection, register.name, query)
        return to_csv(register, store.shown(connection, register.name, found.records))

    text = await context_of(request).db.read(work)
    headers = {"Content-Disposition": f'attachment; filename="{register.name}.csv"'}
    return web.Response(text=text, content_type="text/csv", charset="utf-8", headers=headers)


async def one(request: web.Request) -> web.Response:
    """A record."""
    register, key = _register(request), request.match_info["key"]
    return await _answer(request, await context_of(request).db.read(lambda c: store.by_key(c, register.name, key)))


async def create(request: web.Request) -> web.Response:
    """Create a record."""
    body = await read_object(request)
    why = str(body.pop("why", "") or "")
    made = await context_of(request).registrar.create(actor_of(request), _register(request).name, body, why=why)
    return await _answer(request, made, status=201)


async def change(request: web.Request) -> web.Response:
    """Change the fields that the body names."""
    body = await read_object(request)
    version, why = _version(request, body), str(body.pop("why", "") or "")
    record = await context_of(request).registrar.edit(
        actor_of(request), _register(request).name, request.match_info["key"], body, version=version, why=why
    )
    return await _answer(request, record)


async def delete(request: web.Request) -> web.Response:
    """Delete a record that nothing refers to and that is no evidence."""
    await context_of(request).registrar.delete(
        actor_of(request),
        _register(request).name,
        request.match_info["key"],
        version=_version(request, {}),
    )
    return web.Response(status=204)


async def move(request: web.Request) -> web.Response:
    """Take a step of the life cycle."""
    body = await read_object(request)
    record = await context_of(request).registrar.transition(
        actor_of(request),
        _register(request).name,
        request.match_info["key"],
        request.match_info["transition"],
        version=_version(request, body),
        why=str(body.get("why", "") or ""),
    )
    return await _answer(request, record)


async def changes(request: web.Request) -> web.Response:
    """The history of a record, newest first."""
    register, key = _register(request), request.match_info["key"]
    older_than = _number(request.query.get("before", ""), 0)

    def work(connection: Connection) -> list[audit.Change]:
        record = store.by_key(connection, register.name, key)
        return audit.history(connection, register.name, record_id=record.id, most=CHANGES_MOST, before_id=older_than)

    return _json({"items": await context_of(request).db.read(work)})


async def every_change(request: web.Request) -> web.Response:
    """The history of everything, newest first; `?register=host` of one register, `?before=<id>` further back."""
    register = request.query.get("register", "")
    # Who has an account and what was done to it is for administrators.
    without = "" if viewer_of(request).may(Permission.ADMIN) else accounts.HISTORY
    if register and register != accounts.HISTORY:
        named(register)
    older_than = _number(request.query.get("before", ""), 0)
    items = await context_of(request).db.read(
        lambda connection: audit.history(connection, register, most=CHANGES_MOST, before_id=older_than, without=without)
    )
    return _json({"items": items})


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to apply by the names of their files, which errors then tell."""

    files: dict[str, str]


async def apply(request: web.Request) -> web.Response:
    """Make the records what the YAML or JSON documents in the body say; `?dry_run=true` only tells the difference."""
    dry_run = request.query.get("dry_run", "").lower() in ("1", "true", "yes")
    require_type(request, (*YAML, JSON))
    raw = await read_at_most(request, APPLY_BYTES)
    # Beside the event loop: a large text takes seconds.
    documents = await asyncio.to_thread(_documents, raw)
    plan = await context_of(request).registrar.apply(
        actor_of(request), documents, dry_run=dry_run, why=request.query.get("why", "")
    )
    steps = [{**step._asdict(), "changed": step in plan.changes} for step in plan.steps]
    return _json({"dry_run": dry_run, "changes": len(plan.changes), "steps": steps})


def _documents(raw: bytes) -> list[Document]:
    """The documents of a text, or of several with their names: `{"files": {"services.yaml": "register: …"}}`."""
    files = _files(raw)
    texts = {"": raw.decode()} if files is None else files
    found = [document for file, text in texts.items() for document in written.read(text, file)]
    if len(found) > written.DOCUMENTS_MOST:
        raise InvalidInput(
            Message("At most {count} documents can be applied at once.", count=written.DOCUMENTS_MOST),
            hint="Apply in parts.",
        )
    return found


def _files(raw: bytes) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(raw, type=Files).files
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def export(request: web.Request) -> web.Response:
    """Every record as YAML documents; `?register=host` (repeatable) for some registers."""
    wanted = request.query.getall("register", [])
    for name in wanted:
        named(name)
    documents = await context_of(request).registrar.export(wanted)
    return web.Response(text=manifest.write(documents), content_type="application/yaml", charset="utf-8")


ROUTES: tuple[Route, ...] = (
    Route("GET", f"{API}/registers", registers, Permission.VIEW, "Every register with its fields and life cycle"),
    Route("GET", f"{API}/changes", every_change, Permission.VIEW, "History of everything"),
    Route("POST", f"{API}/apply", apply, Permission.OPERATE, "Apply YAML or JSON documents"),
    Route("GET", f"{API}/export", export, Permission.VIEW, "Every record as YAML documents"),
    Route("GET", f"{ONE}.csv", table, Permission.VIEW, "Records as CSV"),
    Route("GET", ONE, listing, Permission.VIEW, "Records"),
    Route("POST", ONE, create, Permission.OPERATE, "Create a record"),
    Route("GET", f"{ONE}/{{key}}", one, Permission.VIEW, "One record"),
    Route("PATCH", f"{ONE}/{{key}}", change, Permission.OPERATE, "Change fields of a record"),
    Route("DELETE", f"{ONE}/{{key}}", delete, Permission.OPERATE, "Delete a record"),
    Route("GET", f"{ONE}/{{key}}/changes", changes, Permission.VIEW, "History of a record"),
    Route(
        "POST", f"{ONE}/{{key}}/transitions/{{transition}}", move, Permission.OPERATE, "Take a step of the life cycle"
    ),
)
