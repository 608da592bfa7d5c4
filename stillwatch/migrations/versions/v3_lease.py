"""Which of several daemons judges and tells."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Float, Integer, Text

revision = "3"
down_revision = "2"

Whole = Integer().with_variant(BigInteger, "postgresql")


def upgrade() -> None:
    """One row at most."""
    op.create_table(
        "lease",
        Column("only", Whole, primary_key=True, autoincrement=False),
        Column("epoch", Whole, nullable=False),
        Column("holder", Text, nullable=False),
        Column("until", Float, nullable=False),
    )
