"""How Alembic meets the database: on a connection handed in by ``worklist.base.migrate``. [app]"""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from worklist.base.db import UtcDateTime
from worklist.migrations.metadata import metadata


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Our own column type by its name, the rest as Alembic does."""
    if kind == "type" and isinstance(item, UtcDateTime):
        autogen.imports.add("from worklist.base.db import UtcDateTime")
        return "UtcDateTime()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata(),
    render_as_batch=True,  # SQLite cannot alter most of a table in place
    render_item=render_item,
    transactional_ddl=True,  # on SQLite too: our engine sends BEGIN itself, so a migration is whole or nothing
)
with context.begin_transaction():
    context.run_migrations()
