"""When a device's certificate ends is kept beside its fingerprint. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("device") as batch_op:
        batch_op.add_column(sa.Column("certificate_valid_until", UtcDateTime(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("go back by restoring the backup made before the migration")
