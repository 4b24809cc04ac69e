"""Overtaken deliveries have a state of their own; a workitem says why its images are taken again. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.migrations.forward import no_way_back

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    op.execute(
        "UPDATE delivery SET state = 'SUPERSEDED', last_error = NULL"
        " WHERE state = 'DEAD' AND last_error = 'superseded'"
    )
    op.add_column("workitem", sa.Column("retake_reason", sa.String(length=32), nullable=True))
