"""A modality without scruples: sends any bytes as a data set, under any UIDs, with stock pynetdicom."""

import time
from io import BytesIO
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

CT = "1.2.840.10008.5.1.4.1.1.2"


class RawModality:
    """One association; ``store`` returns the DIMSE status, or None when none came."""

    def __init__(
        self, port: int, calling_ae: str = "QS_CT", sop_class: str = CT, syntax: str = ExplicitVRLittleEndian
    ) -> None:
        ae = AE(calling_ae)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
        self.association: Any = ae.associate(
            "127.0.0.1", port, [build_context(UID(sop_class), [UID(syntax)])], ae_title="TELEREAD"
        )
        transport = self.association.dul.socket
        self._socket = transport.socket if transport is not None else None
        self._sop_class = sop_class
        self._message_id = 0

    def __enter__(self) -> "RawModality":
        return self

    def __exit__(self, *_: object) -> None:
        if self.association.is_established:
            self.association.release()
        if self._socket is not None:  # pynetdicom leaves it open when the other end went first
            self._socket.close()

    def pause(self) -> None:
        """Keep pynetdicom's reactor from taking messages that the test waits for."""
        self.association._reactor_checkpoint.clear()
        while not self.association._is_paused:
            time.sleep(0.0001)

    def store(self, data_set: bytes, sop_instance_uid: str = "1.2.3.4.5") -> int | None:
        self._message_id += 1
        request = C_STORE()
        request.MessageID = self._message_id
        request.Priority = 2
        request.AffectedSOPClassUID = self._sop_class
        request.AffectedSOPInstanceUID = sop_instance_uid
        request.DataSet = BytesIO(data_set)
        association = self.association
        self.pause()
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        return None if response is None else int(response.Status)
