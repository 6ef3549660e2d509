"""Run migrations on the connection that `Database.migrate` passes."""

from alembic import context

from wanvideo.jobs.tables import METADATA

connection = context.config.attributes["connection"]
# SQLite changes tables by copying them.
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
