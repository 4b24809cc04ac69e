"""The metadata with every table of every package in it. [app]"""

from sqlalchemy import MetaData

import reports.tables
import worklist.account_tables
import worklist.acquisition_tables
import worklist.archive_tables
import worklist.base.audit
import worklist.base.outbox
import worklist.commitment_tables
import worklist.person_tables
import worklist.repair_tables
import worklist.tables
import worklist.ups_tables
from worklist.base.db import Base

TABLE_MODULES = (
    worklist.tables, worklist.account_tables, worklist.base.audit, worklist.base.outbox, worklist.person_tables,
    worklist.commitment_tables, worklist.acquisition_tables, worklist.ups_tables,
    worklist.repair_tables, worklist.archive_tables, reports.tables,
)  # fmt: skip


def metadata() -> MetaData:
    """All tables; importing this module is what registers them."""
    return Base.metadata
