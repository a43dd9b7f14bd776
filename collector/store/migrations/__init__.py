"""From any earlier database to the tables of this version, in one transaction and under a lock.

A kill at any moment leaves the old tables or the new ones. There is no way back but the backup: a migration that is
undone loses what was written since.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DatabaseError, OperationalError

from collector.domain.errors import InvalidInput, StoreError, StoreFull
from collector.store.database import translate
from collector.store.schema import METADATA

FOLDER = Path(__file__).resolve().parent
LOCK = 0x5167_4150
"""The advisory lock that processes starting at once on one PostgreSQL take turns by."""


def migrate(engine: Engine) -> list[str]:
    """Bring the database to the newest tables and return the revisions that were applied, oldest first.

    Args:
        engine: The writing engine, before anything else uses it.

    Raises:
        StoreError: The database is newer than this program, is damaged, has no room, or another process holds it.
    """
    try:
        with _alone(engine) as connection:
            before = current(connection)
            command.upgrade(_config(connection), "head")
            return _between(before, current(connection))
    except (CommandError, ResolutionError) as error:
        raise StoreError(
            f"The database cannot be migrated: {error}.",
            hint="It was probably written by a newer version: install that version, or restore the backup.",
        ) from error
    except OperationalError as error:
        if isinstance(full := translate(error), StoreFull):
            raise full from error
        if "locked" not in str(error):
            raise StoreError(
                f"The database cannot be opened: {error.orig}", hint="Is it running, and is store.url right?"
            ) from error
        raise StoreError("The database is in use by another process.", hint="Stop it, then start again.") from error
    except DatabaseError as error:
        raise StoreError(
            f"The database cannot be read: {error.orig}.", hint="Restore the backup, or start with another --data."
        ) from error


def current(connection: Connection) -> str:
    """The revision that the database is at; empty for a new one."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def newest() -> str:
    """The revision that this program needs."""
    return _scripts().get_current_head() or ""


def differences(engine: Engine) -> list[Any]:
    """What the database's tables lack against this program's; empty when they agree."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))


def generate(message: str, *, folder: Path = FOLDER) -> Path:
    """Write the migration that takes the newest tables on record to those in `schema`; return its file.

    Raises:
        InvalidInput: There is nothing to migrate.
    """
    with tempfile.TemporaryDirectory(prefix="sigap-migration-") as scratch:
        engine = create_engine(f"sqlite:///{scratch}/scratch.db")
        try:
            with engine.begin() as connection:
                config = _config(connection, folder)
                command.upgrade(config, "head")
                if not compare_metadata(MigrationContext.configure(connection), METADATA):
                    raise InvalidInput("The migrations already lead to these tables.")
                number = len(list(_scripts(folder).walk_revisions())) + 1
                script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
        finally:
            engine.dispose()
    # Alembic returns a list only when asked for several branches.
    path = Path(script.path)  # type: ignore[union-attr]
    path.write_text(_tidy(path.read_text()))
    formatter = Path(sys.executable).with_name("ruff")
    if formatter.exists():
        subprocess.run([formatter, "format", "--quiet", path], check=True)  # noqa: S603 — our own tool on our own file
    return path


def _tidy(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.strip().startswith("# ###"))


def _config(connection: Connection, folder: Path = FOLDER) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts(folder: Path = FOLDER) -> ScriptDirectory:
    return ScriptDirectory(str(folder))


def _between(before: str, after: str) -> list[str]:
    if before == after:
        return []
    return [script.revision for script in _scripts().walk_revisions(before or "base", after)][::-1][bool(before) :]


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other process migrates beside, with foreign keys off where tables are made anew."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
                yield connection
            return
        # Making a table anew drops the old one, which would delete what refers to it. Works only outside a transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            # BEGIN IMMEDIATE, see `database`: whoever comes second waits here.
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
                if broken:
                    raise StoreError(f"The migration would leave {len(broken)} rows that refer to nothing.")
        finally:
            driver.execute("PRAGMA foreign_keys=ON")
