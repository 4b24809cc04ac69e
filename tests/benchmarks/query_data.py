"""A million studies made in the database by its own SQL: people, orders, studies, series, instances, workitems.

Indexes that are not needed meanwhile are taken away and made again as they were: one sort costs less than a million
insertions in any order. What is measured afterwards are the product's own tables.
"""

import random
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from worklist.base.db import Database
from worklist.person import name_initials, name_pinyin
from worklist.tables import Site

SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂华玉红梅建国志文海波林峰云飞鹏辉宁欣怡子涵雨轩浩宇梓"
N_SITES, N_OPEN = 60, 3000  # of the workitems, the newest are not read yet
FIRST_DAY, N_DAYS = date(2023, 11, 1), 1095
TABLES = ("patient", "imaging_order", "study", "series", "instance", "workitem")
# Rows numbered from 1; SQLite and PostgreSQL both have recursive queries, PostgreSQL its own series.
COUNTER = {"sqlite": "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {n})",
           "postgresql": "WITH c AS (SELECT i FROM generate_series(1, {n}) AS i)"}  # fmt: skip
BIRTH = {"sqlite": "date('1940-01-01', '+' || (i % 27000) || ' days')",
         "postgresql": "DATE '1940-01-01' + i % 27000"}  # fmt: skip
PATIENTS = """INSERT INTO patient (id, site_id, identity_key, patient_id, name, name_pinyin, name_initials, name_sent,
  name_alphabetic, sex, birth_date, name_is_doubtful)
{counter} SELECT i, 1 + i % {sites}, 'key' || i, 'P' || i, b.name, b.spelled, b.initials, b.sent, '', 'M', {birth}, {no}
  FROM c JOIN bench_name AS b ON b.n = i * 797 % {names}"""
ORDERS = """INSERT INTO imaging_order (order_uid, site_id, accession_number, patient_pk, modality, body_part, complaint,
  question, priority, requesting_doctor, made_from_object, acquisition, acquisition_device, acquisition_reason, created_at)
{counter} SELECT 'o' || i, 1 + (1 + i * 11 % {patients}) % {sites}, 'A' || (1000000 + i), 1 + i * 11 % {patients}, 'CT', 'CHEST',
  '', '', 'routine', '', {no}, 'requested', '', '', d.moment FROM c JOIN bench_day AS d ON d.n = i * {days} / ({n} + 1)"""
STUDIES = """INSERT INTO study (id, study_instance_uid, site_id, patient_pk, order_uid, accession_number, study_date,
  study_time, study_id_sent, referring_physician_name, kind, modality, body_part, description, input_readiness,
  n_instances, received_at, last_received_at, quiet_time_s, progress_told_at, report_status)
{counter} SELECT i, '1.2.840.99.1.' || i, 1 + (1 + i * 11 % {patients}) % {sites}, 1 + i * 11 % {patients}, 'o' || i,
  'A' || (1000000 + i), d.day, '0' || (i % 9) || '1500', '' || i, '', 'image', CASE WHEN i % 3 = 0 THEN 'CT' ELSE 'DX' END,
  '', 'chest', 'READY', 4, d.moment, d.moment, 20, d.moment, 'none' FROM c JOIN bench_day AS d ON d.n = i * {days} / ({n} + 1)"""
SERIES = """INSERT INTO series (id, study_id, series_instance_uid, modality, number, description, body_part,
  series_date, series_time, performed_start_date, performed_start_time, requested_procedure_id, scheduled_step_id)
{counter} SELECT i, (i + 1) / 2, '1.2.840.99.2.' || i, CASE WHEN i % 40000 = 0 THEN 'RG' WHEN (i + 1) / 2 % 3 = 0 THEN 'CT'
  ELSE 'DX' END, i % 2, 's', '', '', '', '', '', '', '' FROM c"""
INSTANCES = """INSERT INTO instance (id, series_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, number,
  blob_key, digest, size_bytes, received_at, duplicates, derived_state)
{counter} SELECT i, (i + 1) / 2, '1.2.840.99.3.' || i, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', i % 2,
  'k' || i, 'd', 1000, d.moment, 0, 'ready' FROM c JOIN bench_day AS d ON d.n = 0"""
WORKITEMS = """INSERT INTO workitem (workitem_uid, study_id, step, state, priority, due_at, created_at)
{counter} SELECT '1.2.840.99.4.' || i, i, 'interpretation', CASE WHEN i <= {n} - {open} THEN 'COMPLETED'
  WHEN i % 10 = 0 THEN 'IN PROGRESS' ELSE 'SCHEDULED' END, 'routine', d.moment, d.moment
  FROM c JOIN bench_day AS d ON d.n = i * {days} / ({n} + 1)"""
INDEXES = {"sqlite": "SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
           "postgresql": "SELECT indexname, indexdef, tablename FROM pg_indexes WHERE schemaname = 'public'"
                         " AND indexname NOT IN (SELECT conname FROM pg_constraint)"}  # fmt: skip
UNIQUE = """SELECT conname, pg_get_constraintdef(oid), conrelid::regclass::text FROM pg_constraint
  WHERE contype = 'u' AND connamespace = 'public'::regnamespace"""


def n_patients(n: int) -> int:
    return max(n * 7 // 10, 1)


def fill(db: Database, n: int) -> None:
    """Make the rows of ``n`` studies in an empty, migrated database."""
    dialect, patients = db.engine.dialect.name, n_patients(n)
    pooled = db.engine.raw_connection()
    driver: Any = pooled.driver_connection
    names = _small_tables(db)
    again = _without_indexes(driver, dialect)
    known = {"patients": patients, "sites": N_SITES, "days": N_DAYS, "n": n, "names": names, "open": N_OPEN,
             "birth": BIRTH[dialect], "no": "0" if dialect == "sqlite" else "FALSE"}  # fmt: skip
    for statement, count in (
        (PATIENTS, patients), (ORDERS, n), (STUDIES, n), (SERIES, 2 * n), (INSTANCES, 4 * n), (WORKITEMS, n)
    ):  # fmt: skip
        driver.execute(statement.format(counter=COUNTER[dialect].format(n=count), **known))
    for statement in again:
        driver.execute(statement)
    driver.commit()
    pooled.invalidate()  # its settings were for the filling
    if dialect == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _small_tables(db: Database) -> int:
    """Sites, days and names to choose from; the number of names."""
    chance = random.Random(7)
    names = sorted({a + "".join(chance.choices(GIVEN, k=chance.choice((1, 2, 2)))) for a in SURNAMES for _ in range(900)})
    chance.shuffle(names)
    days = [FIRST_DAY + timedelta(number) for number in range(N_DAYS)]
    with db.write() as session:
        session.add_all(Site(code=f"S{number}", name_zh="甲", name_en="A") for number in range(1, N_SITES + 1))
        session.execute(text("CREATE TABLE bench_day (n INTEGER PRIMARY KEY, day VARCHAR(8),"
                             " moment TIMESTAMP WITH TIME ZONE)"))  # fmt: skip
        session.execute(text("INSERT INTO bench_day VALUES (:n, :day, :moment)"), [
            {"n": number, "day": f"{day:%Y%m%d}", "moment": f"{day} 08:00:00.000000" + ("" if db.is_sqlite else "+00")}
            for number, day in enumerate(days)
        ])  # fmt: skip
        session.execute(text("CREATE TABLE bench_name (n INTEGER PRIMARY KEY, name VARCHAR(64), spelled VARCHAR(64),"
                             " initials VARCHAR(64), sent VARCHAR(64))"))  # fmt: skip
        session.execute(text("INSERT INTO bench_name VALUES (:n, :name, :spelled, :initials, :sent)"), [
            {"n": number, "name": name, "spelled": name_pinyin(name), "initials": name_initials(name),
             "sent": f"={name[0]}^{name[1:]}"} for number, name in enumerate(names)
        ])  # fmt: skip
    return len(names)


def _without_indexes(driver: Any, dialect: str) -> list[str]:
    """Take indexes and checks away for the filling; the statements that make the indexes again."""
    if dialect == "sqlite":
        for pragma in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"):
            driver.execute(f"PRAGMA {pragma}")
    else:
        for name, value in (("session_replication_role", "replica"), ("maintenance_work_mem", "'512MB'")):
            driver.execute(f"SET {name} = {value}")
    found = [row for row in driver.execute(INDEXES[dialect]).fetchall() if row[2] in TABLES]
    again = []
    if dialect == "postgresql":
        for name, definition, table in driver.execute(UNIQUE).fetchall():
            if table in TABLES:
                driver.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
                again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for name, _, _ in found:
        driver.execute(f"DROP INDEX {name}")
    return [*again, *(definition for _, definition, _ in found)]
