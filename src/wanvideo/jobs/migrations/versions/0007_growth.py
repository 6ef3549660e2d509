"""Pages of a million jobs: by model and state, of favourites, by a word of the prompt; and the newest measurements."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    favourite, deleted = sa.text("favourite = 1"), sa.text("kind = 'deleted'")
    op.create_index("jobs_of_model_and_state", "jobs", ["model", "state", "created", "id"])
    op.create_index("jobs_favourite", "jobs", ["created", "id"], sqlite_where=favourite, postgresql_where=favourite)
    op.create_index("runs_newest", "runs", ["at"])
    op.create_index("events_deleted", "events", ["at"], sqlite_where=deleted, postgresql_where=deleted)
    if op.get_bind().dialect.name != "postgresql":
        return
    # Those that waited leave dead entries, over which each claim steps: clean up after 1 % of changes, and not 20 %.
    op.execute("ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01)")
    if _has_trigrams():
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        # What new rows add is put in order sooner than usual: little by little, and not in one long moment.
        op.execute(
            "CREATE INDEX jobs_of_prompt ON jobs USING gin (prompt gin_trgm_ops) WITH (gin_pending_list_limit = 256)"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # the extension stays: somebody else may use it
        op.execute("DROP INDEX IF EXISTS jobs_of_prompt")
        op.execute("ALTER TABLE jobs RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor)")
    op.drop_index("events_deleted", table_name="events")
    op.drop_index("runs_newest", table_name="runs")
    op.drop_index("jobs_favourite", table_name="jobs")
    op.drop_index("jobs_of_model_and_state", table_name="jobs")


def _has_trigrams() -> bool:
    """Whether PostgreSQL's additional modules are installed; without them, searches read all prompts."""
    query = sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
    return op.get_bind().execute(query).scalar() is not None
