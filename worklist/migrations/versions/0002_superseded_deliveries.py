"""Overtaken deliveries have a state of their own; a workitem says why its images are taken again. [app]"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE delivery SET state = 'SUPERSEDED', last_error = NULL"
        " WHERE state = 'DEAD' AND last_error = 'superseded'"
    )
    op.add_column("workitem", sa.Column("retake_reason", sa.String(length=32), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring the backup made before the migration")
