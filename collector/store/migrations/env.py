"""What Alembic runs for each command: on the connection, and in the transaction, that our caller opened."""

from __future__ import annotations

from alembic import context

from collector.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
