"""Storage commitment: transactions and what they name. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    op.create_table(
        "commitment_transaction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("peer_ae_title", sa.String(length=16), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=True),
        sa.Column("site_id", sa.Integer(), nullable=True),
        sa.Column("association_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("is_duplicate", sa.Boolean(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("held_until", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["association_id"], ["association.id"], name=op.f("fk_commitment_transaction_association_id_association")
        ),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_commitment_transaction_device_id_device")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_commitment_transaction_site_id_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_transaction")),
    )
    op.create_index(
        "ix_commitment_transaction_uid", "commitment_transaction", ["transaction_uid", "peer_ae_title"]
    )
    for column in ("site_id", "state", "requested_at"):
        op.create_index(op.f(f"ix_commitment_transaction_{column}"), "commitment_transaction", [column])
    op.create_table(
        "commitment_reference",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=True),
        sa.Column("failure_reason", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["commitment_transaction.id"],
            name=op.f("fk_commitment_reference_transaction_id_commitment_transaction"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_reference")),
    )  # fmt: skip
    for column in ("transaction_id", "sop_instance_uid", "study_instance_uid"):
        op.create_index(op.f(f"ix_commitment_reference_{column}"), "commitment_reference", [column])
