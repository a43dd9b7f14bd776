"""Migrations on both databases: they lead to the tables in the code, once, together, and never half way."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, inspect, text

from collector.domain.errors import InvalidInput, StoreError, StoreFull
from collector.store import migrations
from collector.store.database import Database

KILLED = """
import os, signal, sys
from sqlalchemy import event
from collector.store import migrations
from collector.store.database import Database

database, left = Database(sys.argv[1]), int(sys.argv[2])

@event.listens_for(database.engine, "after_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

migrations.migrate(database.engine)
"""


def test_migrations_lead_to_the_tables_in_the_code(database_url: str) -> None:
    database = Database(database_url)
    try:
        applied = migrations.migrate(database.engine)
        assert applied[-1] == migrations.newest()
        assert migrations.differences(database.engine) == []
        assert migrations.migrate(database.engine) == []
    finally:
        database.close()


def test_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda each=each: applied.append(migrations.migrate(each.engine))) for each in databases
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in databases:
        each.close()
    assert sorted(map(bool, applied)) == [False, False, True]


@pytest.mark.parametrize("statements", [2, 20, 60])
def test_a_kill_leaves_the_old_tables_and_the_next_start_finishes(database_url: str, statements: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, database_url, str(statements)], check=False)
    assert killed.returncode == -signal.SIGKILL
    database = Database(database_url)
    try:
        assert inspect(database.engine).get_table_names() == []
        migrations.migrate(database.engine)
        assert migrations.differences(database.engine) == []
    finally:
        database.close()


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    database = Database(database_url)
    try:
        migrations.migrate(database.engine)
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError, match="cannot be migrated") as refused:
            migrations.migrate(database.engine)
        assert "newer version" in refused.value.hint
    finally:
        database.close()


def test_foreign_keys_are_on_again_afterwards(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/sigap.db")
    try:
        migrations.migrate(database.engine)
        assert database.write_now(lambda c: c.exec_driver_sql("PRAGMA foreign_keys").scalar()) == 1
    finally:
        database.close()


def test_a_migration_is_written_for_what_is_missing_and_only_then(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "0*.py"))
    written = migrations.generate("create the tables", folder=folder)
    assert written.name == "0001_create_the_tables.py"
    assert "register_service" in written.read_text()
    with pytest.raises(InvalidInput, match="already lead"):
        migrations.generate("nothing", folder=folder)


def test_a_busy_database_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sigap.db"
    holder, database = create_engine(url), Database(url)
    try:
        with holder.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            with pytest.raises(StoreError, match="in use by another process"):
                migrations.migrate(database.engine)
    finally:
        database.close()
        holder.dispose()


def test_no_room_for_the_tables_says_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/sigap.db")
    event.listen(database.engine, "connect", lambda one, _: one.execute("PRAGMA max_page_count=8"))
    try:
        with pytest.raises(StoreFull, match="disk is full"):
            migrations.migrate(database.engine)
    finally:
        database.close()


def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "sigap.db").write_bytes(bytes(range(256)) * 32)
    database = Database(f"sqlite:///{tmp_path}/sigap.db")
    try:
        with pytest.raises(StoreError, match="file is not a database") as refused:
            migrations.migrate(database.engine)
        assert "Restore the backup" in refused.value.hint
    finally:
        database.close()
