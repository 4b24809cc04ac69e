"""What devices are told of performed steps. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    op.create_table(
        "step_notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.Integer(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_step_notice_device_id_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_notice")),
    )
    op.create_index("ix_step_notice_waiting", "step_notice", ["device_id", "told_at", "id"])
    op.create_index(op.f("ix_step_notice_made_at"), "step_notice", ["made_at"])
