"""What a report's paper says, gathered from its rows. [service]"""

from datetime import datetime

from sqlalchemy.orm import Session

from reports.paper import ReportDocument, Section
from reports.report_template import TEMPLATES
from reports.tables import Report
from worklist.access import Actor
from worklist.base.config import Settings
from worklist.base.i18n import translate
from worklist.tables import Association, Device, Instance, Order, Patient, Series, Site, Study

LANGUAGE = "zh"  # paper is a Chinese medical record, whatever language the signer's screen has


def build_document(
    session: Session,
    settings: Settings,
    actor: Actor,
    study: Study,
    report: Report,
    *,
    preliminary: bool,
    verify_code: str,
    ecg_svg: str | None,
    now: datetime,
) -> ReportDocument:
    """The document that ``actor`` is about to sign as author, written at ``now``."""
    patient = session.get_one(Patient, study.patient_pk)
    order = session.get_one(Order, study.order_uid)
    site = session.get_one(Site, study.site_id)
    template = TEMPLATES[report.template]
    sections = tuple(
        Section(part.label_zh, report.sections.get(part.code, ""), part.code == "impression", part.code)
        for part in template.sections
    )
    return ReportDocument(
        title=_title(study, report), organisation=translate(f"paper.organisation_{study.kind}", LANGUAGE),
        patient_name=patient.name, patient_id=patient.patient_id or "", patient_sex=patient.sex,
        patient_birth_date=patient.birth_date, accession_number=study.accession_number or order.accession_number,
        site_name=site.name_zh, requesting_doctor=order.requesting_doctor,
        exam=f"{study.modality} {study.description or study.body_part}".strip(), device=_device(session, study),
        acquired_at=study.acquired_at,
        clinical=translate("paper.no_order", LANGUAGE) if order.made_from_object else _clinical(order),
        sections=sections, author_name=actor.name, written_at=now,
        verify_url=f"{settings.base_url}/verify/{verify_code}", verify_code=verify_code, zone=settings.zone,
        version=report.document_version, n_signatures_required=1 if preliminary else report.n_signatures_required,
        is_preliminary=preliminary, language=LANGUAGE, is_ecg=study.kind == "ecg", ecg_svg=ecg_svg,
        ecg_settings=translate("paper.ecg_settings", LANGUAGE) if ecg_svg else "",
        ecg_remark="" if ecg_svg or study.kind != "ecg" else translate("paper.ecg_without_scale", LANGUAGE),
    )  # fmt: skip


def _title(study: Study, report: Report) -> str:
    addendum = translate("paper.addendum", LANGUAGE) if report.document_version > 1 else ""
    if study.kind == "ecg":
        return translate("paper.title_ecg", LANGUAGE) + addendum
    return translate("paper.title_image", LANGUAGE, modality=study.modality) + addendum


def _clinical(order: Order) -> str:
    return "；".join(part for part in (order.complaint, order.question) if part)


def _device(session: Session, study: Study) -> str:
    """The name of the device that sent the study's first object; "" where a person uploaded it."""
    row = (
        session.query(Device.name, Device.ae_title)
        .join(Association, Association.device_id == Device.id)
        .join(Instance, Instance.association_id == Association.id)
        .join(Series, Series.id == Instance.series_id)
        .filter(Series.study_id == study.id)
        .order_by(Instance.id)
        .first()
    )
    return (row[0] or row[1]) if row else ""
