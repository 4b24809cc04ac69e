"""Triggers that refuse to change what must stay: audit, seals, events, signed reports. [store]

Statements per dialect, for the migration and for tests. They can be run again: each first drops what
it makes, so a later migration that adds a table runs the whole list once more.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Protected:
    """Rows of ``table`` for which ``condition`` holds (``{row}`` stands for the row) are never changed or deleted."""

    table: str
    condition: str = ""
    # On SQLite INSERT/UPDATE OR REPLACE deletes the row in the way without firing DELETE triggers: what collides.
    collides: str = "id = NEW.id"


PROTECTED = (
    Protected("audit_event"),
    Protected("audit_seal"),
    Protected("workflow_event"),
    Protected(
        "report",
        "{row}.signed_at IS NOT NULL",
        "(id = NEW.id OR (report_uid = NEW.report_uid AND revision = NEW.revision)) AND signed_at IS NOT NULL",
    ),
)


def statements(dialect: str) -> list[str]:
    """DDL for ``sqlite`` or ``postgresql``, to be run in order. Raises KeyError for another dialect."""
    make = {"sqlite": _sqlite, "postgresql": _postgresql}[dialect]
    return [statement for protected in PROTECTED for statement in make(protected)]


def trigger_names(dialect: str) -> set[str]:
    """The triggers that must exist in a migrated database."""
    per_table = {"sqlite": ("update", "delete", "replace"), "postgresql": ("change", "truncate")}[dialect]
    return {f"{protected.table}_refuse_{act}" for protected in PROTECTED for act in per_table}


def _sqlite(protected: Protected) -> Iterator[str]:
    table, old = protected.table, protected.condition.format(row="OLD")
    collides = f"SELECT 1 FROM {table} WHERE {protected.collides}"  # noqa: S608
    conditions = {
        "update": old and f"{old} OR EXISTS ({collides} AND id <> OLD.id)",
        "delete": old,
        "replace": f"EXISTS ({collides})",
    }
    for act, condition in conditions.items():
        name = f"{table}_refuse_{act}"
        verb = "INSERT" if act == "replace" else act.upper()
        when = f" WHEN {condition}" if condition else ""
        yield f"DROP TRIGGER IF EXISTS {name}"
        yield (
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table}{when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _postgresql(protected: Protected) -> Iterator[str]:
    table, old = protected.table, protected.condition.format(row="OLD")
    function, when = f"{table}_refuse", f" WHEN ({old})" if old else ""
    yield f"DROP TRIGGER IF EXISTS {table}_refuse_change ON {table}"
    yield f"DROP TRIGGER IF EXISTS {table}_refuse_truncate ON {table}"
    yield (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    yield (
        f"CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW{when} EXECUTE FUNCTION {function}()"
    )
    yield (
        f"CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
    )
