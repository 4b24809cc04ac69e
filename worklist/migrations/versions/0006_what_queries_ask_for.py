"""What C-FIND and QIDO-RS ask for, and the indexes that answer over a million studies. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.migrations.forward import no_way_back

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
downgrade = no_way_back

SEARCHED = {
    "patient": {"patient_id": 64, "name": 256, "name_pinyin": 512, "name_initials": 64},
    "study": {"accession_number": 64},
}
NEW_TEXTS = {
    "patient": (("name_sent", 256, False), ("name_alphabetic", 256, True)),
    "study": (
        ("study_date", 8, True), ("study_time", 16, True), ("study_id_sent", 64, True),
        ("referring_physician_name", 256, False),
    ),
    "series": (
        ("series_date", 8, True), ("series_time", 16, True), ("performed_start_date", 8, True),
        ("performed_start_time", 16, True), ("requested_procedure_id", 64, True), ("scheduled_step_id", 64, True),
    ),
}  # fmt: skip


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    if is_postgres:  # ordered by code point, so that an index finds a beginning; SQLite's are so already
        for table, columns in SEARCHED.items():
            for name, length in columns.items():
                op.execute(f'ALTER TABLE {table} ALTER COLUMN {name} TYPE VARCHAR({length}) COLLATE "C"')
    for table, texts in NEW_TEXTS.items():
        with op.batch_alter_table(table) as batch_op:
            for name, length, is_searched in texts:
                kind = sa.String(length, collation="C") if is_searched and is_postgres else sa.String(length)
                batch_op.add_column(sa.Column(name, kind, nullable=False, server_default=""))
        with op.batch_alter_table(table) as batch_op:  # the defaults were for the rows that were there
            for name, _, _ in texts:
                batch_op.alter_column(name, server_default=None)
    with op.batch_alter_table("instance") as batch_op:
        for name in ("rows", "columns", "bits_allocated", "number_of_frames"):
            batch_op.add_column(sa.Column(name, sa.Integer(), nullable=True))
    _indexes()


def _indexes() -> None:
    op.create_index("ix_patient_patient_id", "patient", ["patient_id"])
    op.create_index("ix_patient_name_alphabetic", "patient", ["name_alphabetic"])
    op.create_index("ix_patient_birth_date", "patient", ["birth_date"])
    not_empty = sa.text("n_instances > 0")
    for name, columns in (
        ("ix_study_newest", ["study_date", "id", "site_id", "kind"]),
        ("ix_study_newest_of_site", ["site_id", "study_date", "id"]),
    ):
        op.create_index(name, "study", columns, sqlite_where=not_empty, postgresql_where=not_empty)
    op.create_index("ix_series_modality", "series", ["modality", "study_id"])
    op.drop_index("ix_instance_series_id", "instance")
    op.create_index("ix_instance_series", "instance", ["series_id", "hidden_code"])
