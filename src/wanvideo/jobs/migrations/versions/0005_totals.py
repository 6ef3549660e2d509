"""How many jobs are in each state, and their bytes, kept by the database: to count a million rows takes too long.

PostgreSQL counts for each connection by itself, so that no two transactions wait for one another; the sum is what is
true. It does so once for each statement, since a row that one transaction changes a thousand times gets slow.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"

_SQLITE: Final = (
    """CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN
        INSERT INTO totals (state, shard, jobs, bytes) VALUES (NEW.state, 0, 1, coalesce(NEW.bytes, 0))
        ON CONFLICT (state, shard) DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes; END""",
    """CREATE TRIGGER jobs_changed AFTER UPDATE OF state, bytes ON jobs BEGIN
        UPDATE totals SET jobs = jobs - 1, bytes = bytes - coalesce(OLD.bytes, 0) WHERE state = OLD.state AND shard = 0;
        INSERT INTO totals (state, shard, jobs, bytes) VALUES (NEW.state, 0, 1, coalesce(NEW.bytes, 0))
        ON CONFLICT (state, shard) DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes; END""",
    """CREATE TRIGGER jobs_removed AFTER DELETE ON jobs BEGIN
        UPDATE totals SET jobs = jobs - 1, bytes = bytes - coalesce(OLD.bytes, 0) WHERE state = OLD.state AND shard = 0;
       END""",
)
_ADDED: Final = "SELECT state, 1 AS jobs, coalesce(bytes, 0) AS bytes FROM added"
_REMOVED: Final = "SELECT state, -1 AS jobs, -coalesce(bytes, 0) AS bytes FROM removed"
# When, what the statement has brought and taken, and the sum of it.
_POSTGRESQL: Final = (
    ("jobs_added", "INSERT", "NEW TABLE AS added", _ADDED),
    ("jobs_changed", "UPDATE", "OLD TABLE AS removed NEW TABLE AS added", f"{_REMOVED} UNION ALL {_ADDED}"),
    ("jobs_removed", "DELETE", "OLD TABLE AS removed", _REMOVED),
)


def upgrade() -> None:
    op.create_table(
        "totals",
        sa.Column("state", sa.String(16), primary_key=True),
        sa.Column("shard", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO totals (state, shard, jobs, bytes) "
        "SELECT state, 0, count(*), coalesce(sum(bytes), 0) FROM jobs GROUP BY state"
    )
    if op.get_bind().dialect.name == "sqlite":
        for trigger in _SQLITE:
            op.execute(trigger)
    else:
        for name, event, tables, rows in _POSTGRESQL:
            op.execute(_counting(name, rows))
            op.execute(
                f"CREATE TRIGGER {name} AFTER {event} ON jobs REFERENCING {tables} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


def downgrade() -> None:
    for name, *_ in _POSTGRESQL:
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER {name}")
        else:
            op.execute(f"DROP TRIGGER {name} ON jobs")
            op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("totals")


def _counting(name: str, rows: str) -> str:
    return f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO totals (state, shard, jobs, bytes)
        SELECT state, pg_backend_pid(), sum(jobs), sum(bytes) FROM ({rows}) AS changes
        GROUP BY state HAVING sum(jobs) <> 0 OR sum(bytes) <> 0
        ON CONFLICT (state, shard) DO UPDATE
        SET jobs = totals.jobs + excluded.jobs, bytes = totals.bytes + excluded.bytes;
        RETURN NULL; END $$"""
