/** What GET /api/workitems/{uid} adds to an item of the list, and a report as the API shows it. */
import type { DeliveryState } from "../ui/deliverytrack.ts";
import type { Order, Patient, WorklistItem } from "../ui/item.ts";
import type { Rejection } from "../ui/rejected.ts";

export interface StudyInstance {
  sop_instance_uid: string;
  number: number | null;
  derived_state: "pending" | "ready" | "failed" | "none";
  derived_reason: string | null;
}

export interface StudySeries {
  series_instance_uid: string;
  number: number | null;
  modality: string;
  description: string;
  n_instances: number;
  instances: StudyInstance[];
}

export interface Prior {
  study_instance_uid: string;
  modality: string;
  description: string;
  body_part: string;
  kind: "image" | "ecg";
  acquired_at: string;
  n_instances: number;
  originating_site: { code: string; name: string; name_en: string };
  /** Of its images, those that are hidden. */
  rejections: Rejection[];
  /** Why this patient of a linked site is the same person; null for the same patient. */
  same_person: { how: string; reasons: string[]; score: number; by: string | null; at: string } | null;
  report: { report_uid: string; status: string; sections: Record<string, string>; author: string; signed_at: string | null } | null;
}

export interface Report {
  report_uid: string;
  revision: number;
  version: number;
  status: string;
  document_version: number;
  template: string;
  sections: Record<string, string>;
  author: string;
  author_id: number;
  verifier: string | null;
  returned_reason: string | null;
  preliminary_reason: string | null;
  n_signatures_required: number;
  workitem_uid: string;
  sha256: string | null;
  pdf: string | null;
  updated_at: string | null;
  signed_at: string | null;
  author_signed_at: string | null;
  /** The study's patient was repaired after the author signed. */
  names_other_patient: boolean;
}

export interface Conflict {
  reason: string;
  received_at: string;
  source: string;
  seen: boolean;
}

/** What spoke for or against completeness when it was last weighed. */
export interface Evidence {
  kind: string | null;
  waits_for: string | null;
  n_instances: number;
  quiet_time_s: number;
  steps: { state: string; n_listed: number; n_missing: number; reason: string; device: string }[];
  n_listed: number;
  n_missing: number;
  missing: { series_instance_uid: string; sop_instance_uid: string; series_number: number | null }[];
  reason?: string;
  released_by?: string;
}

/** One quantity of radiation dose by its DICOM keyword; event 0 is the whole step. */
export interface Dose {
  event: number;
  quantity: string;
  value: number | null;
  unit: string;
  text: string;
}

export interface Detail extends WorklistItem {
  transaction_uid: string | null;
  reason: string | null;
  replaced_by: string | null;
  study: {
    study_instance_uid: string;
    description: string;
    n_instances: number;
    input_readiness: string;
    late_images_at: string | null;
    ready_evidence: Evidence | null;
    dose: Dose[];
    rejections: Rejection[];
    series: StudySeries[];
  };
  priors: Prior[];
  /** Earlier examinations of which every image was rejected: nothing of them is shown but why. */
  hidden_priors: Pick<Prior, "modality" | "description" | "body_part" | "acquired_at" | "rejections">[];
  conflicts: Conflict[];
  report: Report | null;
  suggested_order: (Order & { patient: Patient }) | null;
}

export interface Phrase {
  initials: string;
  name: string;
  text: string;
}

export interface Template {
  code: string;
  title: { zh: string; en: string };
  sections: { code: string; label: { zh: string; en: string }; required: boolean; normal: string; phrases: Phrase[] }[];
}

export interface Delivery {
  delivery_id: number;
  channel: "dicom" | "portal";
  state: DeliveryState;
  document_version: number;
  accepted_at: string | null;
  opened_at: string | null;
  opened_by: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  action_taken: string | null;
  next_attempt_at: string | null;
  last_error: string | null;
}

/** DR, CR and their like: one picture each, hung side by side; everything else is a stack. */
export function isFilm(modality: string): boolean {
  return ["DR", "DX", "CR", "MG", "PX", "RG", "OT", "XC", "IO"].includes(modality);
}
