/** One row of the worklist from an API item, and the head of a lane. */
import { t } from "../i18n.ts";
import { countdown } from "./countdown.ts";
import { exam, modality, sexAndAge, siteName, time } from "./format.ts";
import { type Child, h, icon } from "./h.ts";
import { arrivingShort } from "./images.ts";
import { LANE_ICONS, LANE_TONES, type Lane, type Me, SIGNED, type WorklistItem } from "./item.ts";
import { rejectedChip } from "./rejected.ts";

/** Whether this person may take it: not the author's own verification, not held by another. */
export function isBarred(item: WorklistItem, person: Me): boolean {
  return item.excluded_id !== null && item.excluded_id === person.accountId;
}

export function isHeldByAnother(item: WorklistItem, person: Me): boolean {
  return item.state === "IN PROGRESS" && item.claimed_by_id !== person.accountId;
}

/** Only what one is qualified for can be taken; broken glass lets read, not report. */
export function isQualified(item: WorklistItem, person: Me): boolean {
  return person.kinds.includes(item.kind);
}

export function row(item: WorklistItem, person: Me): HTMLElement {
  const classes = ["row", "item", isHeldByAnother(item, person) ? "held" : "", isBarred(item, person) ? "barred" : ""];
  return h("div", {
    class: classes.filter(Boolean).join(" "), role: "row", "aria-selected": "false",
    id: `item-${item.workitem_uid}`, "data-uid": item.workitem_uid, "data-lane": item.lane,
  },
    cell("left", countdown(item)),
    cell("type", h("span", { class: "type" }, modality(item.modality))),
    cell("patient", h("b", {}, item.patient.name || "—"), h("small", {}, sexAndAge(item.patient))),
    cell("exam", exam(item)),
    cell("triage", ...triageWords(item)),
    h("span", { class: "c-site", role: "gridcell", title: siteName(item.originating_site) }, siteName(item.originating_site)),
    cell("arrived", time(item.received_at)),
    imageCell(item),
    cell("priors", item.n_priors > 0 ? item.n_priors : "—"),
    stateCell(item, person));
}

function cell(name: string, ...children: Child[]): HTMLElement {
  return h("span", { class: `c-${name}`, role: "gridcell" }, ...children);
}

/** The reported symptom as a chip in the lane's colour; a request in the routine lane as grey words. */
export function triageWords(item: WorklistItem): Child[] {
  const words = item.order.complaint.trim();
  const notes: Child[] = [];
  if (item.n_conflicts > 0) notes.push(h("span", { class: "chip red" }, icon("alert", 13), t("ui.worklist.conflict")));
  if (item.late_images_at) notes.push(h("span", { class: "chip red" }, t("ui.worklist.late_images")));
  if (item.rejections.length > 0) notes.push(rejectedChip(item.rejections));
  if (item.step === "verification") notes.push(h("span", { class: "chip accent" }, t("ui.step.word.verification")));
  if (item.step === "addendum") notes.push(h("span", { class: "chip accent" }, t("ui.step.word.addendum")));
  if (item.order.made_from_object) notes.push(h("span", { class: "chip outline" }, t("ui.worklist.column.no_order")));
  if (!words) return notes;
  const [first = "", rest = ""] = splitComplaint(words);
  if (item.lane === "routine") return [...notes, h("span", { class: "words" }, words)];
  return [...notes, h("span", { class: `chip ${LANE_TONES[item.lane]}` }, first), rest && h("span", { class: "words" }, rest)];
}

/** The leading symptom and what follows it; a row has room for the first clause as a chip. */
export function splitComplaint(words: string): [string, string] {
  const cut = words.search(/[，,；;。]/);
  return cut < 0 ? [words, ""] : [words.slice(0, cut), words.slice(cut + 1).trim()];
}

function imageCell(item: WorklistItem): HTMLElement {
  const isReady = item.input_readiness === "READY";
  const words = isReady ? t("ui.images.complete", { n: item.n_instances }) : arrivingShort(item);
  return h("span", { class: isReady ? "c-images" : "c-images amber", role: "gridcell" }, icon(isReady ? "check" : "download", 14), words);
}

function stateCell(item: WorklistItem, person: Me): HTMLElement {
  const isHeld = item.state === "IN PROGRESS";
  if (isBarred(item, person)) return h("span", { class: "c-state", role: "gridcell" }, icon("lock", 14), t("ui.worklist.own_report"));
  if (isHeld && item.claimed_by_id === person.accountId) return h("span", { class: "c-state mine", role: "gridcell" }, icon("lock", 14), t("ui.status.mine"));
  if (isHeld && item.claimed_by) {
    return h("span", { class: "c-state", role: "gridcell" }, icon("lock", 14), h("span", {}, item.claimed_by), h("small", { class: "tx3" }, t("ui.status.reading")));
  }
  if (!isQualified(item, person)) return h("span", { class: "c-state", role: "gridcell" }, icon("lock", 14), t("ui.status.not_qualified"));
  if (item.status === "receiving") return h("span", { class: "c-state amber", role: "gridcell" }, icon("download", 14), t("ui.status.receiving"));
  if (item.status === "returned_for_edit") return h("span", { class: "c-state amber", role: "gridcell" }, icon("return", 14), t("ui.status.returned_for_edit"));
  if (item.assigned_to_id === person.accountId) return h("span", { class: "c-state mine", role: "gridcell" }, h("i", { class: "dot" }), t("ui.status.assigned_to_me"));
  const words = item.assigned_to && item.status === "waiting" ? t("ui.status.assigned_to", { name: item.assigned_to }) : t(`ui.status.${item.status}`);
  const isSigned = SIGNED.includes(item.status);
  return h("span", { class: `c-state${isSigned ? " green" : ""}`, role: "gridcell" }, isSigned ? icon("check", 14) : h("i", { class: "dot ring" }), words);
}

/** A lane chip always has its icon and its word. */
export function laneChip(lane: Lane): HTMLElement {
  return h("span", { class: `chip ${LANE_TONES[lane]}` }, icon(LANE_ICONS[lane], 13), t(`ui.lane.${lane}`));
}

/** The sticky head of a lane: icon, name, count, note, and the target at the right. */
export function laneHead(lane: Lane, count: number): HTMLElement {
  const note = lane === "critical" ? t("ui.worklist.lane_note.critical") : "";
  return h("div", { class: `lane-head ${lane}`, "data-lane": lane, role: "row" },
    icon(LANE_ICONS[lane], 17),
    h("b", { role: "rowheader" }, t(`ui.worklist.lane_head.${lane}`)),
    h("span", { class: "n" }, count),
    note && h("span", { class: "note" }, note),
    h("span", { class: "target" }, t(`ui.worklist.target.${lane}`)));
}
