"""Modality Worklist on the listener: C-FIND over the orders of the peer's own site (PS3.4 Annex K). [adapter]"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydicom.tag import Tag

from pacs_bridge import modality_worklist
from pacs_bridge.find_identifier import Spell, tag_of, written
from pacs_bridge.find_scp import CANCELED, IDENTIFIER_MISMATCH, PENDING, PENDING_UNSUPPORTED_KEYS, SUCCESS
from pacs_bridge.modality_worklist import SOP_CLASS, ScheduledStep, Wanted
from pacs_bridge.ports import Peer
from pacs_bridge.provider import Exchange, Provider
from pacs_bridge.query import BadKey
from pacs_bridge.spoken import spoken

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Told:
    """One answer that was sent: of which order, and the patient's name as this peer was given it."""

    order_uid: str
    name_sent: str


Steps = Callable[[Peer, Wanted], Iterable[ScheduledStep]]
Note = Callable[[Peer, list[Told]], None]


class WorklistProvider(Provider):
    """``steps``: what may answer a peer; ``note`` keeps what was told and in which form."""

    service = "worklist"
    abstract_syntaxes = frozenset((SOP_CLASS,))

    def __init__(self, steps: Steps, note: Note, spell: Spell) -> None:
        self._steps, self._note, self._spell = steps, note, spell

    def serve(self, exchange: Exchange) -> None:
        try:
            wanted = modality_worklist.read(exchange.identifier(), exchange.peer.fallback_character_set)
        except BadKey as key:
            return exchange.respond(
                IDENTIFIER_MISMATCH, ErrorComment="identifier does not match SOP class",
                OffendingElement=[Tag(tag_of(key.path))],
            )  # fmt: skip
        told, status = self._answer(exchange, wanted)
        self._note(exchange.peer, told)
        if exchange.assoc.is_alive_now:
            exchange.respond(status)
        return None

    def _answer(self, exchange: Exchange, wanted: Wanted) -> tuple[list[Told], int]:
        """What was sent, and the final status."""
        told: list[Told] = []
        looked_s = 0.0
        pending = PENDING_UNSUPPORTED_KEYS if wanted.has_unsupported else PENDING
        for step in self._steps(exchange.peer, wanted):
            if not modality_worklist.answers(step, wanted):
                continue
            if time.monotonic() - looked_s > _LOOK_EVERY_S:
                if exchange.is_cancelled():
                    return told, CANCELED
                looked_s = time.monotonic()
            term = exchange.peer.character_set
            exchange.respond(pending, spoken(modality_worklist.write(step, wanted), term, self._spell))
            told.append(Told(step.order_uid, str(written(step.patient_name, "PN", term, self._spell))))
        return told, CANCELED if exchange.is_cancelled() else SUCCESS

