"""The schema goes forward only: what a migration gave up, no later one can invent. [app]"""

from typing import NoReturn

from alembic.util import CommandError


def no_way_back() -> NoReturn:
    """What every version says when asked to undo itself. Raises CommandError."""
    raise CommandError(
        "数据库结构只向前升级；要退回旧版本，请恢复升级前的备份"
        " / the schema only goes forward; to return to an older version, restore the backup made before the migration"
    )
