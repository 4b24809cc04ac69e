"""The demo county in every state that a page can show: what the screenshots are taken of. People are fictional."""

import sqlite3
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
from pydicom.uid import CTImageStorage, generate_uid

from pacs_bridge.scu import store_files
from tests.peers.dcmjs import script
from tests.peers.product import PIN, Api, ApiError, Product, until
from worklist.demo import SENDERS, Sender, write_study

ZONE = ZoneInfo("Asia/Shanghai")
MOST_TRIES = 10
DR, CT, ECG = SENDERS
ID_NUMBER = "110105195207140023"  # of nobody: made to fit the woman of the CT, with its check digit
NODULES = {
    "findings": "胸廓对称，气管居中。双肺野内见多发大小不等类圆形结节影，以中下肺野为著，边缘较清。双侧肺门影不大，纵隔未见增宽。心影大小、形态正常。双侧膈面光整，肋膈角锐利。",
    "impression": "1. 双肺多发结节，建议胸部 CT 增强并查找原发灶。\n2. 心、膈未见明显异常。",
}
HEAD = {
    "findings": "颅骨完整。脑实质密度均匀，左侧基底节区见片状稍低密度影。脑室系统对称，未见扩大。中线结构居中。",
    "impression": "1. 左侧基底节区稍低密度影，结合临床除外早期梗死，建议 MR 检查。\n2. 未见颅内出血。",
}
SINUS = {"findings": "窦性心律，各导联 P 波、QRS 波形态正常，ST 段未见偏移。", "impression": "窦性心律，正常心电图。"}


class Insistent(Api):
    """Tries again where the database was busy: nothing was changed then, the answer says so."""

    def call(self, *arguments: Any, **more: Any) -> Any:
        for _ in range(MOST_TRIES):
            try:
                return super().call(*arguments, **more)
            except ApiError as error:
                if error.status != 503:
                    raise
                time.sleep(2)
        return super().call(*arguments, **more)


class Stage:
    """The demo county and what happens in it before the pictures are taken."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.product, self.folder = product, folder
        self.technician, self.reader, self.reviewer = (self.api(name) for name in ("tech", "radiologist", "reviewer"))
        self.cardiologist, self.clinician = self.api("cardiologist"), self.api("clinician")

    def api(self, username: str) -> Api:
        return Insistent(self.product.url, self.product.api(username).token)

    def order(
        self, sender: Sender, complaint: str, question: str, priority: str = "routine", pathway: str | None = None, id_number: str = ""
    ) -> str:
        """A request of the technician; its accession number."""
        made = self.technician.post("/api/orders", {
            "site": "QINGSHAN", "modality": sender.ae_title[3:], "body_part": sender.body_part, "complaint": complaint,
            "question": question, "priority": priority, "pathway": pathway, "requesting_doctor": "王晓岚",
            "patient": {"name": sender.name, "patient_id": sender.patient_id, "sex": sender.sex, "birth_date": f"{sender.birth_date}", "id_number": id_number},
        })  # fmt: skip
        return str(made["accession_number"])

    def send(self, sender: Sender, accession: str = "", days_ago: int = 0, most: int = 999) -> str:
        """One examination by C-STORE; its Study Instance UID."""
        folder = self.folder / generate_uid()
        folder.mkdir()
        paths = write_study(sender, datetime.now(ZONE) - timedelta(days=days_ago, minutes=4), folder)[:most]
        for path in paths if accession else ():
            dataset = pydicom.dcmread(path)
            dataset.AccessionNumber = accession
            dataset.save_as(path, enforce_file_format=True)
        store_files(paths, "127.0.0.1", self.product.dicom_port, called_ae="TELEREAD", calling_ae=sender.ae_title)
        return str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)

    def item(self, api: Api, study_uid: str, within_s: float = 90) -> Any:
        def look() -> Any:
            items = api.get(f"/api/worklist?study_instance_uid={study_uid}&state=SCHEDULED,IN%20PROGRESS")["items"]
            return items and items[0]["input_readiness"] == "READY" and items[0]

        return until(look, within_s, "the study to be READY")

    def write(self, api: Api, uid: str, template: str, sections: dict[str, str]) -> int:
        api.post(f"/api/workitems/{uid}/claim")
        saved = api.put(f"/api/workitems/{uid}/report", {"template": template, "sections": sections, "version": 0})
        return int(saved["version"])

    def claimed(self, api: Api, uid: str) -> str:
        api.post(f"/api/workitems/{uid}/claim")
        return uid

    def sign(self, api: Api, study_uid: str, template: str, sections: dict[str, str], **more: str) -> Any:
        uid = self.item(api, study_uid)["workitem_uid"]
        version = self.write(api, uid, template, sections)
        return api.post(f"/api/workitems/{uid}/report/submit", {"pin": PIN, "version": version, **more})

    def verify(self, study_uid: str, version: int) -> Any:
        uid = self.item(self.reviewer, study_uid)["workitem_uid"]
        self.reviewer.post(f"/api/workitems/{uid}/claim")
        return self.reviewer.post(f"/api/workitems/{uid}/report/verify", {"pin": PIN, "version": version})


def person(sender: Sender, name: str, number: str, sex: str, born: date, description: str = "", part: str = "") -> Sender:
    """Another invented person at the same device."""
    return replace(
        sender, name=name, patient_id=f"QS-00{number}", sex=sex, birth_date=born,
        description=description or sender.description, body_part=part or sender.body_part,
    )  # fmt: skip


def play(stage: Stage) -> dict[str, str]:
    """Every state at least once; the identifiers that the pages need."""
    for sender in SENDERS:
        stage.send(sender, days_ago=412)
    first_ct = stage.send(CT, stage.order(CT, "右侧肢体无力 50 分钟，言语不清，否认外伤", "除外脑出血", "stat", "stroke", ID_NUMBER))
    second_ct = stage.send(person(CT, "邓广林", "31207", "M", date(1975, 5, 2)))
    waiting_ct = stage.send(person(CT, "吕志刚", "31299", "M", date(1987, 1, 8)), stage.order(person(CT, "吕志刚", "31299", "M", date(1987, 1, 8)), "头部外伤 3 小时", "除外颅内出血", "urgent"))
    acknowledged = stage.send(person(DR, "丁梅", "40221", "F", date(1982, 4, 9)))
    returned = stage.send(DR, stage.order(DR, "痰中带血 2 周，消瘦", "排除占位"))
    preliminary = stage.send(person(DR, "何福生", "40777", "M", date(1981, 6, 30)), stage.order(person(DR, "何福生", "40777", "M", date(1981, 6, 30)), "跌倒 1 小时，胸部外伤", "除外骨折、气胸", "urgent"))
    ecg = stage.send(person(ECG, "陆永年", "18301", "M", date(1956, 9, 12)))
    reading_ecg = stage.send(ECG, stage.order(ECG, "胸痛 2 小时，大汗", "除外急性冠脉综合征", "stat", "chest_pain"))
    unread = stage.send(person(DR, "常玉莲", "40310", "F", date(1960, 8, 1)))
    mistaken = stage.send(person(DR, "白晓东", "40312", "M", date(1992, 3, 3)))
    stage.order(person(DR, "田小芹", "40999", "F", date(1957, 8, 19)), "咳嗽 1 周", "除外肺炎")
    suggested = person(DR, "崔可欣", "40555", "F", date(2020, 2, 6))
    stage.order(suggested, "发热、咳嗽 3 天", "除外肺炎", "urgent")
    stage.send(suggested)
    report = stage.sign(stage.reader, returned, "dr-chest", NODULES)
    done = stage.sign(stage.reader, acknowledged, "dr-chest", NODULES)
    stage.sign(stage.reader, preliminary, "dr-chest", NODULES, preliminary_reason="患者须立即转诊")
    heart = stage.sign(stage.cardiologist, ecg, "ecg-12lead", SINUS)
    head = stage.sign(stage.reader, second_ct, "ct-head", HEAD)
    stage.verify(second_ct, head["version"])
    stage.sign(stage.reader, waiting_ct, "ct-head", HEAD)  # waits for its second signature
    for one, action in ((done, "noted"), (heart, "observed")):
        stage.clinician.post(f"/api/reports/{one['report_uid']}/acknowledge", {"action": action})
    ct_uid = stage.item(stage.reader, first_ct)["workitem_uid"]
    ecg_uid = stage.item(stage.cardiologist, reading_ecg)["workitem_uid"]
    verify_uid = stage.item(stage.reviewer, waiting_ct)["workitem_uid"]
    stage.reviewer.post(f"/api/workitems/{verify_uid}/claim")
    dr_uid = stage.item(stage.reader, preliminary)["workitem_uid"]
    refused_uid = stage.item(stage.reader, unread)["workitem_uid"]
    stage.write(stage.api("radiologist2"), refused_uid, "dr-chest", {**NODULES, "findings": f"患者𠮷氏。{NODULES['findings']}"})
    return {
        "report": report["report_uid"], "code": report["verify_code"] or "", "superseded": "",
        "ct": ct_uid, "ecg": ecg_uid, "dr": dr_uid, "verify": verify_uid, "refused": refused_uid,
        "mistaken": mistaken, "committed": first_ct,
    }  # fmt: skip


def trouble(stage: Stage) -> dict[str, str]:
    """After the township's PACS went away: a report that is tried again, two patients in one study, work given up, one arriving."""
    uid = stage.send(person(DR, "段小军", "40821", "M", date(1998, 11, 5)))
    stage.sign(stage.reader, uid, "dr-chest", NODULES)
    folder = stage.folder / "conflict"
    folder.mkdir()
    sender = person(DR, "韩秀枝", "42817", "F", date(1968, 3, 22))
    path = write_study(sender, datetime.now(ZONE), folder)[0]
    for name in (sender.name, "韩秀芝"):
        dataset = pydicom.dcmread(path)
        dataset.PatientName = f"={name}"
        dataset.save_as(path, enforce_file_format=True)
        store_files([path], "127.0.0.1", stage.product.dicom_port, called_ae="TELEREAD", calling_ae="QS_DR")
    conflict = str(dataset.StudyInstanceUID)
    give_up(stage.product)
    late = person(CT, "彭永福", "31330", "M", date(1957, 3, 14), part="CHEST", description="演示体模 胸部平扫")
    arriving = stage.send(late, most=12)
    items = stage.reader.get(f"/api/worklist?study_instance_uid={conflict}")["items"]
    conflict_uid = stage.claimed(stage.reader, items[0]["workitem_uid"])
    arriving_items = stage.reader.get(f"/api/worklist?study_instance_uid={arriving}")["items"]
    return {"conflict": conflict_uid, "arriving": arriving_items[0]["workitem_uid"]}


def administration(stage: Stage, committed_study: str) -> None:
    """While the township's PACS is there: people of two sites who may be one, a study put right, commitments of all ends."""
    neighbour = replace(DR, ae_title="HP_DR")
    stage.send(replace(neighbour, name="丁梅", patient_id="HP-00311", birth_date=date(1982, 4, 9)))
    stage.send(replace(neighbour, name=CT.name, patient_id=ID_NUMBER, sex=CT.sex, birth_date=CT.birth_date))
    stage.send(replace(neighbour, name="刘国富", patient_id=ID_NUMBER, sex="M", birth_date=date(1949, 11, 2)))
    wrong = stage.send(person(DR, "贾文博", "40861", "M", date(1979, 2, 17)))
    accession = stage.order(person(DR, "邵玉华", "40862", "F", date(1971, 12, 6)), "咳嗽、低热 1 周", "除外肺炎")
    admin = stage.api("admin")
    stage.item(stage.reader, wrong)
    (order,) = admin.post("/api/repair/search", {"q": accession})["orders"]
    right = admin.get(f"/api/repair/orders/{order['order_uid']}")["patient"]["patient_pk"]
    move = {"to_patient_pk": right, "order_uid": order["order_uid"], "reason": "登记时选错了人，影像上有手写姓名"}
    admin.post(f"/api/repair/studies/{wrong}/move", move)
    commitments(stage, admin, committed_study)
    until(lambda: len(admin.get("/api/persons/proposals")["proposals"]) > 1 and admin.get("/api/persons")["persons"], 60, "persons")


def commitments(stage: Stage, admin: Api, study_uid: str) -> None:
    """One that the PACS does not know, one of a whole study, one of an object that never came."""
    pacs = {"ae_title": "QS_PACS", "site": "QINGSHAN", "modality": "WS", "name": "PACS", "address_range": "127.0.0.1/32"}
    admin.post("/api/admin/devices", pacs)
    trust = {"services": ["echo", "store", "worklist", "mpps", "commitment"], "exception_reason": "设备不支持 TLS，独立网段"}
    for title in ("QS_PACS", "QS_CT"):
        admin.call("PATCH", f"/api/admin/devices/{title}", trust)
    stage.sign(stage.reader, stage.send(person(DR, "宋玉芬", "40249", "F", date(1963, 1, 25))), "dr-chest", NODULES)
    found = stage.reader.get(f"/dicom-web/studies/{study_uid}/instances")
    whole = [[one[tag]["Value"][0] for tag in ("00080016", "00080018")] for one in found]
    for number, references in enumerate((whole, [[CTImageStorage, generate_uid()]])):
        asked = {"port": stage.product.dicom_port, "from": "QS_CT", "to": "TELEREAD", "transaction": generate_uid(),
                 "references": references, "lingerMs": 0 if number else 4000}  # fmt: skip
        with script("commitment.js", "ask", **asked) as device:
            device.wait("closed")  # the first hears the result before, the second does not wait for it
    until(lambda: len(admin.get("/api/admin/commitments")["commitments"]) == 3, 60, "commitments of both directions")


def give_up(product: Product) -> None:
    """One piece of work of the worker, given up: what the product does after many failures, without waiting for them."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with sqlite3.connect(product.data_dir / "teleread.sqlite3", timeout=10) as database:
        database.execute(
            "INSERT INTO outbox_job (kind, key, payload, created_at, due_at, n_promises, n_attempts, n_lost, dead_at, last_error)"
            " VALUES ('derive', 'derive:1.2.826.0.1.3680043.8.498.31', '{}', ?, ?, 1, 5, 5, ?, 'worker_lost')", (now, now, now),
        )  # fmt: skip
    database.close()
