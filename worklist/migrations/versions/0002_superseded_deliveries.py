"""Deliveries that a later report overtook have a state of their own. [app]"""

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


def downgrade() -> None:
    raise NotImplementedError("go back by restoring the backup made before the migration")
