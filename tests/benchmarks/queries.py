"""How long C-FIND, QIDO-RS and UPS queries take over a million studies, on SQLite and on PostgreSQL.

``python -m tests.benchmarks.queries [studies]``. The rows are made by SQL in the database: 60 sites, 700,000 people
with Chinese names, three years of days, two series and four instances a study. Timed is what the services do on the
index for one page, and its making into answers, without the network; on SQLite in processor time, as it all happens
in one thread and in memory, on PostgreSQL by the wall clock.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text, true
from sqlalchemy.orm import Session

from pacs_bridge import qido, ups_query
from pacs_bridge.qido import Search
from tests.benchmarks import document
from tests.benchmarks.query_data import FIRST_DAY, GIVEN, N_DAYS, SURNAMES, fill, n_patients
from tests.peers.postgres import running_postgres
from viewer.dicomweb_query import sight_of
from worklist import query_store, ups_store
from worklist.access import Actor
from worklist.access_store import visible_studies
from worklist.base import migrate
from worklist.base.db import Database
from worklist.person import name_initials
from worklist.query_rows import answers
from worklist.query_store import Sight
from worklist.tables import Study
from worklist.ups_store import Place
from worklist.ups_tables import UpsTask

N_STUDIES, N_TIMES, TARGET_MS = 1_000_000, 60, 50
NOW = datetime(2026, 11, 1, tzinfo=UTC)
COMPARED = "waiting, name in pinyin"  # no key of UPS that the database looks up: all 3,000 waiting are compared
Row = tuple[str, str, str, int]


def queries(
    n: int, patients: int, names: list[tuple[str, str]]
) -> dict[str, Callable[[random.Random], dict[str, str]]]:
    """What is asked, each time with other values."""

    def day(chance: random.Random, length: int = 0) -> str:
        first = FIRST_DAY + timedelta(chance.randrange(N_DAYS - 400))
        return f"{first:%Y%m%d}" + (f"-{first + timedelta(length):%Y%m%d}" if length else "")

    return {
        "no key": lambda _: {},
        "patient ID": lambda chance: {"PatientID": f"P{chance.randrange(patients)}"},
        "patient ID, prefix": lambda chance: {"PatientID": f"P{chance.randrange(1000, 9999)}*"},
        "name in characters": lambda chance: {"PatientName": chance.choice(names)[0]},
        "name in pinyin": lambda chance: {"PatientName": chance.choice(names)[1]},
        "surname in characters": lambda chance: {"PatientName": chance.choice(SURNAMES) + "*"},
        "pinyin, prefix": lambda chance: {"PatientName": chance.choice(names)[1][:5] + "*"},
        "initials": lambda chance: {"PatientName": name_initials(chance.choice(names)[0])},
        "birth date": lambda chance: {"PatientBirthDate": f"{date(1940, 1, 1) + timedelta(chance.randrange(27000)):%Y%m%d}"},
        "accession number": lambda chance: {"AccessionNumber": f"A{1000000 + chance.randrange(1, n)}"},
        "accession number, prefix": lambda chance: {"AccessionNumber": f"A{chance.randrange(1000, 1999)}*"},
        "one day": lambda chance: {"StudyDate": day(chance)},
        "a year": lambda chance: {"StudyDate": day(chance, 365)},
        "a month and CT": lambda chance: {"StudyDate": day(chance, 30), "ModalitiesInStudy": "CT"},
        "a year and surname": lambda chance: {"StudyDate": day(chance, 365), "PatientName": chance.choice(SURNAMES) + "*"},
        "rare modality": lambda _: {"ModalitiesInStudy": "RG"},
        "study UID": lambda chance: {"StudyInstanceUID": f"1.2.840.99.1.{chance.randrange(1, n)}"},
    }  # fmt: skip


def measure(db: Database, n: int, add: Callable[..., None], size: str) -> None:
    label, patients = db.engine.dialect.name, n_patients(n)
    chance = random.Random(11)
    with db.read() as session:
        names = [(row[0], row[1]) for row in session.execute(
            text("SELECT name, name_pinyin FROM patient WHERE id % 997 = 0")
        )]  # fmt: skip
    actor = Actor(1, "reader", "", "reader", 1, "S1", frozenset({"image", "ecg"}), "s", "zh")
    clinician = Actor(2, "clinician", "", "clinician", 7, "S7", frozenset(), "s", "zh")
    with db.read() as session:
        own_site = sight_of(session, clinician, NOW)
    sights = {
        "every site": Sight(visible_studies(actor, NOW)), "one of 60 sites (device)": Sight(Study.site_id == 7, 7),
        "one of 60 sites (clinician)": own_site,
    }  # fmt: skip
    for sight_name, sight in sights.items():
        worst: list[float] = []
        for name, make in queries(n, patients, names).items():
            times_ms = [_timed(db, qido.read("STUDY", {}, [*make(chance).items(), ("limit", "25")]), sight)
                        for _ in range(N_TIMES)]  # fmt: skip
            p95 = statistics.quantiles(times_ms, n=20)[-1]
            worst.append(p95)
            print(
                f"{label}, {sight_name}, {name}: median {statistics.median(times_ms):.1f} ms, p95 {p95:.1f} ms",
                flush=True,
            )
        add(f"{label}, {sight_name}: 25 studies by {len(worst)} kinds of keys, the slowest kind's p95",
            f"≤ {TARGET_MS} ms", f"{max(worst):.0f} ms", N_TIMES)  # fmt: skip
    contains = [_timed(db, qido.read("STUDY", {}, [("PatientName", f"*{chance.choice(GIVEN)}{chance.choice(GIVEN)}"),
                                                   ("limit", "25")]), sights["every site"]) for _ in range(10)]  # fmt: skip
    add(
        f"{label}: name that contains two characters, p95",
        "—",
        f"{statistics.quantiles(contains, n=20)[-1]:.0f} ms",
        10,
    )
    deep = [_timed(db, qido.read("STUDY", {}, [("offset", str(n - 1000)), ("limit", "25")]), sights["every site"])
            for _ in range(10)]  # fmt: skip
    add(f"{label}: offset {n - 1000}, p95", "—", f"{statistics.quantiles(deep, n=20)[-1]:.0f} ms", 10)
    add(f"{label}: size of all indexes / of the database", "—", size)


def ups_queries(n: int) -> dict[str, Callable[[random.Random], list[tuple[str, str]]]]:
    """What workstations ask of the worklist, each time with other values."""
    waiting = ("ProcedureStepState", "SCHEDULED")
    coming = "ScheduledProcedureStepStartDateTime"
    return {
        "waiting": lambda _: [waiting],
        "waiting, of a priority": lambda _: [waiting, ("ScheduledProcedureStepPriority", "MEDIUM")],
        "waiting, of a day": lambda _: [waiting, (coming, f"{FIRST_DAY + timedelta(N_DAYS - 1):%Y%m%d}")],
        COMPARED: lambda _: [waiting, ("PatientName", "wang*")],
        "patient ID": lambda chance: [("PatientID", f"P{chance.randrange(1, n_patients(n))}")],
        "accession number": lambda chance: [
            ("ReferencedRequestSequence.AccessionNumber", f"A{1000000 + chance.randrange(1, n)}")
        ],
        "study UID": lambda chance: [("StudyInstanceUID", f"1.2.840.99.1.{chance.randrange(1, n)}")],
        "workitem UID": lambda chance: [("SOPInstanceUID", f"1.2.840.99.4.{chance.randrange(1, n)}")],
    }  # fmt: skip


def measure_ups(db: Database, n: int, add: Callable[..., None]) -> None:
    """The first 25 answers to UPS C-FIND and UPS-RS, over as many workitems as studies."""
    label, chance = db.engine.dialect.name, random.Random(13)
    place = Place("TELEREAD", "http://localhost/dicom-web", ZoneInfo("Asia/Shanghai"), lambda session, uids: {})
    for sight_name, sight in {
        "every site": ups_store.Sight(true(), true()),
        "one of 60 sites": ups_store.Sight(Study.site_id == 7, UpsTask.site_id == 7),
    }.items():
        worst: list[float] = []
        for name, make in ups_queries(n).items():
            times_ms: list[float] = []
            for _ in range(10 if name == COMPARED else N_TIMES):
                keys, began = ups_query.read(make(chance)).keys, _clock(db)
                with db.read() as session:
                    list(islice(ups_store.search(session, place, sight, keys), 25))
                times_ms.append((_clock(db) - began) * 1000)
            p95 = statistics.quantiles(times_ms, n=20)[-1]
            print(f"{label}, UPS, {sight_name}, {name}: median {statistics.median(times_ms):.1f} ms, p95 {p95:.1f} ms",
                  flush=True)  # fmt: skip
            if name == COMPARED:
                add(f"{label}, UPS, {sight_name}: {name}, p95", "—", f"{p95:.0f} ms", len(times_ms))
            else:
                worst.append(p95)
        add(f"{label}, UPS, {sight_name}: 25 workitems by {len(worst)} kinds of keys, the slowest kind's p95",
            f"≤ {TARGET_MS} ms", f"{max(worst):.0f} ms", N_TIMES)  # fmt: skip


def _timed(db: Database, search: Search, sight: Sight) -> float:
    began = _clock(db)
    with db.read() as session:
        few = query_store.narrowed(session, search.query, sight)
        keys = query_store.page(session, search.query, sight, few, limit=search.limit + 1, offset=search.offset)
        found = answers(session, keys[: search.limit], search.paths)
    [qido.answer_json(one, search.paths, "http://localhost/dicom-web") for one in found]
    return (_clock(db) - began) * 1000


def _clock(db: Database) -> float:
    """SQLite works in this thread: its own time is told, so that a busy machine does not blur it."""
    return time.thread_time() if db.is_sqlite else time.perf_counter()


@contextmanager
def databases(folder: Path) -> Iterator[list[str]]:
    # A quarter of a small server's memory, as PostgreSQL's documentation says; its default is that of a toy.
    with running_postgres(shared_buffers="512MB", max_wal_size="4GB") as server:
        yield [f"sqlite:///{folder / 'bench.sqlite3'}", server.url(server.create())]


def index_size(session: Session) -> str:
    if session.get_bind().dialect.name == "postgresql":
        query = "SELECT sum(pg_indexes_size(oid)), sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
        ours = " AND relname IN ('patient', 'study', 'series', 'instance')"
        indexes, whole = (float(size) for size in session.execute(text(query + ours)).one())
        return f"{indexes / 1e6:.0f} / {whole / 1e6:.0f} MB"
    pages = "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE"
    of_indexes = " AND name IN (SELECT name FROM sqlite_master WHERE type = 'index')"
    indexes, whole = (float(session.execute(text(query)).scalar() or 0) for query in (pages + of_indexes, pages))
    return f"{indexes / 1e6:.0f} / {whole / 1e6:.0f} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("studies", nargs="?", type=int, default=N_STUDIES)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    given = parser.parse_args(arguments)
    rows: list[Row] = []

    def add(what: str, target: str, value: str, count: int = 1) -> None:
        rows.append((what, target, value, count))
        print(f"{what}: {value} (target {target}, n = {count})", flush=True)

    with tempfile.TemporaryDirectory(prefix="teleread-bench-") as folder, databases(Path(folder)) as urls:
        for url in urls:
            if given.only and not url.startswith(given.only):
                continue
            migrate.migrate(url)
            db = Database(url)
            began = time.monotonic()
            fill(db, given.studies)
            with db.read() as session:
                size = index_size(session)
            print(f"{given.studies} studies made in {time.monotonic() - began:.0f} s", flush=True)
            measure(db, given.studies, add, size)
            measure_ups(db, given.studies, add)
            db.dispose()
    lines = [
        f"{document.now()} UTC, commit {document.commit()}, {document.machine()}, load {os.getloadavg()[0]:.1f}."
        f" {given.studies:,} studies, orders and workitems, {2 * given.studies:,} series, {4 * given.studies:,} instances.",
        "",
    ]
    lines += ["| what | target | here | n |", "|---|---|---|---|"]
    if not given.only and given.studies == N_STUDIES:
        document.replace_section("queries", "\n".join(
            [*lines, *(f"| {what} | {target} | {value} | {count} |" for what, target, value, count in rows)]
        ))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
