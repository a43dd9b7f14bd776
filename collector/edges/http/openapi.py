"""OpenAPI 3.1 of the REST interface, from the routes and the registers' descriptions.

A route under /api/v1 is in it as soon as it exists; the resources of a register are spelled out one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from collector.domain.registers import REGISTERS
from collector.domain.registers.base import Register
from collector.domain.registers.fields import CREATE
from collector.edges.http import render
from collector.edges.http.routing import Permission, Route

API = "/api/v1"
PATH = f"{API}/openapi.json"
VERSION = "1"
PARAMETER = re.compile(r"\{([a-z_]+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")
"""aiohttp's `{name}` or `{name:regex}`, where the regex may count: `{id:\\d{1,18}}`."""
PROBLEM = {"$ref": "#/components/responses/Problem"}
JSON = "application/json"
YAML = "application/yaml"
SCHEMAS = "#/components/schemas/{name}"
_SPAN: Mapping[str, str] = {
    "range": "How far back: 15m, 1h, 6h, 24h, 7d or 30d.",
    "since": "From when on, Unix milliseconds, instead of a range.",
    "until": "Until when, Unix milliseconds; now otherwise.",
}
ASKED: Mapping[str, Mapping[str, str]] = {
    f"{API}/agents": {"host": "Only those of the host with this key."},
    f"{API}/series": {
        "match": 'A selector, such as node_load1{instance="web-1"}.',
        "host": "Only of the host with this key.",
        "range": "How far back, such as 1h or 7d.",
        "since": "From when on, Unix milliseconds.",
        "until": "Until when, Unix milliseconds.",
        "points": "How many points at most for each series.",
        "rate": "true for the growth per second of counters.",
    },
    f"{API}/alerts/history": {
        "q": "Words in the alert's labels or summary, whatever the case.",
        "severity": "Only of this severity.",
        "state": "Only those that are firing or resolved.",
        "page": "Which page of 50.",
    },
    f"{API}/channel/{{key}}/messages": {
        "state": "Only waiting, delivered, dead or dismissed ones.",
        "page": "Which page of 50.",
    },
    f"{API}/status/hosts": {
        "q": "Text in key, name, owner, description or labels.",
        "state": "Only hosts in this state.",
        "site": "Only of this site.",
        "environment": "Only of this environment.",
        "checks": "Only hosts with a check in this state.",
        "sort": "state, name, site, cpu, memory, filesystem, load or seen; with - in front descending.",
        "page": "Which page of 100.",
    },
    f"{API}/status/hosts/{{key}}": _SPAN,
    f"{API}/status/hosts/{{key}}/charts": {**_SPAN, "points": "How many points at most for each line."},
    f"{API}/status/services/{{key}}": {
        "window": "Of the timeline: 24h, 7d or 30d.",
        "month": "Whose verdict, such as 2026-11; the running one otherwise.",
    },
    f"{API}/status/checks/{{key}}": _SPAN,
    f"{API}/status/checks/{{key}}/latency": _SPAN,
}
"""What the query may hold, where no register says it."""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole interface as an OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.path.startswith(API + "/") and route.path != PATH:
            for path, register in _expanded(route.path):
                paths.setdefault(path, {})[route.method.lower()] = _operation(route, path, register)
    shapes = [shape for route in routes for shape in (route.body, route.answer) if shape is not None]
    schemas = {"Change": _change(), **msgspec.json.schema_components(shapes, ref_template=SCHEMAS)[1]}
    for register in REGISTERS.values():
        schemas |= _schemas(register)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sigap",
            "version": VERSION,
            "description": "Everything that the pages do. Times are Unix milliseconds, UTC; references are keys.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "An API token."}},
            "responses": {"Problem": {"description": "What failed and what to do next.", "content": _problem()}},
            "schemas": schemas,
        },
    }


def _expanded(path: str) -> Iterable[tuple[str, Register[Any] | None]]:
    """The paths that a pattern stands for: one for each register where it has a place for its name."""
    if "{register:" in path:
        pattern = re.sub(r"\{register:[^{}]*\}", "{register}", path)
        for name, register in REGISTERS.items():
            yield PARAMETER.sub(r"{\1}", pattern.replace("{register}", name)), register
    else:
        yield PARAMETER.sub(r"{\1}", path), None


def _operation(route: Route, path: str, register: Register[Any] | None) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name, _ in PARAMETER.findall(path)
    ]
    operation: dict[str, Any] = {
        "summary": route.summary or str(getattr(route.handler, "__doc__", "") or "").split("\n")[0],
        "operationId": _operation_id(route.method, path),
        "tags": [register.name if register else path.removeprefix(API + "/").split("/")[0]],
        "parameters": parameters,
        "responses": {str(route.status): {"description": "Done."}},
    }
    if route.answer is not None:
        schema = {"$ref": SCHEMAS.format(name=route.answer.__name__)}
        operation["responses"][str(route.status)]["content"] = {JSON: {"schema": schema}}
    if route.permission is Permission.PUBLIC:
        operation["security"] = []
    operation["parameters"] += [_parameter(name, about) for name, about in ASKED.get(path, {}).items()]
    if route.body is not None:
        operation["requestBody"] = _body({"$ref": SCHEMAS.format(name=route.body.__name__)})
    if register is not None:
        _describe(operation, route, path, register)
    elif path in (f"{API}/apply", f"{API}/export"):
        _documents(operation, path)
    elif path == f"{API}/changes":
        operation["responses"]["200"] = _listed({"$ref": "#/components/schemas/Change"})
        operation["parameters"] += [
            _parameter("register", "Only this register."),
            _parameter("before", "Only changes older than the one of this id.", kind="integer"),
        ]
    operation["responses"] |= dict.fromkeys(_refusals(operation, route), PROBLEM)
    return operation


def _refusals(operation: Mapping[str, Any], route: Route) -> list[str]:
    """The statuses with which it refuses what is asked, and `default` for what goes wrong here."""
    parameters = operation["parameters"]
    names, places = {each["name"] for each in parameters}, {each["in"] for each in parameters}
    found = [] if route.permission is Permission.PUBLIC else [401, 403]
    if "path" in places or names & {"host", "register"}:
        found.append(404)
    if route.method != "GET":
        found.append(409)
    if "If-Match" in names:
        found.append(412)
    if "requestBody" in operation:
        found += [413, 415]
    if "requestBody" in operation or "query" in places:
        found.append(422)
    return [*map(str, found), "default"]


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix(API))
    return "_".join([method.lower(), *words])


def _describe(operation: dict[str, Any], route: Route, path: str, register: Register[Any]) -> None:
    record = {"$ref": f"#/components/schemas/{_name(register)}"}
    shape = path.removeprefix(f"{API}/{register.name}")
    shown = {"description": "The record.", "content": {JSON: {"schema": record}}, "headers": _etag()}
    change = {"$ref": f"#/components/schemas/{_name(register)}Change"}
    answers: Mapping[tuple[str, str], tuple[str, dict[str, Any]]] = {
        ("GET", ""): ("200", {"description": "One page.", "content": {JSON: {"schema": _items(record, total=True)}}}),
        ("GET", ".csv"): ("200", {"description": "CSV.", "content": {"text/csv": {"schema": {"type": "string"}}}}),
        ("POST", ""): ("201", {**shown, "description": "The record that was created."}),
        ("GET", "/{key}"): ("200", shown),
        ("PATCH", "/{key}"): ("200", shown),
        ("DELETE", "/{key}"): ("204", {"description": "It is gone; its history stays."}),
        ("GET", "/{key}/changes"): ("200", _listed({"$ref": "#/components/schemas/Change"})),
        ("POST", "/{key}/transitions/{transition}"): ("200", shown),
    }
    if (route.method, shape) in answers:
        status, answer = answers[route.method, shape]
        operation["responses"] = {status: answer}
    if (route.method, shape) == ("POST", ""):
        schema = {"$ref": f"#/components/schemas/{_name(register)}New"}
        operation["requestBody"] = _body(schema, register.example)
    elif route.method == "PATCH":
        operation["requestBody"] = _body(change)
    elif shape.endswith("/transitions/{transition}"):
        _find(operation, "transition")["schema"]["enum"] = [each.name for each in register.life.transitions]
        operation["requestBody"] = {**_body(_step()), "required": False}
    if route.method in ("PATCH", "DELETE") or shape.endswith("/transitions/{transition}"):
        operation["parameters"].append(_parameter("If-Match", "The ETag that the change is based on.", where="header"))
    if (route.method, shape) in (("GET", ""), ("GET", ".csv")):
        operation["parameters"] += _filters(register, paged=shape == "")


def _documents(operation: dict[str, Any], path: str) -> None:
    text = {YAML: {"schema": {"type": "string"}}}
    if path.endswith("/apply"):
        files = {"type": "object", "required": ["files"], "properties": {"files": {"type": "object"}}}
        files["description"] = "Texts by the names of their files, which errors then tell."
        operation["requestBody"] = {"required": True, "content": {**text, JSON: {"schema": files}}}
        operation["parameters"] += [
            _parameter("dry_run", "Tell the difference and change nothing.", kind="boolean"),
            _parameter("why", "The reason, where a document names none."),
        ]
    else:
        operation["responses"]["200"] = {"description": "YAML documents.", "content": text}
        operation["parameters"].append(_parameter("register", "Only this register; may be repeated."))


def _find(operation: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in operation["parameters"] if each["name"] == name)


def _parameter(name: str, about: str, *, kind: str = "string", where: str = "query") -> dict[str, Any]:
    return {"name": name, "in": where, "description": about, "schema": {"type": kind}}


def _filters(register: Register[Any], *, paged: bool) -> list[dict[str, Any]]:
    known = [_parameter("q", "Text to find, whatever the case."), _parameter("state", "Life-cycle state.")]
    known += [_parameter(each.name, str(each.label)) for each in register.filtered]
    known.append(_parameter("sort", "A field's name, or with - in front for descending order."))
    if paged:
        known.append(_parameter("limit", "How many at most (500).", kind="integer"))
        known.append(_parameter("offset", "How many to leave out at the front.", kind="integer"))
    return known


def _body(schema: Mapping[str, Any], example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": dict(schema)}
    if example:
        content["example"] = dict(example)
    return {"required": True, "content": {JSON: content}}


def _name(register: Register[Any]) -> str:
    return register.entity.__name__


def _schemas(register: Register[Any]) -> dict[str, Any]:
    writable = {each.name: _property(each, writing=True) for each in register.writable}
    shown = {each.name: _property(each, writing=False) for each in register.fields}
    facts = {name: {"type": "integer", "readOnly": True} for name in ("id", "version", "created_ms", "changed_ms")}
    state = {"type": "string", "enum": [each.name for each in register.life.states], "readOnly": True}
    required = [each.name for each in register.writable if each.need == CREATE]
    closed = {"type": "object", "additionalProperties": False}
    why = {"why": {"type": "string", "description": "The reason, kept in the history."}}
    version = {"version": {"type": "integer", "description": "What the change is based on, instead of If-Match."}}
    changeable = {name: each for name, each in writable.items() if name != "key"}
    return {
        _name(register): {
            "type": "object",
            "description": str(register.about),
            "properties": {**facts, **shown, "state": state},
        },
        f"{_name(register)}New": {**closed, "required": required, "properties": {**writable, **why}},
        f"{_name(register)}Change": {**closed, "properties": {**changeable, **why, **version}},
    }


def _property(spec: Any, *, writing: bool) -> dict[str, Any]:
    schema = dict(spec.kind.schema())
    if spec.secret and not writing:
        schema = {"type": "string", "enum": ["set", "not set"], "readOnly": True}
    if spec.nullable or (writing and spec.need != CREATE):
        schema = _nullable(schema)
    unit = f" Unit: {spec.unit}." if spec.unit else ""
    words = f"{spec.label}. {spec.help}".strip() + unit
    more = f" {schema['description']}" if "description" in schema else ""
    return {**schema, "description": words + more}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that also takes null: "nothing", or in a change "the default"."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    made = {**schema, "type": [*kinds, "null"]}
    if "enum" in schema:
        made["enum"] = [*schema["enum"], None]
    return made


def _items(schema: Mapping[str, Any], *, total: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {"items": {"type": "array", "items": dict(schema)}}
    if total:
        properties["total"] = {"type": "integer"}
    return {"type": "object", "required": list(properties), "properties": properties}


def _listed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": "Newest first.", "content": {JSON: {"schema": _items(schema, total=False)}}}


def _etag() -> dict[str, Any]:
    return {"ETag": {"description": "The record's version.", "schema": {"type": "string"}}}


def _step() -> dict[str, Any]:
    return {"type": "object", "properties": {"why": {"type": "string"}, "version": {"type": "integer"}}}


def _change() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("who", "register", "record_key", "action", "why")}
    numbers = {name: {"type": "integer"} for name in ("id", "at_ms", "record_id", "version")}
    fields = {"before": {"type": "object"}, "after": {"type": "object"}}
    return {"type": "object", "properties": {**numbers, **texts, **fields}}


def _problem() -> dict[str, Any]:
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    properties = {
        "type": {"type": "string", "description": "Always about:blank: the status says it (RFC 9457)."},
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string", "description": "What failed."},
        "hint": {"type": "string", "description": "What to do next."},
        "fields": {**texts, "description": "What is wrong, by field."},
        "places": {**texts, "description": "Where each field was written, of documents that were applied."},
    }
    required = ["type", "status", "title", "detail"]
    return {"application/problem+json": {"schema": {"type": "object", "required": required, "properties": properties}}}


async def show(request: web.Request) -> web.Response:
    """This document."""
    from collector.edges.http import ROUTES as everything  # The package imports us first.

    del request
    return web.Response(body=render.json_bytes(document(everything)), content_type=JSON)


ROUTES: tuple[Route, ...] = (Route("GET", PATH, show, Permission.PUBLIC, "This document"),)
