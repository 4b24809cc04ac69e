"""Worklist fetches, performed steps with what they made and their dose, and what speaks for completeness. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    with op.batch_alter_table("imaging_order") as batch_op:
        batch_op.add_column(sa.Column("study_instance_uid", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column("acquisition", sa.String(length=32), nullable=False, server_default="requested")
        )
        batch_op.add_column(sa.Column("acquisition_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("acquisition_device", sa.String(length=64), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("acquisition_reason", sa.String(length=64), nullable=False, server_default=""))
        batch_op.create_unique_constraint(batch_op.f("uq_imaging_order_study_instance_uid"), ["study_instance_uid"])
    with op.batch_alter_table("imaging_order") as batch_op:  # the defaults were for the rows that were there
        for name in ("acquisition", "acquisition_device", "acquisition_reason"):
            batch_op.alter_column(name, server_default=None)
    with op.batch_alter_table("study") as batch_op:
        batch_op.add_column(sa.Column("weighed_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("n_missing", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("released_at", UtcDateTime(), nullable=True))
    _tables()


def _tables() -> None:
    op.create_table(
        "worklist_fetch",
        sa.Column("order_uid", sa.String(length=64), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("name_sent", sa.String(length=256), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_worklist_fetch_device_id_device")),
        sa.ForeignKeyConstraint(
            ["order_uid"], ["imaging_order.order_uid"], name=op.f("fk_worklist_fetch_order_uid_imaging_order")
        ),
        sa.PrimaryKeyConstraint("order_uid", "device_id", name=op.f("pk_worklist_fetch")),
    )
    op.create_table(
        "performed_step",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_performed_step_device_id_device")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_performed_step_site_id_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performed_step")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_performed_step_sop_instance_uid")),
    )
    op.create_index(op.f("ix_performed_step_site_id"), "performed_step", ["site_id"])
    op.create_table(
        "performed_study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("order_uid", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_uid"], ["imaging_order.order_uid"], name=op.f("fk_performed_study_order_uid_imaging_order")
        ),
        sa.ForeignKeyConstraint(
            ["step_id"], ["performed_step.id"], name=op.f("fk_performed_study_step_id_performed_step")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performed_study")),
    )
    for column in ("step_id", "study_instance_uid", "order_uid"):
        op.create_index(op.f(f"ix_performed_study_{column}"), "performed_study", [column])
    op.create_table(
        "performed_instance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("is_image", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["step_id"], ["performed_step.id"], name=op.f("fk_performed_instance_step_id_performed_step")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performed_instance")),
    )
    for column in ("step_id", "sop_instance_uid"):
        op.create_index(op.f(f"ix_performed_instance_{column}"), "performed_instance", [column])
    op.create_table(
        "dose",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["performed_step.id"], name=op.f("fk_dose_step_id_performed_step")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dose")),
    )
    op.create_index(op.f("ix_dose_step_id"), "dose", ["step_id"])
