"""Everything that is kept: incidents, timers, outgoing rows and the audit, in one database.

One event is one transaction (`Store.begin`); what leaves the process does so afterwards, from rows that this
transaction wrote. SQLite for one process, PostgreSQL for several; the same code and the same promises on both.
"""

from __future__ import annotations

from bot.store.database import Conflict, StoreDown
from bot.store.instance import AlreadyRunning, single_instance
from bot.store.records import (
    AlertRow,
    AuditLine,
    Debt,
    Job,
    Merge,
    Overdue,
    Quarantined,
    QueueStats,
    StoredFile,
    Timer,
)  # fmt: skip
from bot.store.store import Store
from bot.store.tx import Tx

__all__ = [
    "AlertRow", "AlreadyRunning", "AuditLine", "Conflict", "Debt", "Job", "Merge", "Overdue", "Quarantined",
    "QueueStats", "Store", "StoreDown", "StoredFile", "Timer", "Tx", "single_instance",
]  # fmt: skip
