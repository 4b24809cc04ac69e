"""C-FIND in patient root, study root and the retired patient/study only (PS3.4 C.4.1), answered as found. [adapter]"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.tag import Tag
from pydicom.uid import UID

from pacs_bridge import find_identifier
from pacs_bridge.find_identifier import Spell
from pacs_bridge.ports import PROCESSING_FAILURE, Peer
from pacs_bridge.provider import Exchange, Provider
from pacs_bridge.query import BadKey, Options, Query, plan
from pacs_bridge.query_attributes import ATTRIBUTES, LEVELS

PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY = (f"1.2.840.10008.5.1.4.1.2.{model}.1" for model in (1, 2, 3))
# The levels of each information model, from the top.
MODELS = {PATIENT_ROOT: LEVELS, STUDY_ROOT: LEVELS[1:], PATIENT_STUDY_ONLY: LEVELS[:2]}
SUCCESS, PENDING, PENDING_UNSUPPORTED_KEYS, CANCELED, IDENTIFIER_MISMATCH = 0x0000, 0xFF00, 0xFF01, 0xFE00, 0xA900
# Relational queries, date and time as one, fuzzy names; not: time zones, enhanced conversion (PS3.4 C.5.1.1).
_OFFERED = b"\x01\x01\x01\x00\x00"
_QUERY_RETRIEVE_LEVEL = 0x00080052
_LOOK_EVERY_S = 0.1

Find = Callable[[Peer, Query, frozenset[str]], Iterator[list[dict[str, Any]]]]
Note = Callable[[Peer, str, int, int], None]  # level, number of matches, status


class FindProvider(Provider):
    """``find`` yields pages of answers; ``note`` writes the audit row; ``spell``: pinyin of what cannot be written."""

    service = "find"
    needs_trust = True
    abstract_syntaxes = frozenset(MODELS)

    def __init__(self, find: Find, note: Note, spell: Spell, ae_title: str) -> None:
        self._find, self._note, self._spell, self._ae_title = find, note, spell, ae_title

    def extended(self, abstract_syntax: str, wish: bytes) -> bytes | None:
        """What of the wished we have, byte by byte."""
        return bytes(ours if one == 1 else 0 for ours, one in zip(_OFFERED, wish, strict=False))

    def serve(self, exchange: Exchange) -> None:
        identifier = exchange.identifier()
        levels = MODELS[str(exchange.context.abstract_syntax)]
        level = str(identifier.get("QueryRetrieveLevel") or "").strip()
        if level not in levels:
            return _refuse(exchange, _QUERY_RETRIEVE_LEVEL)
        asked = find_identifier.read(identifier, exchange.peer.fallback_character_set)
        try:
            query = plan(level, asked.keys, self._agreed(exchange), top=levels[0])
        except BadKey as key:
            return _refuse(exchange, find_identifier.tag_of(key.path))
        has_unsupported = asked.has_unknown or bool(query.unmatched) or _reaches_below(asked.keys, level)
        pending = PENDING_UNSUPPORTED_KEYS if has_unsupported else PENDING
        answered = _Answered()
        try:
            self._answer(exchange, query, asked.keys, pending, answered)
        finally:  # whatever broke: what has been told has been told
            self._note(exchange.peer, level, answered.count, answered.status)
        if exchange.assoc.is_alive_now:
            exchange.respond(answered.status)
        return None

    def _agreed(self, exchange: Exchange) -> Options:
        wish = exchange.assoc.requestor.sop_class_extended.get(UID(exchange.context.abstract_syntax or ""), b"")
        relational, combined, fuzzy = (wish[byte : byte + 1] == b"\x01" for byte in range(3))
        return Options(relational, combined, fuzzy)

    def _answer(
        self, exchange: Exchange, query: Query, keys: dict[str, str], pending: int, answered: "_Answered"
    ) -> None:
        looked_s = 0.0
        for page in self._find(exchange.peer, query, frozenset(keys)):
            if not page and exchange.is_cancelled():
                answered.status = CANCELED
                return
            for answer in page:
                if time.monotonic() - looked_s > _LOOK_EVERY_S:
                    if exchange.is_cancelled():
                        answered.status = CANCELED
                        return
                    looked_s = time.monotonic()
                exchange.respond(pending, find_identifier.write(
                    answer, keys, level=query.level, ae_title=self._ae_title, term=exchange.peer.character_set,
                    spell=self._spell,
                ))  # fmt: skip
                answered.count += 1
        answered.status = CANCELED if exchange.is_cancelled() else SUCCESS


@dataclass
class _Answered:
    """How many answers were sent, and the final status; the failure until it is known better."""

    count: int = 0
    status: int = PROCESSING_FAILURE


def _reaches_below(keys: dict[str, str], level: str) -> bool:
    """Whether something is asked of a lower level than the query's."""
    return any(LEVELS.index(ATTRIBUTES[path].level) > LEVELS.index(level) for path in keys if path in ATTRIBUTES)


def _refuse(exchange: Exchange, tag: int) -> None:
    """The identifier does not match the SOP class; which attribute, and no value of it."""
    exchange.respond(
        IDENTIFIER_MISMATCH, ErrorComment="identifier does not match SOP class", OffendingElement=[Tag(tag)]
    )
