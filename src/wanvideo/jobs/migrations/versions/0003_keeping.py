"""How large each video is, and when it will be removed, if it will."""

import json
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

_AT_ONCE: Final = 500  # rows


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("bytes", sa.BigInteger))
        jobs.add_column(sa.Column("expires", sa.Float))
        jobs.create_index("jobs_finished", ["finished"])
        jobs.create_index("jobs_expiring", ["expires"])
    _measure(op.get_bind())


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_index("jobs_expiring")
        jobs.drop_index("jobs_finished")
        jobs.drop_column("expires")
        jobs.drop_column("bytes")


def _measure(connection: sa.Connection) -> None:
    """Of videos that are there already, from what their workers said."""
    jobs = sa.table("jobs", sa.column("id", sa.String), sa.column("result", sa.Text), sa.column("bytes", sa.BigInteger))
    made = sa.select(jobs.c.id, jobs.c.result).where(jobs.c.result.is_not(None)).order_by(jobs.c.id).limit(_AT_ONCE)
    last = ""
    while rows := connection.execute(made.where(jobs.c.id > last)).all():
        last = rows[-1].id
        sizes = [{"which": row.id, "size": _size(json.loads(row.result))} for row in rows]
        connection.execute(
            sa.update(jobs).where(jobs.c.id == sa.bindparam("which")).values(bytes=sa.bindparam("size")), sizes
        )


def _size(result: Any) -> int | None:
    size = result.get("bytes") if isinstance(result, dict) else None
    return size if isinstance(size, int) else None
