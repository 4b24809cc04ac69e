"""ECG files brought by a person become objects on the same road as a modality's. [app]"""

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from blake3 import blake3

from ecg.formats.reader import UploadedEcg, read_upload
from ecg.waveform import EcgError
from pacs_bridge.extract import extract
from pacs_bridge.objects import StudyIdentity, ecg_waveform
from pacs_bridge.ports import ReceivedObject
from pacs_bridge.records import Problem
from worklist import order_service, store
from worklist.access import Actor, Refused
from worklist.base import audit
from worklist.inbox import IndexInbox
from worklist.receive_service import Filed
from worklist.roof import Roof
from worklist.tables import Study


@dataclass(frozen=True)
class UploadDesk:
    """Takes uploads of one web process."""

    roof: Roof
    inbox: IndexInbox

    def upload_ecg(self, actor: Actor, files: dict[str, bytes], fields: dict[str, str]) -> tuple[list[str], list[str]]:
        """File every ECG of an upload; the Study Instance UIDs, and those of them that were here already.

        DICOM is stored as it came; WFDB is written as a waveform object with the same digital samples. With
        patient and order fields an order is made first and the studies carry its accession number: not for
        recordings of this patient that were taken in before.
        Raises EcgError (what cannot be read), Refused("upload_quarantined", reason=…), Refused("field_missing").
        """
        read = read_upload(files, self.roof.settings.zone)
        known = [self._known_study(actor, ecg, fields) for ecg in read.ecgs]
        new = [ecg for ecg, study_id in zip(read.ecgs, known, strict=True) if study_id is None]
        repeated = [study_id for study_id in known if study_id is not None]
        if not new:
            return self._uids(repeated), self._uids(repeated)
        order = self._order(actor, fields)
        contents = [self._content(actor, ecg, fields, order) for ecg in new]
        filed = self.inbox.file_upload(
            actor.site_id, "upload", lambda run: [self._object(run, data) for data in contents]
        )
        self._note(actor, filed)
        studies: list[int] = []
        for outcome in filed:
            if outcome.outcome == "quarantined" or outcome.study_id is None:
                raise Refused("upload_quarantined", reason=outcome.reason or "")
            (repeated if outcome.outcome == "duplicate" else studies).append(outcome.study_id)
        return self._uids(studies + repeated), self._uids(repeated)

    def _note(self, actor: Actor, filed: list[Filed]) -> None:
        """Who brought it: one audit row for each recording."""
        with self.roof.db.write() as session:
            for outcome in filed:
                study = session.get(Study, outcome.study_id) if outcome.study_id is not None else None
                audit.record(
                    session, now=self.roof.now(), actor=actor.username, role=actor.role, site=actor.site_code,
                    act="ecg.upload", object_type="study", object_uid=study.study_instance_uid if study else "?",
                    result=outcome.reason or "ok",
                )  # fmt: skip

    def _known_study(self, actor: Actor, ecg: UploadedEcg, fields: dict[str, str]) -> int | None:
        """The study of this site that holds the same WFDB recording of the same patient."""
        if ecg.wfdb is None or not fields.get("patient_name"):
            return None
        sop_uid = content_uids(ecg, actor.site_code, fields["patient_name"], fields.get("patient_id") or "")[2]
        with self.roof.db.read() as session:
            instance = store.instance_by_uid(session, sop_uid)
            study = store.study_of_instance(session, instance) if instance is not None else None
            return study.id if study is not None and study.site_id == actor.site_id else None

    def _order(self, actor: Actor, fields: dict[str, str]) -> dict[str, str] | None:
        """An order from the form's fields, when it names a patient and no existing request."""
        if fields.get("accession_number") or not fields.get("patient_name"):
            return None
        request = order_service.OrderRequest(
            patient_name=fields["patient_name"], patient_id=fields.get("patient_id") or None,
            sex=fields.get("sex") or None, birth_date=_date(fields.get("birth_date")), modality="ECG", body_part="",
            complaint=fields.get("complaint", ""), question=fields.get("question", ""),
            priority=fields.get("priority") or "routine", pathway=fields.get("pathway") or None,
            requesting_doctor=fields.get("requesting_doctor", ""),
        )  # fmt: skip
        now = self.roof.now()
        with self.roof.db.write() as session:
            order = order_service.create_order(session, actor, request, zone=self.roof.settings.zone, now=now)
            return {"accession_number": order.accession_number}

    def _content(self, actor: Actor, ecg: UploadedEcg, fields: dict[str, str], order: dict[str, str] | None) -> bytes:
        if ecg.data is not None:
            return ecg.data
        if not fields.get("patient_name") or ecg.wfdb is None:
            # A WFDB record says nothing of who it is: without a name nobody could be told the result.
            raise Refused("field_missing", field="patient_name")
        now = self.roof.now().astimezone(self.roof.settings.zone)
        recorded_at = ecg.recording.acquired_at or _moment(fields.get("recorded_at"), self.roof.settings.zone)
        if recorded_at is not None and recorded_at > now:
            raise Refused("recorded_in_future", field="recorded_at")
        accession = (order or {}).get("accession_number") or fields.get("accession_number", "")
        study_uid, series_uid, sop_uid = content_uids(
            ecg, actor.site_code, fields["patient_name"], fields.get("patient_id") or ""
        )
        identity = StudyIdentity(
            study_instance_uid=study_uid, patient_name=fields["patient_name"], accession_number=accession,
            patient_id=fields.get("patient_id") or None, patient_sex=fields.get("sex") or None,
            patient_birth_date=_date(fields.get("birth_date")),
            started_at=recorded_at.astimezone(now.tzinfo) if recorded_at else None,
            study_description="十二导联心电图" if len(ecg.recording.leads) >= 12 else "心电图",
        )  # fmt: skip
        return waveform_object(ecg, identity, recorded_at, now, (series_uid, sop_uid))

    def _object(self, association_id: int, content: bytes) -> ReceivedObject:
        key = self.roof.blobs.put(content)
        record, problem = None, None
        try:
            record = extract(self.roof.blobs.path(key), fallback_character_set="GB18030", zone=self.roof.settings.zone)
        except Problem as found:
            problem = found
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a fault of ours: the bytes are safe, a person looks at them in quarantine
            problem = Problem("malformed", {"part": type(error).__name__})
        known: Any = record or (problem.record if problem else None)
        return ReceivedObject(
            association_id=association_id, blob_key=key, digest=blake3(content).hexdigest(), size_bytes=len(content),
            sop_class_uid=known.sop_class_uid if known else "",
            sop_instance_uid=known.sop_instance_uid if known else "",
            transfer_syntax_uid=known.transfer_syntax_uid if known else "", record=record, problem=problem,
        )  # fmt: skip

    def _uids(self, study_ids: list[int]) -> list[str]:
        with self.roof.db.read() as session:
            return [session.get_one(Study, study_id).study_instance_uid for study_id in dict.fromkeys(study_ids)]


def content_uids(ecg: UploadedEcg, site_code: str, patient_name: str, patient_id: str) -> tuple[str, str, str]:
    """Of study, series and instance, under 2.25: the same for the same recording, patient and site."""
    assert ecg.wfdb is not None  # noqa: S101  the caller chose a WFDB record
    digital, at = ecg.wfdb.digital, ecg.recording.acquired_at
    said = [digital.sampling_rate_hz, digital.leads, digital.sensitivity_uv, digital.baseline, at and at.isoformat()]

    def uid(part: str) -> str:
        hasher = blake3("\x1f".join([part, site_code, patient_name, patient_id, *map(str, said)]).encode())
        hasher.update(digital.samples.tobytes())
        return f"2.25.{int.from_bytes(hasher.digest(length=16), 'big')}"

    return uid("study"), uid("series"), uid("sop")


def waveform_object(
    ecg: UploadedEcg, identity: StudyIdentity, recorded_at: datetime | None, received_at: datetime,
    uids: tuple[str, str],
) -> bytes:  # fmt: skip
    """A WFDB record as a DICOM waveform object with the same integers. ``uids``: of series and instance.

    ``recorded_at`` None: nobody knows; the object says so. ``received_at``: aware, in the site's zone.

    Raises EcgError("samples_too_wide"), ObjectError.
    """
    assert ecg.wfdb is not None  # noqa: S101  the caller chose a WFDB record
    digital = ecg.wfdb.digital
    if digital.samples.min() < -32768 or digital.samples.max() > 32767:
        raise EcgError("samples_too_wide", file=ecg.name)
    series_uid, sop_uid = uids
    gaps = {value for value in digital.missing if value is not None}
    return ecg_waveform(
        digital.samples.astype("int16"), sensitivity_uv=digital.sensitivity_uv,
        baseline_uv=[-zero * step for zero, step in zip(digital.baseline, digital.sensitivity_uv, strict=True)],
        sampling_rate_hz=digital.sampling_rate_hz, leads=digital.leads, study=identity,
        acquired_at=(recorded_at or received_at).astimezone(received_at.tzinfo), is_time_known=recorded_at is not None,
        sop_instance_uid=sop_uid, series_instance_uid=series_uid,
        padding_value=gaps.pop() if len(gaps) == 1 else None,
    )  # fmt: skip


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    """What a person typed, in the site's zone. Raises Refused("field_type")."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("field_type", field="recorded_at") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _date(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("field_type", field="birth_date") from None
