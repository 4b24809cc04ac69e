"""C-FIND joined to the index: whose studies, page by page, and what the audit trail hears. [app]"""

import logging
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from pacs_bridge.find_scp import CANCELED, SUCCESS, FindProvider
from pacs_bridge.ports import Peer
from pacs_bridge.query import Query
from worklist import query_store
from worklist.base import audit
from worklist.peer_sight import studies_of_peer
from worklist.person import name_pinyin
from worklist.query_rows import Answer, answers, patient_answers
from worklist.query_store import Key, Sight
from worklist.roof import Roof
from worklist.tables import Site

log = logging.getLogger("teleread.find")

RESULTS = {SUCCESS: "ok", CANCELED: "cancelled"}
FIRST_PAGE, PAGE = 25, 250  # the first answers leave soon; later pages cost fewer statements
PIECE = 20_000  # rows compared in one statement; between two of them a cancel is heard


def find_provider(roof: Roof) -> FindProvider:
    index = FindIndex(roof)
    return FindProvider(index.find, index.note, name_pinyin, roof.settings.ae_title)


class FindIndex:
    """What the provider asks; each page is a transaction of its own, so that a slow peer holds none open."""

    def __init__(self, roof: Roof) -> None:
        self._roof = roof

    def find(self, peer: Peer, query: Query, wanted: frozenset[str]) -> Iterator[list[Answer]]:
        """Pages of answers; memory does not grow with their number."""
        sight = Sight(studies_of_peer(peer), None if peer.sees_all else peer.site_id)
        pages = self._patients if query.level == "PATIENT" else self._studies
        yield from pages(query, sight, wanted)

    def _studies(self, query: Query, sight: Sight, wanted: frozenset[str]) -> Iterator[list[Answer]]:
        with self._roof.db.read() as session:
            few = query_store.narrowed(session, query, sight)
        after: Key | None = None
        limit = FIRST_PAGE
        while True:
            with self._roof.db.read() as session:
                until = query_store.walk_end(session, sight, after, PIECE) if few is None else None
                keys = query_store.page(session, query, sight, few, limit=limit, after=after, until=until)
                page = answers(session, keys, wanted)
            yield page
            if len(keys) < limit and until is None:
                return
            after, limit = until if len(keys) < limit else keys[-1], PAGE

    def _patients(self, query: Query, sight: Sight, wanted: frozenset[str]) -> Iterator[list[Answer]]:
        with self._roof.db.read() as session:
            few = query_store.patients_narrowed(session, query, sight)
            last = query_store.last_patient(session)
        after, limit = 0, FIRST_PAGE
        while True:
            with self._roof.db.read() as session:
                until = last if few is not None else after + PIECE
                pks = query_store.patient_page(session, query, sight, few, limit=limit, after=after, until=until)
                page = patient_answers(session, pks, sight, wanted)
            yield page
            if len(pks) < limit and until >= last:
                return
            after, limit = until if len(pks) < limit else pks[-1], PAGE

    def note(self, peer: Peer, level: str, count: int, status: int) -> None:
        """Who asked at which level and how many were found; never for whom."""
        try:
            with self._roof.db.write() as session:
                site = session.get(Site, peer.site_id) if peer.site_id is not None else None
                audit.record(
                    session, now=self._roof.now(), actor=peer.ae_title, role="device",
                    site=site.code if site else "?", act="study.query", object_type="query", object_uid=level,
                    result=RESULTS.get(status, "failed"), details={"matches": count},
                )  # fmt: skip
        except SQLAlchemyError as error:
            log.error("query not audited: %s", type(error).__name__)
