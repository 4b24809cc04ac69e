"""Devices: what they may ask, from where it is believed, where they are reached; hidden instances. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.migrations.forward import no_way_back

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    with op.batch_alter_table("device") as batch_op:
        batch_op.add_column(
            sa.Column("character_set", sa.String(length=32), nullable=False, server_default="ISO_IR 192")
        )
        batch_op.add_column(sa.Column("certificate_sha256", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("host", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("port", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("sees", sa.String(length=32), nullable=False, server_default="site"))
        batch_op.add_column(sa.Column("move_destinations", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("exception_reason", sa.String(length=256), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_device_certificate_sha256"), ["certificate_sha256"])
    with op.batch_alter_table("device") as batch_op:  # the defaults were for the rows that were there
        for name in ("character_set", "sees", "move_destinations"):
            batch_op.alter_column(name, server_default=None)
    with op.batch_alter_table("instance") as batch_op:
        batch_op.add_column(sa.Column("hidden_code", sa.String(length=16), nullable=True))
