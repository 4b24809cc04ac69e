"""${message}. [app]"""

# ruff: noqa: PLR0915 (one statement a table)

import sqlalchemy as sa
from alembic import op

from worklist.migrations.forward import no_way_back
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
downgrade = no_way_back


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
