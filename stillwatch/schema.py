"""The version of the tables, and how they are brought up to the newest: Alembic goes through `migrations`.

In: an engine on a database of ours. Out: the same with all tables as tables.py has them, or StoreTrouble.
Never: a step of the way kept without the others; a newer database touched.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text

from stillwatch.tables import StoreTrouble

VERSIONS = "stillwatch_version"  # the table that says which version the others have
NEWEST = "4"  # the last step in migrations/versions; asking Alembic for it would slow down every start


def upgrade(engine: Engine, name: str) -> None:
    """Bring the tables up to the newest version, in one transaction. name: of the database, for people.

    Raises StoreTrouble where a newer Stillwatch has written there.
    """
    with engine.begin() as connection:
        if version(connection) == NEWEST:
            return
    with engine.execution_options(writes=True).begin() as connection:
        _upgrade(connection, name)  # another one may have done it meanwhile: then there is nothing to do


def version(connection: Connection) -> str | None:
    """The version that the tables have, None where none is written down."""
    if not inspect(connection).has_table(VERSIONS):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSIONS}")).scalar_one_or_none()  # noqa: S608
    return None if found is None else str(found)


def _upgrade(connection: Connection, name: str) -> None:
    from alembic import command  # costs a fifth of a second, and is hardly ever needed
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "stillwatch:migrations")
    config.set_main_option("path_separator", "os")
    found = version(connection)
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreTrouble(
            f"{name}: written by a newer Stillwatch (tables of version {found}, this one knows {NEWEST}); "
            "update Stillwatch or name another one in `database`"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
