"""Copies in archives, and how far an archive's changes are followed. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    op.create_table(
        "archive_copy",
        sa.Column("archive", sa.String(length=200), nullable=False),
        sa.Column("blob_key", sa.String(length=160), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("md5", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("stored_at", UtcDateTime(), nullable=True),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("evicted_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_archive_copy_instance_id_instance")
        ),
        sa.PrimaryKeyConstraint("archive", "blob_key", name=op.f("pk_archive_copy")),
    )
    op.create_index(op.f("ix_archive_copy_instance_id"), "archive_copy", ["instance_id"])
    op.create_index("ix_archive_copy_local", "archive_copy", ["archive", "state", "evicted_at", "used_at"])
    op.create_table(
        "archive_position",
        sa.Column("name", sa.String(length=220), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_archive_position")),
    )
