"""A series that is asked for belongs to the source that is asked."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "4"
down_revision = "3"

Whole = Integer().with_variant(BigInteger, "postgresql")


def upgrade() -> None:
    """Of what was recorded before nobody knows it; it is learned as sources tell again."""
    op.create_table(
        "told_by",
        Column("row", Whole, primary_key=True, autoincrement=False),
        Column("source", Text, nullable=False),
    )
