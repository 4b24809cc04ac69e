"""The metadata with every table of every package in it. [app]"""

from sqlalchemy import MetaData

import reports.tables
import worklist.account_tables
import worklist.base.audit
import worklist.base.outbox
import worklist.tables
from worklist.base.db import Base

TABLE_MODULES = (worklist.tables, worklist.account_tables, worklist.base.audit, worklist.base.outbox, reports.tables)


def metadata() -> MetaData:
    """All tables; importing this module is what registers them."""
    return Base.metadata
