"""Unified Procedure Step on the listener (PS3.4 Annex CC): Push, Watch, Pull and Query. [adapter]

Every service of a UPS may come in any of the presentation contexts: its SOP class is always Push (CC.3.1).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from pydicom.tag import Tag

from pacs_bridge import ups
from pacs_bridge.find_identifier import Spell
from pacs_bridge.ports import Peer
from pacs_bridge.provider import Exchange, Provider
from pacs_bridge.ups import Attributes, UpsRefused, tag, text
from pacs_bridge.ups_dataset import to_dataset, to_json
from pacs_bridge.ups_match import selected

SERVED = frozenset((ups.PUSH, ups.WATCH, ups.PULL, ups.QUERY, ups.EVENT))
_SEARCHED = frozenset((ups.WATCH, ups.PULL, ups.QUERY))
PENDING, CANCELLED, UNRECOGNISED_OPERATION, NO_SUCH_CLASS = 0xFF00, 0xFE00, 0x0211, 0x0118
CANNOT_PROCESS = 0xC000
_LOOK_EVERY_S = 0.1
_ACTIONS = (ups.SUBSCRIBE, ups.UNSUBSCRIBE, ups.SUSPEND)


class Steps(Protocol):
    """What the provider asks of whoever keeps the steps; each call commits before it returns. Raises UpsRefused."""

    def create(self, peer: Peer, uid: str | None, attributes: Attributes) -> tuple[str, int]:
        """UID and status of a new step."""
        ...

    def get(self, peer: Peer, uid: str) -> Attributes:
        """All attributes of a step."""
        ...

    def set(self, peer: Peer, uid: str, transaction_uid: str, attributes: Attributes) -> int:
        """The status of a change of attributes."""
        ...

    def change_state(self, peer: Peer, uid: str, state: str, transaction_uid: str) -> int:
        """The status of a change of state."""
        ...

    def request_cancel(self, peer: Peer, uid: str, information: Attributes) -> int:
        """The status of a request to cancel."""
        ...

    def subscription(
        self, peer: Peer, action: int, uid: str, receiver: str, *, has_lock: bool, keys: Attributes
    ) -> int:  # fmt: skip
        """The status of subscribing, unsubscribing, suspending."""
        ...

    def search(self, peer: Peer, keys: Attributes) -> Iterator[Attributes]:
        """The steps that match."""
        ...


class UpsProvider(Provider):
    """``spell``: pinyin of what a peer's character set cannot write."""

    service = "ups"
    needs_trust = True
    abstract_syntaxes = SERVED

    def __init__(self, steps: Steps, spell: Spell) -> None:
        self._steps, self._spell = steps, spell
        self._serves: dict[str, Callable[[Exchange], None]] = {
            "N_CREATE": self._create, "N_GET": self._get, "N_SET": self._set, "N_ACTION": self._act,
            "C_FIND": self._find,
        }  # fmt: skip

    def serve(self, exchange: Exchange) -> None:
        serve = self._serves.get(exchange.message)
        if serve is None:
            return exchange.respond(UNRECOGNISED_OPERATION)
        if exchange.message != "C_FIND" and exchange.sop_class_uid not in SERVED:
            return exchange.respond(NO_SUCH_CLASS)
        try:
            serve(exchange)
        except UpsRefused as refusal:
            exchange.respond(refusal.status, ErrorComment=refusal.comment)
        return None

    def _given(self, exchange: Exchange) -> Attributes:
        try:
            return to_json(exchange.identifier(), exchange.peer.fallback_character_set)
        except (ValueError, TypeError, AttributeError) as error:
            raise UpsRefused(ups.INVALID_VALUE, "the data set cannot be read") from error

    def _create(self, exchange: Exchange) -> None:
        uid, status = self._steps.create(exchange.peer, exchange.sop_instance_uid or None, self._given(exchange))
        exchange.respond(status, AffectedSOPInstanceUID=uid)

    def _get(self, exchange: Exchange) -> None:
        found = self._steps.get(exchange.peer, exchange.sop_instance_uid)
        asked = [f"{int(Tag(one)):08X}" for one in exchange.request.AttributeIdentifierList or []]
        unknown = [name for name in asked if name not in found and name != tag("SpecificCharacterSet")]
        if asked:
            found = {name: found[name] for name in asked if name in found}
        status = ups.NOT_SUPPORTED if unknown else ups.SUCCESS
        exchange.respond(status, to_dataset(found, exchange.peer.character_set, self._spell))

    def _set(self, exchange: Exchange) -> None:
        given = self._given(exchange)
        exchange.respond(
            self._steps.set(exchange.peer, exchange.sop_instance_uid, text(given, "TransactionUID"), given)
        )

    def _act(self, exchange: Exchange) -> None:
        exchange.respond(self._acted(exchange), ActionTypeID=exchange.request.ActionTypeID)

    def _acted(self, exchange: Exchange) -> int:
        action, uid, given = exchange.request.ActionTypeID, exchange.sop_instance_uid, self._given(exchange)
        is_well_known = uid in (ups.GLOBAL, ups.FILTERED)
        if action in (ups.CHANGE_STATE, ups.REQUEST_CANCEL) and is_well_known:
            raise UpsRefused(ups.NOT_APPROPRIATE, "not an action on the well-known instance")
        if action == ups.CHANGE_STATE:
            state = text(given, "ProcedureStepState")
            return self._steps.change_state(exchange.peer, uid, state, text(given, "TransactionUID"))
        if action == ups.REQUEST_CANCEL:
            return self._steps.request_cancel(exchange.peer, uid, given)
        if action not in _ACTIONS:
            raise UpsRefused(ups.NO_SUCH_ACTION, "no such action")
        lock = text(given, "DeletionLock")
        if action == ups.SUBSCRIBE and lock not in ("TRUE", "FALSE"):
            raise UpsRefused(ups.INVALID_ARGUMENT, "Deletion Lock shall be TRUE or FALSE")
        return self._steps.subscription(
            exchange.peer, action, uid, text(given, "ReceivingAE"), has_lock=lock == "TRUE", keys=keys_of(given)
        )

    def _find(self, exchange: Exchange) -> None:
        if str(exchange.context.abstract_syntax) not in _SEARCHED:
            return exchange.respond(UNRECOGNISED_OPERATION)
        try:
            keys = self._given(exchange)
        except UpsRefused as refusal:
            return exchange.respond(CANNOT_PROCESS, ErrorComment=refusal.comment)
        looked_s = 0.0
        for found in self._steps.search(exchange.peer, keys):
            if time.monotonic() - looked_s > _LOOK_EVERY_S:
                if exchange.is_cancelled():
                    return exchange.respond(CANCELLED)
                looked_s = time.monotonic()
            answer = selected(found, keys) | {
                name: found[name] for name in (tag("SOPClassUID"), tag("SOPInstanceUID")) if name in found
            }
            exchange.respond(PENDING, to_dataset(answer, exchange.peer.character_set, self._spell))
        return exchange.respond(CANCELLED if exchange.is_cancelled() else ups.SUCCESS)


def keys_of(information: Mapping[str, Any]) -> Attributes:
    """The matching keys of a filtered subscription: what is in the action information beside its own attributes."""
    own = {tag(keyword) for keyword in ("ReceivingAE", "DeletionLock", "SpecificCharacterSet")}
    return {name: element for name, element in information.items() if name not in own}
