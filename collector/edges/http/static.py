"""The built assets, read once into memory and served under the hash of their content.

The address contains the hash, so browsers keep a file for a year and never show an old one. Nothing is read from disk
on a request, so no path can lead outside.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aiohttp import web

import web as assets
from collector.domain.errors import NotFound
from collector.edges.http.routing import Permission, Route

FOREVER = "public, max-age=31536000, immutable"
HASH_LENGTH = 12
_TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    packed: bytes | None  # gzip; None when it does not pay
    content_type: str
    version: str  # of its content, hexadecimal


@cache
def files() -> Mapping[str, Asset]:
    """Every built file by its path below `web/static`."""
    found = {}
    for path in sorted(assets.STATIC.rglob("*")) if assets.STATIC.exists() else ():
        if path.is_file():
            found[path.relative_to(assets.STATIC).as_posix()] = _asset(path.suffix, path.read_bytes())
    return found


def _asset(suffix: str, body: bytes) -> Asset:
    packed = gzip.compress(body, mtime=0)
    kind = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    version = hashlib.sha256(body).hexdigest()[:HASH_LENGTH]
    return Asset(body, packed if len(packed) < 0.9 * len(body) else None, kind, version)


def address(name: str) -> str:
    """Where a page finds the file: its path with the version of its content."""
    asset = files().get(name)
    return f"/static/{name}?v={asset.version}" if asset else f"/static/{name}"


async def serve(request: web.Request) -> web.Response:
    """Answer with one file, packed when the client takes it."""
    asset = files().get(request.match_info["name"])
    if asset is None:
        raise NotFound("There is no such file.", hint="Run `make assets` if the web assets were not built.")
    headers = {"Content-Type": asset.content_type, "Vary": "Accept-Encoding", "ETag": f'"{asset.version}"'}
    # The bundler names a font after its content, as style sheets cannot know our version.
    named = request.match_info["name"].endswith(".woff2") or request.query.get("v") == asset.version
    headers["Cache-Control"] = FOREVER if named else "no-cache"
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    if asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=asset.packed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=asset.body, headers=headers)


ROUTES = (Route("GET", "/static/{name:.+}", serve, Permission.PUBLIC, "A built asset of the web interface."),)
