/** Rows of what a site sent: who, what, how far it is and who has it, what is amiss, what to do. */
import { t } from "../i18n.ts";
import { serverNow } from "../ui/clock.ts";
import { date, duration, exam, fullDate, modality, moment, sexAndAge, time } from "../ui/format.ts";
import { type Child, h, icon } from "../ui/h.ts";
import type { Order, Patient, WorklistItem } from "../ui/item.ts";
import { arrivingWords, isMissing, mayReleaseImages } from "../ui/images.ts";
import { rejectedLines } from "../ui/rejected.ts";
import { laneChip } from "../ui/row.ts";
import { stepTrack, type Track, trackOf } from "../ui/steptrack.ts";
import { isPreliminary, isSigned } from "./studies.ts";

/** A request that still waits for its images. */
export interface OpenOrder extends Order {
  patient: Patient;
}

export interface RowActions {
  /** A person is to say whether a suggested order belongs to a study. */
  match: (item: WorklistItem) => void;
  /** A person goes on without images that the device lists. */
  release: (item: WorklistItem) => void;
}

const WARN_MS = 5 * 60_000;

export function needsAction(item: WorklistItem): boolean {
  return item.n_conflicts > 0 || hasSuggestion(item) || item.status === "returned_for_retake";
}

/** Nothing of it can be read any more. */
export function isAllRejected(item: WorklistItem): boolean {
  return item.n_instances === 0 && item.rejections.length > 0;
}

export function hasSuggestion(item: WorklistItem): boolean {
  return Boolean(item.order.suggested_order_uid) && !isSigned(item);
}

/** A sentence about time that the page's one timer keeps true. */
export function timeLeft(dueAt: string): HTMLElement {
  const made = h("span", { class: "nowrap", "data-time-left": dueAt });
  refreshTimeLeft(made);
  return made;
}

export function refreshTimeLeft(element: HTMLElement): void {
  const left = Date.parse(element.dataset["timeLeft"] ?? "") - serverNow();
  const isOver = left <= 0;
  const words = isOver ? `+${duration(-left)} ${t("ui.countdown.over")}` : t("ui.countdown.left", { time: duration(left) });
  if (element.textContent !== words) element.textContent = words;
  element.classList.toggle("red", isOver);
  element.classList.toggle("amber", !isOver && left <= WARN_MS);
}

/** The track of a study with the page's own words: danger first, then who has it and how long it may take. */
export function sentTrack(item: WorklistItem): HTMLElement {
  const made = stepTrack(toned(item));
  const words = made.querySelector(".words");
  if (isAllRejected(item) && !isSigned(item)) {
    words?.replaceChildren(t("page.tech.nothing_left"));
  } else if (item.n_conflicts === 0 && item.status === "receiving") {
    words?.replaceChildren(item.waits_for ? arrivingWords(item) : t("page.tech.receiving", { n: item.n_instances }));
  } else if (item.status === "returned_for_retake") {
    words?.append(" · ", t("ui.retake.to_do"));
  } else if (item.n_conflicts === 0 && !isSigned(item) && item.status !== "cancelled") {
    if (isPreliminary(item)) words?.prepend(t("page.preliminary_out"), " · ");
    words?.append(" · ", timeLeft(item.due_at));
  }
  return made;
}

function toned(item: WorklistItem): Track {
  const track = trackOf(item);
  if (item.n_conflicts > 0 && !isSigned(item)) return { ...track, tone: "red", words: t("page.tech.conflict", { n: item.n_conflicts }) };
  return track;
}

export function studyRow(item: WorklistItem, actions: RowActions): HTMLElement {
  return h("tr", { "data-study": item.study_instance_uid, "data-status": item.status },
    h("td", { class: "tx2" }, shortMoment(item.acquired_at ?? item.received_at)),
    h("td", {}, person(item.patient)),
    h("td", {}, examOf(item, item.modality, exam(item))),
    h("td", { class: "track" }, sentTrack(item)),
    h("td", {}, ...imageState(item), ...rejectedLines(item.rejections)),
    h("td", {}, orderState(item, actions)));
}

/** The time of today, the bare date of other days: the table has room for one of them. */
function shortMoment(at: string): string {
  return fullDate(at) === fullDate(serverNow()) ? time(at) : date(at);
}

export function orderRow(order: OpenOrder): HTMLElement {
  const track: Track = { done: 0, current: 0, tone: order.acquisition?.state === "discontinued" ? "red" : "", words: orderWords(order) };
  const what = order.modality === "ECG" ? t("ui.tech.part.heart") : exam({ description: "", body_part: order.body_part, modality: order.modality });
  return h("tr", { "data-order": order.order_uid },
    h("td", { class: "tx3" }, moment(order.created_at)),
    h("td", {}, person(order.patient)),
    h("td", {}, examOf(order, order.modality, what)),
    h("td", { class: "track" }, stepTrack(track)),
    h("td", { class: "tx3" }, t(order.acquisition?.state === "completed" ? "page.tech.on_its_way" : "page.tech.not_arrived")),
    h("td", {}, accession(order.accession_number)));
}

/** How far the device is with a request. */
function orderWords(order: OpenOrder): string {
  const { state = "requested", at = null, device = "", reason = "" } = order.acquisition ?? {};
  if (state === "requested" || !at) return t("page.tech.order_waits");
  return [t(`page.tech.acquisition.${state}`, { device, time: time(at) }), reason].filter(Boolean).join(" · ");
}

function person(patient: Patient): HTMLElement {
  return h("span", { class: "person" }, h("b", {}, patient.name || "—"), h("span", {}, sexAndAge(patient)));
}

function examOf(of: { lane?: WorklistItem["lane"] }, type: string, words: string): HTMLElement {
  return h("span", { class: "exam" },
    h("span", { class: "type" }, modality(type)), h("span", { class: "words" }, words),
    of.lane && of.lane !== "routine" && laneChip(of.lane));
}

function imageState(item: WorklistItem): Child[] {
  const count = t(item.kind === "ecg" ? "page.tech.ecg_n" : "page.tech.images_n", { n: item.n_instances });
  if (item.n_conflicts > 0) return [h("span", { class: "chip red" }, icon("alert", 13), t("page.tech.conflict_chip")), " ", count];
  if (item.late_images_at) return [h("span", { class: "chip amber" }, t("page.tech.late", { time: moment(item.late_images_at) })), " ", count];
  if (isMissing(item)) return [h("span", { class: "chip amber" }, icon("alert", 13), t("ui.images.missing_short", { missing: item.n_missing ?? 0 })), " ", count];
  if (isAllRejected(item)) return []; // why is said below
  if (item.input_readiness === "READY") return [h("span", { class: "pair tx2" }, icon("check", 14), t("page.tech.complete", { n: count }))];
  return [h("span", { class: "pair amber" }, icon("download", 14), count)];
}

function orderState(item: WorklistItem, actions: RowActions): Child {
  if (hasSuggestion(item)) return h("button", { class: "btn small", type: "button", onclick: () => actions.match(item) }, t("page.tech.check_order"));
  if (mayReleaseImages(item)) return h("button", { class: "btn small", type: "button", onclick: () => actions.release(item) }, t("ui.images.release"));
  if (item.order.made_from_object) return h("span", { class: "chip outline" }, t("ui.tech.no_order"));
  return accession(item.order.accession_number);
}

export function accession(number: string): HTMLElement {
  return h("span", { class: "mono tx2 nowrap" }, number || "—");
}
