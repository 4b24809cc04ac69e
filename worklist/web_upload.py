"""ECG files brought by a person: DICOM, WFDB, or a zip of these. [web]"""

import json
from typing import Any

from flask import Blueprint, request

from worklist.access import Act
from worklist.web import UPLOAD_LIMIT_BYTES, WebError, actor, adapter, register_codes, route_needs
from worklist.web_orders import own_site

upload = Blueprint("upload", __name__)

register_codes(
    {"unknown_format": 415, "empty_upload": 422, "upload_quarantined": 422, "damaged_zip": 422, "too_many_files": 413,
     "recorded_in_future": 422}
)

FORM_FIELDS = {
    "site": 32, "patient_name": 64, "patient_id": 64, "sex": 1, "birth_date": 10, "complaint": 2000,
    "question": 2000, "priority": 16, "pathway": 16, "requesting_doctor": 64, "accession_number": 16,
    "recorded_at": 32,  # when, where the file does not say it: ISO 8601, in the site's zone unless it has an offset
    # As in POST /api/orders: the patient as one JSON object; an upload is an ECG whatever these two say.
    "patient": 1000, "modality": 16, "body_part": 64,
}  # fmt: skip
PATIENT_FIELDS = {"name": "patient_name", "patient_id": "patient_id", "sex": "sex", "birth_date": "birth_date"}


@upload.post("/api/ecg")
@route_needs(
    Act.ECG_UPLOAD, summary="Upload an ECG: multipart, one or more file parts (DICOM, WFDB, zip) and order fields",
    limit_bytes=UPLOAD_LIMIT_BYTES, answers={200: "all were here already", 201: "filed", 415: "no format we read"},
)  # fmt: skip
def upload_ecg() -> tuple[dict[str, Any], int]:
    fields: dict[str, str] = {}
    for name, value in request.form.items():
        if name not in FORM_FIELDS:
            raise WebError(422, "field_unknown", field=name)
        if len(value) > FORM_FIELDS[name]:
            raise WebError(422, "field_too_long", field=name, max_len=FORM_FIELDS[name])
        if "\0" in value:
            raise WebError(422, "field_character", field=name)
        fields[name] = value.strip()
    own_site(fields.pop("site", None))
    fields = _patient(fields.pop("patient", "")) | fields
    for name in ("modality", "body_part"):
        fields.pop(name, None)
    files: dict[str, bytes] = {}
    for number, part in enumerate(request.files.getlist("file")):
        name = part.filename or f"part{number}"
        if name in files:
            raise WebError(422, "file_repeated", file=name[:64])
        files[name] = part.read()
    if not files:
        raise WebError(422, "field_missing", field="file")
    studies, duplicates = adapter("upload_ecg")(actor(), files, fields)
    made = {"study_instance_uid": studies[0], "study_instance_uids": studies, "duplicates": duplicates}
    return made, 200 if len(duplicates) == len(studies) else 201


def _patient(text: str) -> dict[str, str]:
    """The form's fields from a patient written as in POST /api/orders. Raises WebError(422, "field_type")."""
    if not text:
        return {}
    try:
        patient = json.loads(text)
    except ValueError:
        patient = None
    if not isinstance(patient, dict):
        raise WebError(422, "field_type", field="patient", type="object")
    found: dict[str, str] = {}
    for name, value in patient.items():
        if name not in PATIENT_FIELDS:
            raise WebError(422, "field_unknown", field=f"patient.{name}"[:64])
        if value is not None and (not isinstance(value, str) or len(value) > FORM_FIELDS[PATIENT_FIELDS[name]]):
            raise WebError(422, "field_type", field=f"patient.{name}", type="string")
        if value:
            found[PATIENT_FIELDS[name]] = value.strip()
    return found
