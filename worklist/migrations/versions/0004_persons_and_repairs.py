"""The person index, identity repairs with their corrections, rejection notes. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "patient_number",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_pk", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["patient_pk"], ["patient.id"], name=op.f("fk_patient_number_patient_pk_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_number")),
        sa.UniqueConstraint("patient_pk", "digest", name=op.f("uq_patient_number_patient_pk_digest")),
    )
    with op.batch_alter_table("patient_number", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_number_digest"), ["digest"], unique=False)

    op.create_table(
        "person_link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("patient_pk", sa.Integer(), nullable=False),
        sa.Column("how", sa.String(length=32), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("linked_by", sa.Integer(), nullable=True),
        sa.Column("linked_at", UtcDateTime(), nullable=False),
        sa.Column("undone_at", UtcDateTime(), nullable=True),
        sa.Column("undone_by", sa.Integer(), nullable=True),
        sa.Column("undone_reason", sa.String(length=256), nullable=True),
        sa.ForeignKeyConstraint(["linked_by"], ["account.id"], name=op.f("fk_person_link_linked_by_account")),
        sa.ForeignKeyConstraint(["patient_pk"], ["patient.id"], name=op.f("fk_person_link_patient_pk_patient")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_person_link_person_id_person")),
        sa.ForeignKeyConstraint(["undone_by"], ["account.id"], name=op.f("fk_person_link_undone_by_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_link")),
    )
    with op.batch_alter_table("person_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_link_patient_pk"), ["patient_pk"], unique=False)
        batch_op.create_index(batch_op.f("ix_person_link_person_id"), ["person_id"], unique=False)
        batch_op.create_index(
            "uq_person_link_current",
            ["patient_pk"],
            unique=True,
            sqlite_where=sa.text("undone_at IS NULL"),
            postgresql_where=sa.text("undone_at IS NULL"),
        )

    op.create_table(
        "person_proposal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_pk", sa.Integer(), nullable=False),
        sa.Column("other_pk", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("decided_by", sa.Integer(), nullable=True),
        sa.Column("decided_reason", sa.String(length=256), nullable=True),
        sa.ForeignKeyConstraint(["decided_by"], ["account.id"], name=op.f("fk_person_proposal_decided_by_account")),
        sa.ForeignKeyConstraint(["other_pk"], ["patient.id"], name=op.f("fk_person_proposal_other_pk_patient")),
        sa.ForeignKeyConstraint(["patient_pk"], ["patient.id"], name=op.f("fk_person_proposal_patient_pk_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_proposal")),
        sa.UniqueConstraint("patient_pk", "other_pk", name=op.f("uq_person_proposal_patient_pk_other_pk")),
    )
    with op.batch_alter_table("person_proposal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_proposal_other_pk"), ["other_pk"], unique=False)
        batch_op.create_index(batch_op.f("ix_person_proposal_state"), ["state"], unique=False)

    op.create_table(
        "rejection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("note_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("made_by", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("undone_at", UtcDateTime(), nullable=True),
        sa.Column("undone_by", sa.Integer(), nullable=True),
        sa.Column("undone_reason", sa.String(length=256), nullable=True),
        sa.ForeignKeyConstraint(["made_by"], ["account.id"], name=op.f("fk_rejection_made_by_account")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_rejection_site_id_site")),
        sa.ForeignKeyConstraint(["undone_by"], ["account.id"], name=op.f("fk_rejection_undone_by_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejection")),
        sa.UniqueConstraint("note_sop_instance_uid", name=op.f("uq_rejection_note_sop_instance_uid")),
    )
    op.create_table(
        "repair",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("from_patient_pk", sa.Integer(), nullable=False),
        sa.Column("to_patient_pk", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.Column("made_by", sa.Integer(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("undone_at", UtcDateTime(), nullable=True),
        sa.Column("undone_by", sa.Integer(), nullable=True),
        sa.Column("undone_reason", sa.String(length=256), nullable=True),
        sa.ForeignKeyConstraint(["from_patient_pk"], ["patient.id"], name=op.f("fk_repair_from_patient_pk_patient")),
        sa.ForeignKeyConstraint(["made_by"], ["account.id"], name=op.f("fk_repair_made_by_account")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_repair_site_id_site")),
        sa.ForeignKeyConstraint(["to_patient_pk"], ["patient.id"], name=op.f("fk_repair_to_patient_pk_patient")),
        sa.ForeignKeyConstraint(["undone_by"], ["account.id"], name=op.f("fk_repair_undone_by_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repair")),
    )
    with op.batch_alter_table("repair", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_repair_from_patient_pk"), ["from_patient_pk"], unique=False)
        batch_op.create_index(batch_op.f("ix_repair_to_patient_pk"), ["to_patient_pk"], unique=False)

    op.create_table(
        "rejected_instance",
        sa.Column("rejection_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["rejection_id"], ["rejection.id"], name=op.f("fk_rejected_instance_rejection_id_rejection")
        ),
        sa.PrimaryKeyConstraint("rejection_id", "sop_instance_uid", name=op.f("pk_rejected_instance")),
    )
    with op.batch_alter_table("rejected_instance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rejected_instance_sop_instance_uid"), ["sop_instance_uid"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_rejected_instance_study_instance_uid"), ["study_instance_uid"], unique=False
        )

    op.create_table(
        "correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repair_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("keyword", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("undone_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["repair_id"], ["repair.id"], name=op.f("fk_correction_repair_id_repair")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_correction_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
    )
    with op.batch_alter_table("correction", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_correction_repair_id"), ["repair_id"], unique=False)
        batch_op.create_index("ix_correction_study", ["study_id", "undone_at"], unique=False)

    op.create_table(
        "repaired_study",
        sa.Column("repair_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["repair_id"], ["repair.id"], name=op.f("fk_repaired_study_repair_id_repair")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_repaired_study_study_id_study")),
        sa.PrimaryKeyConstraint("repair_id", "study_id", name=op.f("pk_repaired_study")),
    )
    with op.batch_alter_table("repaired_study", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_repaired_study_study_id"), ["study_id"], unique=False)
