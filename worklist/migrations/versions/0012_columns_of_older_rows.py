"""What was filed before migration 0006 gets its query columns: the worker is promised that work. [app]"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
downgrade = no_way_back

STUDY = sa.table("study", sa.column("study_date", sa.String))
JOB = sa.table(
    "outbox_job", sa.column("kind", sa.String), sa.column("key", sa.String), sa.column("payload", sa.JSON),
    sa.column("created_at", UtcDateTime), sa.column("due_at", UtcDateTime), sa.column("n_promises", sa.Integer),
    sa.column("n_attempts", sa.Integer), sa.column("n_lost", sa.Integer),
)  # fmt: skip


def upgrade() -> None:
    if op.get_bind().execute(sa.select(1).select_from(STUDY).where(STUDY.c.study_date == "").limit(1)).first() is None:
        return
    now = datetime.now(UTC)
    op.bulk_insert(JOB, [{
        "kind": "query_columns", "key": "query_columns", "payload": {"after": 0}, "created_at": now, "due_at": now,
        "n_promises": 1, "n_attempts": 0, "n_lost": 0,
    }])  # fmt: skip
