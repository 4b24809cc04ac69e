/** What the server hands over to administration (worklist/web_admin.py, web_people.py; reports/web_deliveries.py). */
import type { DeliveryState } from "../ui/deliverytrack.ts";
import { t, tOr } from "../i18n.ts";

export interface Site {
  code: string;
  name: string;
  name_en: string;
  accession_prefix: string;
  reads: boolean;
  enabled: boolean;
  signatures_by_modality: Record<string, number>;
  return_ae_title: string | null;
  return_host: string | null;
  return_port: number | null;
  return_character_set: string;
  n_devices: number;
  n_users: number;
  n_received_today: number;
  n_undelivered: number;
  n_retrying: number;
  n_dead: number;
  oldest_unacknowledged_at: string | null;
}

export interface Device {
  ae_title: string;
  site: string;
  name: string;
  modality: string;
  address_range: string;
  services: string[];
  quiet_time_s: number;
  fallback_character_set: string;
  character_set: string;
  certificate_sha256: string | null;
  certificate_valid_until: string | null;
  host: string | null;
  port: number | null;
  sees: string;
  move_destinations: string[];
  exception_reason: string | null;
  performs_as: string | null;
  enabled: boolean;
  last_seen_at: string | null;
}

/** What a C-ECHO from here found. */
export interface Echo {
  outcome: string;
  status: string | null;
  detail: string;
  duration_ms: number;
}

export function echoWords(found: Echo): { tone: string; text: string } {
  if (found.outcome === "accepted") return { tone: "green", text: `${found.duration_ms}\u00a0ms` };
  return { tone: "red", text: outcomeWords([found.outcome, found.status ?? ""].join(" ").trim()) };
}

/** Why an association was refused; the trail's own name where there is no sentence for it. */
export function refusalWords(reason: string): string {
  return tOr(`page.admin.refusal.${reason}`, reason);
}

export interface Attempt {
  at: string;
  outcome: string;
  status: string | null;
  detail: string | null;
}

export interface QueuedDelivery {
  delivery_id: number;
  report_uid: string;
  report_status: string;
  document_version: number;
  signed_at: string | null;
  patient_name: string;
  modality: string;
  body_part: string;
  site: { code: string; name: string; name_en: string };
  channel: string;
  peer: string | null;
  state: DeliveryState;
  n_attempts: number;
  attempts: Attempt[];
  next_attempt_at: string | null;
  last_error: string | null;
  created_at: string;
  accepted_at: string | null;
  opened_at: string | null;
  acknowledged_at: string | null;
  /** What the receiving PACS says of keeping it, where it offers storage commitment. */
  archive: { state: "asked" | "archived" | "not_kept" | "unanswered"; at: string | null } | null;
  other_channels: { delivery_id: number; channel: string; state: DeliveryState; accepted_at: string | null; opened_at: string | null; acknowledged_at: string | null }[];
}

export interface Queue {
  deliveries: QueuedDelivery[];
  counts: Record<"open" | "retrying" | "failed" | "all", number>;
  oldest_unacknowledged: { at: string; site: string } | null;
}

export interface Person {
  username: string;
  name: string;
  name_en: string;
  role: string;
  site: string;
  kinds: string[];
  licence_number: string;
  licence_valid_until: string | null;
  enabled: boolean;
  locked_until: string | null;
  signing_key: { state: "none" | "revoked" | "expired" | "locked" | "valid"; serial: string | null; valid_until: string | null };
}

export interface Kept {
  quarantine_id: number;
  received_at: string;
  site: string | null;
  source: string;
  reason: string;
  reason_text: string;
  details: Record<string, unknown> | null;
  sop_instance_uid: string | null;
  study_instance_uid: string | null;
  size_bytes: number;
  seen_reason: string | null;
}

const OUTCOMES = new Set(["accepted", "warning", "refused", "unreachable", "timeout", "aborted", "unreadable"]);
/** What kept us from sending, or ended it without the peer. */
const OWN_OUTCOMES = new Set(["no_context", "not_convertible", "return_address_missing", "character_not_writable", "worker_lost", "no_address", "unanswered"]);

/** `unreachable` or `refused A700` in words, with the peer's status where it gave one. */
export function outcomeWords(text: string | null): string {
  const [code = "", status = ""] = (text ?? "").split(" ");
  if (!code) return "";
  if (OWN_OUTCOMES.has(code)) return t(`admin.outcome.${code}`);
  if (!OUTCOMES.has(code)) return text ?? "";
  return [t(code === "unreadable" ? "page.admin.outcome.unreadable" : `ui.admin.outcome.${code}`), status].filter(Boolean).join(" ");
}

/** What most likely is the matter and what to do about it. */
export function causeOf(text: string | null): { title: string; advice: string } | null {
  const code = (text ?? "").split(" ")[0] ?? "";
  const key = OUTCOMES.has(code) && code !== "accepted" && code !== "unreadable" ? code : "";
  return key ? { title: t(`page.admin.cause.${key}`), advice: t(`page.admin.advice.${key}`) } : null;
}
