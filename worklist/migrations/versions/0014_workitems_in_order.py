"""Workitems of a state stand in the order in which a UPS query walks them. [app]"""

from alembic import op

from worklist.migrations.forward import no_way_back

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    op.create_index("ix_workitem_state_workitem_uid", "workitem", ["state", "workitem_uid"])
    op.drop_index("ix_workitem_state", "workitem")
