"""Messages about jobs on their way to other servers."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"

_SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("message", sa.String(64), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
    )
    op.create_index("deliveries_due", "deliveries", ["target", "due"])


def downgrade() -> None:
    op.drop_table("deliveries")
