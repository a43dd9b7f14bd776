"""Pages of every register: list, form, record with history, and the steps of its life cycle.

All of it follows from the registers' descriptions; only `PROPOSALS`, `CHECK` and `CHANNEL` name one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from collector.domain.errors import CollectorError, Conflict, InvalidInput, NotFound
from collector.domain.registers import NAMES, REGISTERS
from collector.domain.registers.base import Register, may
from collector.domain.registers.compound import Options, Ref, Refs
from collector.domain.registers.kinds import Boolean, Enum
from collector.edges.http import checks, deliveries, render
from collector.edges.http import register_form as shape
from collector.edges.http.audience import switched_off
from collector.edges.http.context import actor_of, context_of
from collector.edges.http.errors import page_for
from collector.edges.http.form import is_count
from collector.edges.http.listing import page_of
from collector.edges.http.routing import Page, Permission, Route
from collector.flows import manifest, stopped
from collector.languages import in_language
from collector.notify.webhook import new_secret
from collector.store import audit
from collector.store import registers as store
from collector.store.database import Connection
from collector.store.registers import PAGE_ROWS, Query

HISTORY_ROWS = 50
PICKS_MOST = 200
"""Longer lists are searched, not picked from."""
PROPOSALS: Mapping[tuple[str, str], Callable[[], str]] = {("channel", "secret"): new_secret}
"""Register and field → what a new record's form suggests: messages are signed unless somebody decides otherwise."""
CHECK, CHANNEL = "check", "channel"
"""Registers whose records do something, of which their page tells: what was found, what was sent."""
BASE = "/registers"
ONE = f"{BASE}/{{register:{'|'.join(NAMES)}}}"


def _register(request: web.Request) -> Register[Any]:
    return REGISTERS[request.match_info["register"]]


def query_of(request: web.Request, register: Register[Any]) -> tuple[Query, int]:
    """Search, filters, order and page number in the address."""
    page = page_of(request.query)
    names = ("state", *(each.name for each in register.filtered))
    filters = {name: request.query[name] for name in names if request.query.get(name)}
    sort = request.query.get("sort") or "key"
    return Query(request.query.get("q", ""), filters, sort, offset=(page - 1) * PAGE_ROWS), page


async def index(request: web.Request) -> Page:
    """Every register, with how many records it has."""

    def work(connection: Connection) -> dict[str, int]:
        return {name: store.search(connection, name, Query(limit=1)).total for name in NAMES}

    totals = await context_of(request).db.read(work)
    registers = [
        {"name": each.name, "titles": each.titles, "about": each.about, "total": totals[each.name]}
        for each in REGISTERS.values()
    ]
    return Page("register/index.html", {"registers": registers})


async def listing(request: web.Request) -> Page:
    """One page of records."""
    register = _register(request)
    query, page = query_of(request, register)

    def work(connection: Connection) -> dict[str, Any]:
        found = store.search(connection, register.name, query)
        return {
            "records": store.shown(connection, register.name, found.records),
            "states": checks.states(connection, [one.id for one in found.records]) if register.name == CHECK else {},
            "total": found.total,
            "filters": _filters(connection, register, query),
        }

    data = await context_of(request).db.read(work)
    searching = bool(query.text or query.filters)
    return Page(
        "register/list.html",
        {
            **data,
            "register": shape.describe(register),
            "page": page,
            "size": PAGE_ROWS,
            "sort": query.sort,
            "search": query.text,
            "searching": searching,
            "may_write": may(actor_of(request), register.permission),
        },
    )


def _filters(connection: Connection, register: Register[Any], query: Query) -> list[dict[str, Any]]:
    states = [(state.name, state.label) for state in register.life.states]
    filters = [{"name": "state", "label": None, "options": states, "value": query.filters.get("state", "")}]
    for each in register.filtered:
        if isinstance(each.kind, Ref | Refs):
            names: list[tuple[str, Any]] = [(key, key) for key, _ in store.names_of(connection, each.kind.register)]
        elif isinstance(each.kind, Enum | Boolean):
            names = list(shape.describe_field(register, each)["options"].items())
        else:
            names = [(value, value) for value in store.facets(connection, register.name, each.name)]
        value = query.filters.get(each.name, "")
        if len(names) > PICKS_MOST:
            # Nobody picks from so many; a link to a filtered list still says what it is filtered by.
            names = [(value, value)] if value else []
        if names:
            filters.append({"name": each.name, "label": each.label, "options": names, "value": value})
    return filters


async def about(request: web.Request) -> Page:
    """What the register is: its fields, its life cycle, an example."""
    register = _register(request)
    example = manifest.write([{"register": register.name, **register.example}]) if register.example else ""
    return Page("register/about.html", {"register": shape.describe(register), "example": example})


async def record(request: web.Request) -> Page:
    """One record, what may happen to it next, who refers to it, and its history."""
    return await _record(request)


async def _record(
    request: web.Request, *, refused: InvalidInput | None = None, transition: str = "", why: str = ""
) -> Page:
    register, key = _register(request), request.match_info["key"]
    actor = actor_of(request)
    span = checks.asked_span(request) if register.name == CHECK else None
    page = page_of(request.query)

    def work(connection: Connection) -> dict[str, Any]:
        found = store.by_key(connection, register.name, key)
        return {
            "record": store.shown(connection, register.name, [found])[0],
            "history": audit.history(connection, register.name, record_id=found.id, most=HISTORY_ROWS),
            "referrers": store.referrers(connection, register.name, found.id),
            "users": [one.key for one in stopped.users(connection, found.id)] if register.name == CHECK else [],
            "kept": register.kept(found),
            "watched": checks.watched(connection, found, span) if span else None,
            "timed": span is not None and found.kind not in checks.LOCAL,
            "gone": switched_off(connection, found) if register.name == CHANNEL else None,
            "log": deliveries.log_of(connection, found.id, page=page) if register.name == CHANNEL else None,
        }

    data = await context_of(request).db.read(work)
    state = data["record"]["state"]
    steps = [
        {**each, "possible": may(actor, each["permission"])}
        for each in shape.describe(register)["transitions"]
        if state in each["from"]
    ]
    return Page(
        "register/record.html",
        {
            **data,
            "register": shape.describe(register),
            "steps": steps,
            "may_write": may(actor, register.permission),
            "closed": register.life.state(state).closed,
            "deletable": state in register.deletable,
            "refused": {
                "transition": transition,
                "fields": refused.fields if refused else {},
                "why": why,
            },
            "labels": {each.name: each.label for each in register.fields},
            "kinds": {each.register: REGISTERS[each.register].title for each in data["referrers"]},
        },
        status=422 if refused else 200,
    )


async def new(request: web.Request) -> Page:
    """An empty form; what is better made than thought up is filled in already."""
    register = _register(request)
    made = {name: make() for (of, name), make in PROPOSALS.items() if of == register.name}
    return await _form(request, None, shape.filled(register, None, None) | made | _asked(request, register))


def _asked(request: web.Request, register: Register[Any]) -> dict[str, Any]:
    """What a link to the form fills in: /registers/check/-/new?host=web-1."""
    return {
        each.name: request.query.getall(each.name) if isinstance(each.kind, Refs) else request.query[each.name]
        for each in register.fields
        if each.name in request.query and not each.secret and not isinstance(each.kind, Options)
    }


async def edit(request: web.Request) -> Page:
    """The form of a record."""
    register, key = _register(request), request.match_info["key"]

    def work(connection: Connection) -> tuple[Any, dict[str, Any]]:
        found = store.by_key(connection, register.name, key)
        return found, store.shown(connection, register.name, [found])[0]

    found, shown = await context_of(request).db.read(work)
    return await _form(request, found, shape.filled(register, found, shown))


async def _form(
    request: web.Request, found: Any, values: dict[str, Any], *, refused: CollectorError | None = None, why: str = ""
) -> Page:
    register = _register(request)
    offered = await context_of(request).db.read(lambda connection: shape.choices(connection, register, found))
    errors = shape.at_inputs(register, refused.fields, values) if isinstance(refused, InvalidInput) else {}
    return Page(
        "register/form.html",
        {
            "register": shape.describe(register),
            "key": found.key if found is not None else "",
            "name": found.name if found is not None else "",
            "version": found.version if found is not None else 0,
            "values": values,
            "choices": offered,
            "secrets_set": [
                each.name for each in register.fields if each.secret and found and getattr(found, each.name)
            ],
            "time_zones": shape.time_zones() if shape.has_time_zone(register) else (),
            "errors": errors,
            "labels": shape.labels(register),
            "notice": {"message": refused.message, "hint": refused.hint} if refused and not errors else None,
            "why": why,
        },
        status=page_for(refused).status if refused else 200,
    )


async def create(request: web.Request) -> Page | web.StreamResponse:
    """Save a new record, or show the form again with what is wrong and everything typed."""
    register, form = _register(request), await request.post()
    data, why = shape.from_form(register, form, editing=False), str(form.get("why", ""))
    registrar = context_of(request).registrar
    if "check" in form:
        return await _checked(request, lambda: registrar.judge(actor_of(request), register.name, data))
    try:
        made = await registrar.create(actor_of(request), register.name, data, why=why)
    except (InvalidInput, Conflict) as refused:
        return await _form(request, None, shape.as_typed(register, form), refused=refused, why=why)
    raise web.HTTPSeeOther(f"{BASE}/{register.name}/{made.key}?done=added")


async def save(request: web.Request) -> Page | web.StreamResponse:
    """Save a changed record, or show the form again with what is wrong and everything typed."""
    register, key, form = _register(request), request.match_info["key"], await request.post()
    data, why = shape.from_form(register, form, editing=True), str(form.get("why", ""))
    registrar, actor = context_of(request).registrar, actor_of(request)
    if "check" in form:
        return await _checked(request, lambda: registrar.judge(actor, register.name, data, key=key))
    try:
        await registrar.edit(actor, register.name, key, data, version=_version(form), why=why)
    except (InvalidInput, Conflict) as refused:
        # The form gets the version of today: whoever reads the notice and saves again has decided to overwrite.
        found = await context_of(request).db.read(lambda connection: store.by_key(connection, register.name, key))
        return await _form(request, found, shape.as_typed(register, form), refused=refused, why=why)
    raise web.HTTPSeeOther(f"{BASE}/{register.name}/{key}?done=saved")


async def _checked(request: web.Request, judge: Any) -> web.StreamResponse:
    """What is wrong so far, by field, in the reader's language: for the form while it is being filled."""
    language = render.look_of(request).language
    fields: dict[str, str] = {}
    try:
        await judge()
    except InvalidInput as refused:
        problems = shape.at_inputs(_register(request), refused.fields, await request.post())
        fields = {name: in_language(text, language) for name, text in problems.items()}
    except Conflict as refused:
        fields = {"key": in_language(refused.message, language)}
    return web.json_response({"fields": fields})


async def move(request: web.Request) -> Page:
    """Take a step of the life cycle, or say on the record's page what it still misses."""
    register, key, form = _register(request), request.match_info["key"], await request.post()
    name, why = str(form.get("transition", "")), str(form.get("why", ""))
    try:
        await context_of(request).registrar.transition(
            actor_of(request), register.name, key, name, version=_version(form), why=why
        )
    except InvalidInput as refused:
        return await _record(request, refused=refused, transition=name, why=why)
    raise web.HTTPSeeOther(f"{BASE}/{register.name}/{key}?done=saved")


async def delete(request: web.Request) -> Page:
    """Delete a record and go back to the list."""
    register, key, form = _register(request), request.match_info["key"], await request.post()
    await context_of(request).registrar.delete(
        actor_of(request), register.name, key, version=_version(form), why=str(form.get("why", ""))
    )
    raise web.HTTPSeeOther(f"{BASE}/{register.name}?done=deleted")


def _version(form: MultiDictProxy[Any]) -> int | None:
    text = str(form.get("version", ""))
    if text and not is_count(text):
        raise NotFound("The form names no version.", hint="Load the page again.")
    return int(text) if text else None


ROUTES: tuple[Route, ...] = (
    Route("GET", BASE, index, Permission.VIEW, "All registers"),
    Route("GET", ONE, listing, Permission.VIEW, "Records of a register"),
    Route("POST", ONE, create, Permission.OPERATE, "Create a record"),
    # No key begins with "-", so no record can hide these.
    Route("GET", f"{ONE}/-/new", new, Permission.OPERATE, "Form of a new record"),
    Route("GET", f"{ONE}/-/about", about, Permission.VIEW, "What a register is"),
    Route("GET", f"{ONE}/{{key}}", record, Permission.VIEW, "A record"),
    Route("POST", f"{ONE}/{{key}}", save, Permission.OPERATE, "Change a record"),
    Route("GET", f"{ONE}/{{key}}/edit", edit, Permission.OPERATE, "Form of a record"),
    Route("POST", f"{ONE}/{{key}}/transitions", move, Permission.OPERATE, "Take a step of the life cycle"),
    Route("POST", f"{ONE}/{{key}}/delete", delete, Permission.OPERATE, "Delete a record"),
)
