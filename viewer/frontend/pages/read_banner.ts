/** Who and what is read, how long is left, who holds it; and the notices that must not be overlooked. */
import { language, t } from "../i18n.ts";
import { countdown } from "../ui/countdown.ts";
import { exam, modality, moment, sexAndAge, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import { arrivingWords, askReleaseImages, isMissing, mayReleaseImages } from "../ui/images.ts";
import type { Me, WorklistItem } from "../ui/item.ts";
import { rejectedBy, rejectedWords } from "../ui/rejected.ts";
import { laneChip } from "../ui/row.ts";
import type { Detail } from "./detail.ts";
import { missingWords } from "./evidence.ts";
import { requestText } from "./request_text.ts";
import { isOpen } from "./worklist_order.ts";

export function showBanner(detail: Detail, person: Me): void {
  const { patient, order } = detail;
  fill(byId("patient-name"), patient.name || "—");
  fill(byId("patient-age"), sexAndAge(patient));
  fact("birth", patient.birth_date ?? "—");
  fact("patient-id", patient.patient_id ?? "—");
  fact("exam", `${modality(detail.modality)} ${exam(detail)}`.replace(/^(\S+) \1/, "$1"));
  fact("site", siteName(detail.originating_site));
  fact("accession", detail.accession_number || "—");
  const tone = detail.lane === "stroke" || detail.lane === "chest_pain" ? "teal" : "amber";
  const complaint = byId("complaint-words");
  complaint.className = `request ${tone}`;
  complaint.title = order.complaint;
  fill(complaint, ...(order.made_from_object ? [h("span", { class: "amber" }, t("ui.read.no_order"))] : requestText(order.complaint || "—")));
  const purpose = [order.question, order.requesting_doctor].filter(Boolean).join(" · ");
  const words = byId("purpose-words");
  words.title = purpose;
  fill(words, purpose && h("span", { class: "tx2" }, `${t("ui.read.purpose")}${language() === "en" ? ": " : " "}`), purpose);
  fill(byId("lane-chip"), laneChip(detail.lane));
  fill(byId("countdown"), countdown(detail, "big"));
  fill(byId("lock-state"), ...lockState(detail, person));
  document.title = `${t("ui.read.title")} · ${t("ui.brand")}`;
}

function fact(id: string, value: string): void {
  const place = document.querySelector(`#fact-${id} > dd`);
  if (place) fill(place, value);
}

function lockState(detail: Detail, person: Me): Child[] {
  if (!isOpen(detail)) return [h("span", { class: "green" }, icon("check", 14), t(`ui.status.${detail.status}`))];
  if (detail.claimed_by_id === person.accountId) return [h("span", { class: "green" }, icon("lock", 14), t("ui.read.claimed_by_me"))];
  if (detail.claimed_by) return [h("span", { class: "amber" }, icon("lock", 14), t("ui.read.claimed_by", { name: detail.claimed_by }))];
  return [h("span", { class: "tx2" }, t("ui.read.unclaimed"))];
}

export interface Notice {
  code: string;
  tone: "red" | "amber" | "green" | "";
  icon: string;
  title: string;
  text: string;
  action?: { words: string; run: () => void };
}

/** Banners over the pictures' edge, not over the pictures. */
export function showNotices(notices: Notice[]): void {
  const place = byId("notices");
  const text = JSON.stringify(notices);
  if (place.dataset["shown"] === text) return;
  place.dataset["shown"] = text;
  fill(place, ...notices.map((one) => h("div", { class: `banner bar ${one.tone}`, role: one.tone === "red" ? "alert" : "status", "data-notice": one.code },
    icon(one.icon), h("b", {}, one.title), h("p", {}, one.text),
    one.action && h("button", { class: "btn small", type: "button", onclick: one.action.run }, one.action.words))));
}

export interface NoticeHands {
  claim: () => void;
  seeConflicts: () => void;
  openSuccessor: (uid: string) => void;
  dismiss: () => void;
}

export function noticesOf(detail: Detail, person: Me, hands: NoticeHands): Notice[] {
  const made: Notice[] = [];
  const isMine = detail.claimed_by_id === person.accountId && isOpen(detail);
  const unseen = detail.conflicts.filter((one) => !one.seen);
  if (unseen.length) made.push({ code: "conflict", tone: "red", icon: "alert", title: t("ui.worklist.conflict"), text: [...new Set(unseen.map((one) => t(`quarantine.${one.reason}`)))].join(" · "), action: isMine ? { words: t("page.reader.conflict_see"), run: hands.seeConflicts } : undefined });
  if (detail.late_images_at) made.push({ code: "late", tone: "red", icon: "alert", title: t("page.reader.late_title"), text: t("page.reader.late_text", { at: moment(detail.late_images_at) }), action: isMine && detail.step === "addendum" ? { words: t("page.reader.dismiss"), run: hands.dismiss } : undefined });
  if (detail.report?.names_other_patient) made.push({ code: "identity", tone: "red", icon: "alert", title: t("page.identity.title"), text: t("page.identity.signed") });
  for (const one of detail.study.rejections) made.push({ code: "rejected", tone: "amber", icon: "eye", title: rejectedWords(one), text: rejectedBy(one) });
  if (detail.input_readiness !== "READY") made.push({ code: "receiving", tone: "amber", icon: isMissing(detail) ? "alert" : "download", title: arrivingWords(detail), text: [missingWords(detail), t(isMissing(detail) ? "ui.read.missing" : "ui.read.receiving")].filter(Boolean).join(" · "), action: mayReleaseImages(detail) && person.role !== "trainee" ? { words: t("ui.images.release"), run: () => void askReleaseImages(detail) } : undefined });
  if (detail.patient.name_is_doubtful) made.push({ code: "name", tone: "amber", icon: "info", title: detail.patient.name, text: t("page.reader.name_doubtful") });
  if (detail.replaced_by) made.push({ code: "replaced", tone: "amber", icon: "return", title: t("page.reader.replaced_title"), text: t("page.reader.replaced_text"), action: { words: t("ui.worklist.open"), run: () => hands.openSuccessor(detail.replaced_by ?? "") } });
  return made;
}

export function showFollowing(next: WorklistItem | null, nWaiting: number): void {
  byId("following").hidden = !next;
  fill(byId("my-place"), t("ui.worklist.next.count", { n: nWaiting }));
  if (next) fill(byId("following-what"), `${next.patient.name} ${modality(next.modality)} ${exam(next)}`);
}
