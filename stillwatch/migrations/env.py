"""What Alembic runs: all steps that are missing, within the transaction that schema.py has begun."""

from __future__ import annotations

from alembic import context

from stillwatch.schema import VERSIONS

context.configure(connection=context.config.attributes["connection"], version_table=VERSIONS)
context.run_migrations()
