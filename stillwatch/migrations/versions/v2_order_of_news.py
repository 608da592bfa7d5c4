"""News has its place in the order in which it was made, which a row's number in SQLite no longer has to tell."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, text

revision = "2"
down_revision = "1"

Whole = Integer().with_variant(BigInteger, "postgresql")


def upgrade() -> None:
    """In a file from before, the numbers of rows are the order."""
    op.add_column("news", Column("place", Whole))
    if op.get_bind().dialect.name == "sqlite":
        op.execute(text("UPDATE news SET place = rowid"))
        op.execute(text("PRAGMA user_version = 3"))  # an older Stillwatch does not know of places
    else:
        numbered = (
            "SELECT incident, number, row_number() OVER (ORDER BY time, incident, number) AS place FROM news"
        )
        op.execute(
            text(
                f"UPDATE news SET place = of.place FROM ({numbered}) AS of "  # noqa: S608  (nothing from outside)
                "WHERE news.incident = of.incident AND news.number = of.number"
            )
        )
    with op.batch_alter_table("news") as news:
        news.alter_column("place", existing_type=Whole, nullable=False)
    op.create_index("ix_news_place", "news", ["place"], unique=True)
