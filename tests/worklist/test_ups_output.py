"""What a reading ended in: the really signed report's object, by DIMSE and by UPS-RS, as its PACS has it."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from pacs_bridge import ups
from tests.conftest import Clock
from tests.peers.dcmjs import script
from tests.peers.dcmtk import storescp
from tests.peers.listening import allow, listening
from tests.peers.product import until
from tests.peers.township import PIN, Township, township
from tests.reports.test_loop import claim, draft
from worklist.access_store import visible_studies
from worklist.base.db import Database
from worklist.tables import Site, Workitem
from worklist.ups import place_of
from worklist.ups_store import reading_work
from worklist.work import make_worker

_PERFORMED, _OUTPUT = "UnifiedProcedureStepPerformedProcedureSequence", "OutputInformationSequence"


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Clock) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT", port=None, address_range="127.0.0.1/32")
        yield made


def outputs(county: Township, uid: str) -> list[ups.Attributes]:
    """The Output Information of a workitem, as UPS-RS gives it to a reader."""
    with county.roof.db.read() as session:
        sight = visible_studies(county.actor("radiologist"), county.clock())
        found = reading_work(session, place_of(county.roof), [uid], sight)[uid]
    return [one for done in ups.items(found, _PERFORMED) for one in ups.items(done, _OUTPUT)]


def test_a_signed_reading_shows_the_object_that_reached_the_pacs(county: Township, tmp_path: Path) -> None:
    study, item = county.study(tmp_path, "QS_CT")
    claim(county, "radiologist", item.workitem_uid)
    saved = draft(county, "radiologist", item.workitem_uid, template="ct-head")
    assert outputs(county, item.workitem_uid) == []
    first = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    assert outputs(county, item.workitem_uid) == []  # signed once of twice: no document yet
    second: Workitem = county.open_workitem(study.id)
    claim(county, "reviewer", second.workitem_uid)
    report = county.desk.verify(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    worker = make_worker(county.roof, None)  # type: ignore[arg-type]
    with storescp(tmp_path / "pacs", "QS_PACS") as pacs:
        with county.roof.db.write() as session:
            session.get_one(Site, study.site_id).return_port = pacs.port
        worker.run_due()
        sent = pydicom.dcmread(until(lambda: next(pacs.directory.iterdir(), None), 5, "the report"))
    (one,) = outputs(county, item.workitem_uid)
    assert outputs(county, second.workitem_uid) == [one]
    (reference,) = ups.items(one, "ReferencedSOPSequence")
    assert ups.text(one, "StudyInstanceUID") == sent.StudyInstanceUID == study.study_instance_uid
    assert ups.text(one, "SeriesInstanceUID") == sent.SeriesInstanceUID
    assert ups.text(reference, "ReferencedSOPClassUID") == sent.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert ups.text(reference, "ReferencedSOPInstanceUID") == sent.SOPInstanceUID
    assert report.report_uid and ups.text(ups.items(one, "DICOMRetrievalSequence")[0], "RetrieveAETitle") == "QS_PACS"
    asked = [{"op": "get", "uid": item.workitem_uid}]
    with listening(county) as listener, script(
        "ups.js", "ask", port=listener.port, **{"from": "QS_CT", "to": "TELEREAD"}, requests=asked
    ) as peer:  # fmt: skip
        answer = peer.wait("status")
    assert answer["status"] == 0 and answer["dataset"]["ProcedureStepState"] == "COMPLETED"
    heard = answer["dataset"][_PERFORMED][0][_OUTPUT][0]
    assert heard["ReferencedSOPSequence"][0]["ReferencedSOPInstanceUID"] == sent.SOPInstanceUID
    assert heard["ReferencedSOPSequence"][0]["ReferencedSOPClassUID"] == sent.SOPClassUID
