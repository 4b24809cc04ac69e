"""Workitems of a state stand in the order in which a UPS query walks them. [app]"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_workitem_state_workitem_uid", "workitem", ["state", "workitem_uid"])
    op.drop_index("ix_workitem_state", "workitem")


def downgrade() -> None:
    raise NotImplementedError("go back by restoring the backup made before the migration")
