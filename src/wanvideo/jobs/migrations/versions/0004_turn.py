"""The next job is found without sorting those that wait."""

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    op.create_index("jobs_turn", "jobs", ["state", "priority", "rank", "created", "id"])
    op.drop_index("jobs_next", table_name="jobs")


def downgrade() -> None:
    op.create_index("jobs_next", "jobs", ["state", "priority", "rank"])
    op.drop_index("jobs_turn", table_name="jobs")
