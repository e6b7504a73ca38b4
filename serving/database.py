"""`app.db`: what people and the API write (alerts, investigations, idempotency keys), in SQLite by SQLAlchemy Core.

WAL, so readers never wait for a writer; `synchronous=FULL`, so a committed row survives a power cut. The
tables are declared by the modules that own them, on `METADATA`, and made when the database is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ingestion.workspace import Workspace

METADATA = sa.MetaData()
#: How long a writer waits for another one, in seconds.
BUSY_SECONDS = 10.0


def open_database(workspace: Workspace) -> sa.Engine:
    """The engine of a workspace's `app.db` (mode 0600), its tables made. `dispose()` it when done."""
    if not workspace.app_db.exists():
        workspace.app_db.touch(mode=0o600)
    engine = sa.create_engine(f"sqlite:///{workspace.app_db}", connect_args={"timeout": BUSY_SECONDS})
    sa.event.listen(engine, "connect", _set_pragmas)
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=_name):
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
    return engine


@contextmanager
def database(workspace: Workspace) -> Iterator[sa.Engine]:
    """`open_database` for the length of a job."""
    engine = open_database(workspace)
    try:
        yield engine
    finally:
        engine.dispose()


def _name(index: sa.Index) -> str:
    return str(index.name)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
