"""Modality Performed Procedure Step on the listener: N-CREATE, N-SET, and N-GET of the retrieve class. [adapter]"""

from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, generate_uid
from pynetdicom.dimse_primitives import N_CREATE, N_GET, N_SET

from pacs_bridge import performed_step
from pacs_bridge.find_identifier import Spell
from pacs_bridge.performed_step import (
    FINAL,
    MAY_NO_LONGER_BE_UPDATED,
    RETRIEVE_SOP_CLASS,
    SOP_CLASS,
    BadStep,
    StepState,
    state_of,
)  # fmt: skip
from pacs_bridge.ports import PROCESSING_FAILURE, SUCCESS, Peer
from pacs_bridge.provider import Exchange, Provider
from pacs_bridge.spoken import spoken

# PS3.7 C.5.
DUPLICATE_INSTANCE, NO_SUCH_INSTANCE, INVALID_INSTANCE, UNRECOGNISED_OPERATION = 0x0111, 0x0112, 0x0117, 0x0211


class Steps(Protocol):
    """What the provider asks of whoever keeps the steps; each call commits before it returns."""

    def begin(self, peer: Peer, sop_instance_uid: str, step: Dataset) -> bool:
        """Keep a new step; False when its UID is in use."""
        ...

    def find(self, peer: Peer, sop_instance_uid: str) -> Dataset | None:
        """A step of the peer's site as it stands."""
        ...

    def change(self, peer: Peer, sop_instance_uid: str, before: StepState, step: Dataset) -> bool:
        """Keep a step as it is now; False when it stands no longer in the state ``before``."""
        ...


class PerformedStepProvider(Provider):
    """The state rules of PS3.4 F.7.2; of the peer's own site alone, so no certificate is asked for."""

    service = "mpps"
    abstract_syntaxes = frozenset((SOP_CLASS, RETRIEVE_SOP_CLASS))

    def __init__(self, steps: Steps, spell: Spell) -> None:
        self._steps, self._spell = steps, spell

    def serve(self, exchange: Exchange) -> None:
        is_retrieve = str(exchange.context.abstract_syntax) == RETRIEVE_SOP_CLASS
        if isinstance(exchange.request, N_GET) and is_retrieve:
            return self._get(exchange)
        try:
            if isinstance(exchange.request, N_CREATE) and not is_retrieve:
                return self._create(exchange)
            if isinstance(exchange.request, N_SET) and not is_retrieve:
                return self._set(exchange)
        except BadStep as bad:
            return exchange.respond(bad.status, ErrorComment=f"{bad.keyword}"[:64])
        return exchange.respond(UNRECOGNISED_OPERATION)

    def _create(self, exchange: Exchange) -> None:
        step = exchange.identifier()
        performed_step.check_new(step)
        uid = exchange.sop_instance_uid or generate_uid()
        if not UID(uid).is_valid:
            return exchange.respond(INVALID_INSTANCE)
        if not self._steps.begin(exchange.peer, uid, step):
            return exchange.respond(DUPLICATE_INSTANCE)
        return exchange.respond(SUCCESS, AffectedSOPInstanceUID=UID(uid))

    def _set(self, exchange: Exchange) -> None:
        step = self._steps.find(exchange.peer, exchange.sop_instance_uid)
        if step is None:
            return exchange.respond(NO_SUCH_INSTANCE)
        before = state_of(step)
        if before in FINAL:
            return self._refuse_final(exchange)
        change = exchange.identifier()
        after = performed_step.changed(step, change)
        if not self._steps.change(exchange.peer, exchange.sop_instance_uid, before, after):
            return self._refuse_final(exchange)  # another association was faster
        return exchange.respond(SUCCESS)

    def _refuse_final(self, exchange: Exchange) -> None:
        exchange.respond(
            PROCESSING_FAILURE, ErrorID=MAY_NO_LONGER_BE_UPDATED,
            ErrorComment="Performed Procedure Step Object may no longer be updated",
        )  # fmt: skip

    def _get(self, exchange: Exchange) -> None:
        step = self._steps.find(exchange.peer, exchange.sop_instance_uid)
        if step is None:
            return exchange.respond(NO_SUCH_INSTANCE)
        asked = exchange.request.AttributeIdentifierList or []
        tags = [int(Tag(tag)) for tag in (asked if isinstance(asked, list) else [asked])]
        found = performed_step.chosen(step, tags)
        return exchange.respond(SUCCESS, spoken(found, exchange.peer.character_set, self._spell))
