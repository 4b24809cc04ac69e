/** One report as its reader sees it: conclusion first, who signed when, how far it got, its versions. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { actionWords, deliveryTrack } from "../ui/deliverytrack.ts";
import { openDialog } from "../ui/dialog.ts";
import { exam, modality, moment, sexAndAge, siteName, timeWithSeconds } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import { me, type WorklistItem } from "../ui/item.ts";
import { rejectedBanners } from "../ui/rejected.ts";
import { laneChip } from "../ui/row.ts";
import type { Delivery as Sent } from "./detail.ts";

export type ReportStatus = "DRAFT" | "SUBMITTED" | "PRELIM" | "FINAL" | "APPENDED";

export interface Delivery extends Sent {
  status: ReportStatus;
  created_at: string;
}

export interface Report {
  report_uid: string;
  revision: number;
  status: ReportStatus;
  document_version: number;
  template: string;
  sections: Record<string, string>;
  author: string;
  author_signed_at: string | null;
  verifier: string | null;
  verifier_signed_at: string | null;
  signed_at: string | null;
  preliminary_reason: string | null;
  n_signatures_required: number;
  sha256: string | null;
  verify_code: string | null;
  /** The study's patient was repaired after the author signed: the document names who it was. */
  names_other_patient: boolean;
  pdf: string | null;
  study_instance_uid: string;
  versions: { document_version: number; status: ReportStatus; signed_at: string; revision: number }[];
  deliveries: Delivery[];
}

export const loadReport = (uid: string): Promise<Report> => server.get<Report>(`/api/reports/${uid}`);

/** The portal's delivery of the version on screen: where opening and acknowledging are written down. */
export function portalDelivery(report: Report): Delivery | undefined {
  const own = report.deliveries.filter((delivery) => delivery.channel === "portal");
  return own.find((delivery) => delivery.document_version === report.document_version && delivery.status === report.status) ?? own[own.length - 1];
}

export function statusChip(report: Report): HTMLElement {
  if (report.status === "PRELIM") return h("span", { class: "chip amber" }, icon("clock", 13), t("ui.report.status.prelim"));
  if (report.status === "DRAFT" || report.status === "SUBMITTED") return h("span", { class: "chip outline" }, t(`ui.report.status.${report.status.toLowerCase()}`));
  const word = t(`ui.report.status.${report.status.toLowerCase()}`);
  return h("span", { class: "chip green" }, icon("shield", 13), t("page.report.signed_by", { status: word, n: report.verifier_signed_at ? 2 : 1 }));
}

/** Fills `_report_view.html`; the page hides what its reader may not do. */
export function showReport(report: Report, item: WorklistItem | null): void {
  byId("report-state").hidden = true;
  byId("report-body").hidden = false;
  showHead(report, item);
  showWarning(report, item);
  fill(byId("report-impression"), report.sections["impression"] || "—");
  fill(byId("report-findings"), report.sections["findings"] || "—");
  const isEcg = item?.kind === "ecg";
  fill(document.querySelector(".findings-box > h2") as Element, t(isEcg ? "ui.report.findings_ecg" : "ui.report.findings"));
  showPeople(report, item);
  fill(byId("report-deliveries"), ...report.deliveries.map(deliveryLine));
  showLinks(report);
  byId("report").classList.toggle("preliminary", report.status === "PRELIM");
  byId("report").dataset["watermark"] = report.status === "PRELIM" ? t("ui.report.status.prelim") : "";
}

/** A study whose report is not there yet: who it is and how far it is. */
export function showProgress(item: WorklistItem, progress: Child): void {
  byId("report-body").hidden = true;
  byId("report").classList.remove("preliminary");
  byId("print").hidden = byId("download-pdf").hidden = true;
  const state = byId("report-state");
  state.hidden = false;
  fill(state,
    h("h1", {}, item.patient.name || "—", " ", h("small", { class: "tx2" }, sexAndAge(item.patient))),
    h("p", {}, `${modality(item.modality)} ${exam(item)} · ${t("page.report.accession")} ${item.accession_number || "—"}`),
    h("div", { class: "progress-track" }, progress),
    ...rejectedBanners(item.rejections, ""),
    item.order.complaint && h("p", {}, `${t("ui.tech.complaint")} ${item.order.complaint}`),
    item.order.question && h("p", {}, `${t("ui.tech.question")} ${item.order.question}`),
    item.n_instances > 0 && h("p", { class: "caption" }, t("page.report.will_come")));
}

function showHead(report: Report, item: WorklistItem | null): void {
  fill(byId("report-patient"), item?.patient.name || "—");
  fill(byId("report-age"), item ? sexAndAge(item.patient) : "");
  fill(byId("report-status"), statusChip(report));
  if (!item) return fill(byId("report-facts"));
  const fact = (label: string, value: string | null): Child => value && h("span", {}, `${label} `, h("span", { class: "tx1" }, value));
  fill(byId("report-facts"),
    h("span", { class: "tx1" }, `${modality(item.modality)} ${exam(item)}`),
    item.lane !== "routine" && laneChip(item.lane),
    fact(t("page.report.accession"), item.accession_number), fact(t("ui.read.patient_id"), item.patient.patient_id),
    me().role !== "clinician" && fact(t("page.report.site"), siteName(item.originating_site)));
}

function showWarning(report: Report, item: WorklistItem | null): void {
  const banners: Child[] = [];
  if (report.names_other_patient) {
    banners.push(h("div", { class: "banner red", role: "alert", "data-notice": "identity" }, icon("alert"), h("b", {}, t("page.identity.report_title")),
      h("p", {}, t("page.identity.report_text", { name: item?.patient.name || "—" }))));
  }
  banners.push(...rejectedBanners(item?.rejections ?? [], ""));
  if (report.status === "PRELIM") {
    banners.push(h("div", { class: "banner amber" }, icon("alert"), h("b", {}, t("ui.report.status.prelim")),
      h("p", {}, t("ui.portal.preliminary_warning"), report.preliminary_reason ? ` · ${t("ui.dialog.reason")} ${report.preliminary_reason}` : "")));
  }
  const newest = report.versions[report.versions.length - 1];
  if (newest && newest.document_version > 1) {
    banners.push(h("div", { class: "banner" }, icon("info"), h("b", {}, t("page.report.newer", { n: newest.document_version })), h("p", {}, t("page.report.newer_note"))));
  }
  fill(byId("report-warning"), ...banners);
}

function showPeople(report: Report, item: WorklistItem | null): void {
  const entry = (label: string, name: string | null, at: string | null): Child =>
    (name || at) && h("div", {}, h("dt", {}, label), h("dd", {}, name && h("b", {}, name), name && at ? " " : "", at && h("span", { class: "nowrap" }, moment(at))));
  const arrived = report.deliveries.map((delivery) => delivery.accepted_at).filter((at): at is string => Boolean(at)).sort()[0] ?? null;
  fill(byId("report-people"),
    entry(t("ui.portal.fact.exam"), null, item ? item.acquired_at ?? item.received_at : null),
    entry(t("ui.report.reporting"), report.author, report.author_signed_at),
    entry(t("ui.report.reviewing"), report.verifier, report.verifier_signed_at),
    entry(t("ui.portal.fact.delivered"), null, arrived));
}

function deliveryLine(delivery: Delivery): HTMLElement {
  const at = delivery.acknowledged_at ?? delivery.opened_at ?? delivery.accepted_at ?? delivery.next_attempt_at;
  const who = delivery.acknowledged_by ?? delivery.opened_by;
  const action = delivery.action_taken ? ` · ${actionWords(delivery.action_taken)}` : "";
  const next = delivery.next_attempt_at && delivery.state === "RETRY" ? t("page.report.next_try", { time: timeWithSeconds(delivery.next_attempt_at) }) : at ? moment(at) : "";
  return h("li", { "data-channel": delivery.channel, "data-state": delivery.state },
    h("span", { class: "channel" }, t(`ui.channel.${delivery.channel}`)),
    h("span", { class: "chip outline" }, `v${delivery.document_version}`),
    deliveryTrack(delivery.state),
    h("span", { class: "end caption" }, [who, next].filter(Boolean).join(" "), action));
}

function showLinks(report: Report): void {
  fill(byId("report-version"), ...report.versions.map((version) =>
    h("span", { class: "nowrap", title: t(`ui.report.status.${version.status.toLowerCase()}`) }, `v${version.document_version} ${moment(version.signed_at)} `)));
  for (const id of ["report-pdf-link", "download-pdf"]) {
    const link = byId<HTMLAnchorElement>(id);
    link.hidden = !report.pdf;
    link.href = report.pdf ?? "#";
  }
  byId<HTMLAnchorElement>("download-pdf").download = `report-${report.report_uid.slice(-12)}.pdf`;
  const verify = byId<HTMLAnchorElement>("report-verify-link");
  verify.hidden = !report.verify_code;
  verify.href = `/verify/${report.verify_code ?? ""}`;
  verify.target = "_blank";
  verify.rel = "noopener";
  byId("print").hidden = !report.pdf;
}

/** The signed document itself, in the browser's own reader; `mayPrint` opens its print dialog as well. */
export function openPdf(report: Report, willPrint = false): void {
  if (!report.pdf) return;
  const frame = h("iframe", { src: `${report.pdf}#view=FitH&navpanes=0`, title: t("ui.portal.view_pdf") });
  const dialog = openDialog({ title: t("ui.report.title"), icon: "file", size: "document", body: [frame], back: t("ui.dialog.close"), note: report.sha256 ? `SHA-256 ${report.sha256.slice(0, 16)}…` : "" });
  dialog.form.querySelector("footer .btn")?.before(h("a", { class: "btn", href: report.pdf, target: "_blank", rel: "noopener" }, icon("expand", 14), t("page.report.new_window")));
  if (willPrint) frame.addEventListener("load", () => frame.contentWindow?.print());
}

/** What can be done with the document on screen, on the portal and on the page of one report. */
export function connectReportActions(current: () => Report | null): void {
  byId("report-pdf-link").addEventListener("click", (event) => {
    const report = current();
    if (!report || (event as MouseEvent).ctrlKey || (event as MouseEvent).button === 1) return; // a new tab, as asked
    event.preventDefault();
    openPdf(report);
  });
  byId("print").addEventListener("click", () => {
    const report = current();
    if (report) openPdf(report, true);
  });
}
