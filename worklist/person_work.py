"""The worker's part of the person index: numbers read from an object, then the comparison. [app]"""

from pacs_bridge.other_ids import identifiers
from worklist import id_number, person_service
from worklist.base.outbox import Job
from worklist.number_vault import open_vault
from worklist.roof import Roof
from worklist.tables import Instance, Patient


def index_person(roof: Roof, job: Job) -> None:
    """Keep the numbers of a patient's object and look who else this person is; repeating it changes nothing."""
    vault = open_vault(roof.keys_dir)
    patient_pk, instance_id = job.payload["patient_pk"], job.payload.get("instance_id")
    texts: list[str] = []
    with roof.db.read() as session:
        instance = session.get(Instance, instance_id) if instance_id is not None else None
        patient = session.get(Patient, patient_pk)
    if patient is None:
        return
    if instance is not None:
        texts += [found.value for found in identifiers(roof.blobs.path(instance.blob_key))]
    texts.append(patient.patient_id or "")
    numbers = [number for number in map(id_number.read, texts) if number is not None]
    now = roof.now()
    with roof.db.write() as session:
        person_service.keep_numbers(session, vault, patient_pk, numbers, "object", now)
        person_service.index_patient(session, vault, patient_pk, now)
