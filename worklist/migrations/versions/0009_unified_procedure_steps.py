"""Unified procedure steps: tasks of others, subscriptions, events to be told; whose workstation a device is. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    with op.batch_alter_table("device") as batch_op:
        batch_op.add_column(sa.Column("performs_as", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_device_performs_as_account"), "account", ["performs_as"], ["id"])
    _create_task()
    _create_subscription()
    op.create_table(
        "ups_extra",
        sa.Column("workitem_uid", sa.String(length=64), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workitem_uid"], ["workitem.workitem_uid"], name=op.f("fk_ups_extra_workitem_uid_workitem")
        ),
        sa.PrimaryKeyConstraint("workitem_uid", name=op.f("pk_ups_extra")),
    )
    op.create_table(
        "ups_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("workitem_uid", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.Integer(), nullable=False),
        sa.Column("information", sa.JSON(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ups_event")),
    )
    op.create_index("ix_ups_event_waiting", "ups_event", ["ae_title", "told_at", "id"])
    op.create_index(op.f("ix_ups_event_made_at"), "ups_event", ["made_at"])
    op.create_table(
        "ups_told",
        sa.Column("workitem_uid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("readiness", sa.String(length=32), nullable=False),
        sa.Column("scheduled_performer", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workitem_uid"], ["workitem.workitem_uid"], name=op.f("fk_ups_told_workitem_uid_workitem")
        ),
        sa.PrimaryKeyConstraint("workitem_uid", name=op.f("pk_ups_told")),
    )
    op.create_table(
        "ups_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ups_cursor")),
    )


def _create_task() -> None:
    op.create_table(
        "ups_task",
        sa.Column("workitem_uid", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=True),
        sa.Column("performer", sa.String(length=64), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_ups_task_site_id_site")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_ups_task_study_id_study")),
        sa.PrimaryKeyConstraint("workitem_uid", name=op.f("pk_ups_task")),
    )
    for column in ("site_id", "study_id", "state", "created_at"):
        op.create_index(op.f(f"ix_ups_task_{column}"), "ups_task", [column])


def _create_subscription() -> None:
    op.create_table(
        "ups_subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("has_lock", sa.Boolean(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("suspended_at", UtcDateTime(), nullable=True),
        sa.Column("device_id", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_ups_subscription_account_id_account")),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_ups_subscription_device_id_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ups_subscription")),
        sa.UniqueConstraint("ae_title", "scope", name=op.f("uq_ups_subscription_ae_title_scope")),
    )
    op.create_index(op.f("ix_ups_subscription_scope"), "ups_subscription", ["scope"])
