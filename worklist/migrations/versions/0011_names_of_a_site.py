"""Names are looked up with the site they are of. [app]"""

from alembic import op

from worklist.migrations.forward import no_way_back

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
downgrade = no_way_back


def upgrade() -> None:
    for name in ("name", "name_pinyin", "name_initials", "name_alphabetic"):
        op.create_index(f"ix_patient_{name}_site_id", "patient", [name, "site_id"], postgresql_include=["id"])
        op.drop_index(f"ix_patient_{name}", "patient")
