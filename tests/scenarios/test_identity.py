"""One person at two townships, and images rejected by their own device: DCMTK sends, the whole product answers."""

from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from pacs_bridge.objects import StudyIdentity, rejection_note
from tests.peers.dcmtk import storescu
from tests.peers.instances import write_instance
from tests.peers.product import Product, until

ID = "44052418800101001" + "4"  # the second example of GB 11643
BORN = {"PatientBirthDate": "18800101", "PatientSex": "M"}


def send(product: Product, ae_title: str, *paths: Path) -> None:
    done = storescu(product.dicom_port, ae_title, paths)
    assert done.returncode == 0, done.stderr


def item_of(product: Product, study_uid: str) -> Any:
    found = product.api("radiologist").get(f"/api/worklist?study_instance_uid={study_uid}")["items"]
    return found[0] if found else None


def test_the_prior_of_another_township_stands_beside(product: Product, tmp_path: Path) -> None:
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = ID, "CN", "TEXT"
    sent = {}
    for title in ("QS_CT", "BS_DR"):
        path = write_instance(
            tmp_path, side=16, PatientName="=顾维均", PatientID=title, OtherPatientIDsSequence=[other], **BORN
        )
        send(product, title, path)
        sent[title] = str(pydicom.dcmread(path).StudyInstanceUID)
    item = until(
        lambda: (found := item_of(product, sent["BS_DR"])) and found["n_priors"] == 1 and found, 30, "the prior"
    )
    (prior,) = product.api("radiologist").get(f"/api/workitems/{item['workitem_uid']}")["priors"]
    assert (prior["study_instance_uid"], prior["originating_site"]["code"]) == (sent["QS_CT"], "QINGSHAN")
    assert prior["same_person"]["how"] == "automatic" and "number_equal" in prior["same_person"]["reasons"]
    mine = product.api("tech2").get(f"/api/workitems/{item['workitem_uid']}")
    assert (mine["priors"], mine["n_priors"]) == ([], 0)
    assert ID not in product.log()


def test_a_device_takes_its_images_back(product: Product, tmp_path: Path) -> None:
    study, series = generate_uid(), generate_uid()
    paths = [
        write_instance(tmp_path, side=16, StudyInstanceUID=study, SeriesInstanceUID=series, PatientID="KOS-1", InstanceNumber=n)
        for n in (1, 2)
    ]
    send(product, "QS_CT", *paths)
    until(lambda: (found := item_of(product, study)) and found["n_instances"] == 2, 30, "two images")
    first = pydicom.dcmread(paths[0])
    content = rejection_note(
        "113001", [(series, first.SOPClassUID, first.SOPInstanceUID)], study=StudyIdentity(study, "x", "KOS-1"),
        sop_instance_uid=generate_uid(), series_instance_uid=generate_uid(),
        made_at=pydicom.valuerep.DT("20260302093000+0800"), reason="体动",
    )  # fmt: skip
    (tmp_path / "note.dcm").write_bytes(content)
    note = pydicom.dcmread(tmp_path / "note.dcm")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        note[keyword] = first[keyword]
    note.save_as(tmp_path / "note.dcm")
    send(product, "QS_CT", tmp_path / "note.dcm")
    item = until(lambda: (found := item_of(product, study)) and found["n_instances"] == 1 and found, 30, "one image")
    shown = product.api("radiologist").get(f"/api/workitems/{item['workitem_uid']}")["study"]
    assert [(one["code"], one["n_instances"], one["by"]) for one in shown["rejections"]] == [("113001", 1, "QS_CT")]
    display = product.api("radiologist").get(f"/api/studies/{study}/display")
    listed = [one["sop_instance_uid"] for part in display["series"] for one in part["instances"]]
    assert first.SOPInstanceUID not in listed and len(listed) == 1
