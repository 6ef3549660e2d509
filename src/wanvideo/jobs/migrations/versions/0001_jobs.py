"""Jobs, their events, what was measured, and settings."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("batch", sa.String(40)),
        sa.Column("origin", sa.String(40)),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("rank", sa.Float, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("cancelling", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("started", sa.Float),
        sa.Column("finished", sa.Float),
        sa.Column("worker", sa.String(100)),
        sa.Column("phase", sa.String(16)),
        sa.Column("failure", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("favourite", sa.Integer, nullable=False),
        sa.Column("key", sa.String(255), unique=True),
        sa.Column("key_digest", sa.String(64)),
    )
    op.create_index("jobs_next", "jobs", ["state", "priority", "rank"])
    op.create_index("jobs_newest", "jobs", ["created", "id"])
    op.create_index("jobs_of_state", "jobs", ["state", "created", "id"])
    op.create_index("jobs_of_model", "jobs", ["model", "created", "id"])
    op.create_index("jobs_of_batch", "jobs", ["batch"])
    op.create_table(
        "events",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.UniqueConstraint("job", "number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
        sa.Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("tier", sa.String(16), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("numbers", sa.Text, nullable=False),
    )
    op.create_index("runs_of_model", "runs", ["model", "at"])
    op.create_table(
        "settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("settings", "runs", "events", "jobs"):
        op.drop_table(table)
