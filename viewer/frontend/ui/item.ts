/** What GET /api/worklist, /api/workitems and the event stream hand over (interfaces: HTTP). */
import type { Rejection } from "./rejected.ts";

export type Lane = "critical" | "stroke" | "chest_pain" | "emergency" | "routine";
export const LANES: readonly Lane[] = ["critical", "stroke", "chest_pain", "emergency", "routine"];
export const LANE_ICONS: Readonly<Record<Lane, string>> = {
  critical: "alert",
  stroke: "stroke",
  chest_pain: "heart",
  emergency: "cross",
  routine: "lines",
};
export const LANE_TONES: Readonly<Record<Lane, string>> = {
  critical: "red",
  stroke: "teal",
  chest_pain: "teal",
  emergency: "amber",
  routine: "outline",
};

export interface Age {
  value: number;
  unit: "year" | "month" | "day";
}

export interface Patient {
  name: string;
  name_pinyin: string;
  name_is_doubtful: boolean;
  patient_id: string | null;
  sex: "M" | "F" | "O" | null;
  birth_date: string | null;
  age: Age | null;
}

export interface Order {
  order_uid: string;
  accession_number: string;
  modality: string;
  body_part: string;
  complaint: string;
  question: string;
  priority: string;
  lane: Lane;
  requesting_doctor: string;
  made_from_object: boolean;
  /** How far its device is: requested, fetched, in_progress, completed, discontinued. */
  acquisition?: { state: string; at: string | null; device: string; reason: string };
  created_at: string;
  suggested_order_uid?: string | null;
}

export type Status =
  | "receiving" | "waiting" | "reading" | "to_verify" | "returned_for_edit"
  | "final" | "delivered" | "opened" | "acknowledged" | "returned_for_retake" | "cancelled";
export const SIGNED: readonly Status[] = ["final", "delivered", "opened", "acknowledged"];

export interface WorklistItem {
  workitem_uid: string;
  kind: "image" | "ecg";
  step: "interpretation" | "verification" | "addendum";
  state: string;
  status: Status;
  /** How far the report of the study is: none, draft, preliminary, submitted, returned, final … */
  report_status?: string;
  /** Why its images are to be taken again, where they are. */
  retake?: { category: string; reason: string | null } | null;
  report_uid: string | null;
  priority: string;
  lane: Lane;
  due_at: string;
  input_readiness: "INCOMPLETE" | "READY";
  n_instances: number;
  /** Of what the device lists, how many images have not come, and what the study waits for. */
  n_missing?: number;
  n_listed?: number;
  listed_by?: "mpps" | "commitment" | null;
  waits_for?: string | null;
  study_instance_uid: string;
  modality: string;
  body_part: string;
  description: string;
  accession_number: string;
  patient: Patient;
  originating_site: { code: string; name: string; name_en: string };
  assigned_to: string | null;
  assigned_to_id: number | null;
  claimed_by: string | null;
  claimed_by_id: number | null;
  claimed_at: string | null;
  excluded_id: number | null;
  received_at: string;
  acquired_at: string | null;
  ready_at: string | null;
  ended_at: string | null;
  late_images_at: string | null;
  n_conflicts: number;
  /** Images of it that rejection notes hide. */
  rejections: Rejection[];
  n_priors: number;
  order: Order;
}

/** Who sits at this page, from `<body data-…>`. */
export interface Me {
  accountId: number;
  username: string;
  name: string;
  role: string;
  site: string;
  /** What this person is qualified to read: image, ecg. */
  kinds: readonly string[];
}

export function me(body: HTMLElement = document.body): Me {
  const { account = "0", username = "", name = "", role = "", site = "", kinds = "" } = body.dataset;
  return { accountId: Number(account), username, name, role, site, kinds: kinds.split(" ").filter(Boolean) };
}
