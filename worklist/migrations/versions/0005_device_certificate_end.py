"""When a device's certificate ends is kept beside its fingerprint. [app]"""

import sqlalchemy as sa
from alembic import op

from worklist.base.db import UtcDateTime
from worklist.migrations.forward import no_way_back

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    with op.batch_alter_table("device") as batch_op:
        batch_op.add_column(sa.Column("certificate_valid_until", UtcDateTime(), nullable=True))
