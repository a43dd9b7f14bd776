"""The promise of the registers: one file and one line, and everything else is there.

A copy of the collector gets a register that we do not ship; a process of its own then uses it in every way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from collector.flows.record import Recorder
from collector.store import migrations
from collector.store.database import Database

ROOT = Path(__file__).resolve().parents[2]

FILE = '''
"""The register of suppliers."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal

from collector.domain.registers import fields as field
from collector.domain.registers.base import Record, Register
from collector.domain.registers.lifecycle import IN_USE_OR_RETIRED
from collector.domain.registers.words import Words, choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier(Record):
    """Who delivers to us."""

    segment: str = field.one_of(
        "Segment", "Segmen", choices(strategic=("Strategic", "Strategis"), other=("Other", "Lain")),
        default="other", listed=True, filtered=True,
    )
    services: tuple[int, ...] = field.refs("Services", "Layanan", "service", filtered=True)
    backup: int | None = field.ref("Backup", "Cadangan", "supplier")
    spend: Decimal | None = field.decimal("Spend", "Belanja", default=None, least="0", most="1000000000", places=2)
    contract_ends: datetime.date | None = field.date("Contract ends", "Akhir kontrak", need="retire")


REGISTER = Register(
    name="supplier",
    entity=Supplier,
    title=Words("Supplier", "Pemasok"),
    titles=Words("Suppliers", "Pemasok"),
    about=Words("Who delivers to us.", "Siapa yang memasok kami."),
    life=IN_USE_OR_RETIRED,
    deletable=("active",),
)
'''

USE = """
import asyncio, csv, io, sys
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from collector.edges.http import ROUTES
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.edges.http.routing import Viewer
from collector.flows import manifest
from collector.flows.register import Registrar
from collector.store import migrations
from collector.store.database import Database

async def anybody(request):
    return Viewer(name="siti", role="admin", by_token=True)

async def main(folder):
    assert Path(migrations.__file__).is_relative_to(folder), migrations.__file__
    written = migrations.generate("add the supplier register")
    assert "register_supplier" in written.read_text()
    database = Database(f"sqlite:///{folder}/x.db")
    migrations.migrate(database.engine)
    assert migrations.differences(database.engine) == []
    registrar = Registrar(database, clock=lambda: 1_760_000_000_000)
    client = TestClient(TestServer(build(Context(database, anybody, registrar=registrar), ROUTES)))
    await client.start_server()
    await registrar.create("test", "service", {"key": "shop", "name": "Shop"})

    body = {"key": "acme", "name": "Acme", "services": ["shop"], "spend": "12.50", "segment": "strategic"}
    assert (await client.post("/api/v1/supplier", json=body)).status == 201
    assert (await client.post("/api/v1/supplier", json={"key": "b", "name": "B", "backup": "acme"})).status == 201
    refused = await client.delete("/api/v1/supplier/acme")
    assert refused.status == 409 and "supplier 'b' (backup)" in await refused.text()
    used = await client.delete("/api/v1/service/shop")
    assert (used.status, (await used.json())["title"]) == (409, "Still in use")
    found = await (await client.get("/api/v1/supplier?segment=strategic&services=shop&q=ac")).json()
    assert found["total"] == 1 and found["items"][0]["spend"] == "12.5", found
    gate = await client.post("/api/v1/supplier/acme/transitions/retire", json={"why": "old"})
    assert set((await gate.json())["fields"]) == {"contract_ends"}
    await client.patch("/api/v1/supplier/acme", json={"contract_ends": "2026-12-31"})
    assert (await client.post("/api/v1/supplier/acme/transitions/retire", json={"why": "old"})).status == 200
    history = await (await client.get("/api/v1/supplier/acme/changes")).json()
    assert [each["action"] for each in history["items"]] == ["retire", "edit", "create"]

    for path in ("", "/-/new", "/acme", "/b/edit"):
        page = await client.get(f"/registers/supplier{path}", headers={"Cookie": "language=id"})
        assert page.status == 200 and "Pemasok" in await page.text(), path
    described = await (await client.get("/api/v1/openapi.json")).json()
    validate(described)
    assert "/api/v1/supplier/{key}" in described["paths"]
    rows = list(csv.DictReader(io.StringIO(await (await client.get("/api/v1/supplier.csv")).text())))
    assert [row["key"] for row in rows] == ["acme", "b"]
    two = "{register: supplier, key: x, name: X, backup: z}\\n---\\n{register: supplier, key: z, name: Z}"
    plan = await registrar.apply("test", manifest.read(two))
    assert [step.key for step in plan.steps] == ["z", "x"]
    text = manifest.write(await registrar.export(["supplier"]))
    assert (await registrar.apply("test", manifest.read(text))).changes == ()
    await client.close()
    database.close()

asyncio.run(main(Path(sys.argv[1])))
"""


ADD = """
import sys
from collector.domain.registers.host import Host
from collector.store import migrations, registers
from collector.store.database import Database

written = migrations.generate("add the rack of a host").read_text()
assert written.count("add_column") == 1, written
database = Database(sys.argv[1])
migrations.migrate(database.engine)
assert migrations.differences(database.engine) == []
host = database.read_now(lambda c: registers.by_key(c, Host, "web-1"))
assert (host.name, host.rack) == ("Web 1", "A1"), host
database.close()
"""


def test_a_new_field_is_one_line_and_finds_the_old_rows(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    migrations.migrate(database.engine)
    recorder = Recorder(lambda: 1_760_000_000_000)
    database.write_now(lambda c: recorder.create(c, "test", "host", {"key": "web-1", "name": "Web 1"}))
    database.close()
    shutil.copytree(ROOT / "collector", tmp_path / "collector", ignore=shutil.ignore_patterns("__pycache__"))
    host = tmp_path / "collector/domain/registers/host.py"
    line = '    rack: str = field.text("Rack", "Rak", default="A1")\n'
    host.write_text(host.read_text().replace("    description: str", line + "    description: str"))
    _run(ADD, database_url, tmp_path)


def test_a_register_is_one_file_and_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "collector", tmp_path / "collector", ignore=shutil.ignore_patterns("__pycache__"))
    registers = tmp_path / "collector/domain/registers"
    (registers / "supplier.py").write_text(FILE)
    listed = (registers / "__init__.py").read_text()
    (registers / "__init__.py").write_text(listed.replace('    "channel",\n', '    "channel",\n    "supplier",\n'))
    _run(USE, str(tmp_path), tmp_path)


def _run(script: str, argument: str, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "error", "-c", script, argument]
    used = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert used.returncode == 0, used.stdout + used.stderr
