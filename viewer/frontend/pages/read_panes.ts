/** The tabs beside the report: the order, the prior reports, and how far a signed report is on its way back. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { deliveryTrack } from "../ui/deliverytrack.ts";
import { exam, fullDate, modality, moment, sexAndAge, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import { arrivingWords } from "../ui/images.ts";
import { SIGNED } from "../ui/item.ts";
import type { Delivery, Detail, Prior } from "./detail.ts";
import { doseWords, evidenceWords, missingWords } from "./evidence.ts";
import { requestText } from "./request_text.ts";
import { samePerson } from "./same_person.ts";
import { suggestedOrder } from "./suggested_order.ts";
import { deliveryMoment } from "./worklist_preview.ts";

const TABS = ["report", "order", "priors"] as const;

export function connectTabs(): void {
  const choose = (name: string): void => {
    for (const tab of TABS) {
      const isOn = tab === name;
      const button = byId(`tab-${tab}`);
      button.setAttribute("aria-selected", String(isOn));
      button.tabIndex = isOn ? 0 : -1;
      byId(`pane-${tab}`).hidden = !isOn;
    }
  };
  for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => choose(tab));
  byId("report-tabs").addEventListener("keydown", (event) => {
    const step = event.code === "ArrowRight" ? 1 : event.code === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = TABS.findIndex((tab) => byId(`tab-${tab}`).getAttribute("aria-selected") === "true");
    const next = TABS[(at + step + TABS.length) % TABS.length] ?? "report";
    choose(next);
    byId(`tab-${next}`).focus();
  });
}

export function showOrder(detail: Detail, changed: () => void): void {
  const { order } = detail;
  const facts: [string, Child][] = [
    [t("ui.read.patient"), `${detail.patient.name} ${sexAndAge(detail.patient)}`],
    [t("ui.read.exam"), `${modality(detail.modality)} ${exam(detail)}`],
    [t("ui.read.accession"), order.accession_number || "—"],
    [t("page.reader.priority"), `${t(`ui.priority.${order.priority}`)} · ${t(`ui.lane.${detail.lane}`)}`],
    [t("ui.worklist.preview.doctor"), order.requesting_doctor || "—"],
    [t("ui.read.site"), siteName(detail.originating_site)],
    [t("page.reader.ordered_at"), moment(order.created_at)],
    [t("page.reader.acquired_at"), detail.acquired_at ? moment(detail.acquired_at) : detail.kind === "ecg" ? t("page.reader.recording_time_unknown") : "—"],
    [t("page.reader.received_at"), `${moment(detail.received_at)} · ${t("ui.images.n", { n: detail.n_instances })}`],
  ];
  const [evidence, missing, dose] = [evidenceWords(detail), missingWords(detail), doseWords(detail.study)];
  if (evidence || missing) facts.push([t("ui.read.images"), evidence || [arrivingWords(detail), missing].join(" · ")]);
  if (dose) facts.push([t("ui.read.dose"), dose]);
  fill(byId("pane-order"),
    order.made_from_object && h("div", { class: "banner amber" }, h("p", {}, t("ui.worklist.preview.no_order"))),
    detail.suggested_order && suggestedOrder(detail, detail.suggested_order, changed),
    !order.made_from_object && h("section", {}, h("h3", {}, t("page.reader.complaint")), h("p", { class: `order-text request ${detail.lane}` }, ...requestText(order.complaint || "—"))),
    !order.made_from_object && h("section", {}, h("h3", {}, t("ui.worklist.preview.purpose")), h("p", { class: "order-text" }, order.question || "—")),
    h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

export function showPriors(detail: Detail, take: (prior: Prior) => void): void {
  const count = byId("n-priors");
  count.hidden = detail.priors.length === 0;
  fill(count, detail.priors.length);
  fill(byId("pane-priors"), ...(detail.priors.length ? detail.priors.map((prior) => priorItem(prior, take)) : [h("div", { class: "state" }, h("b", {}, t("ui.read.no_priors")))]));
}

function priorItem(prior: Prior, take: (prior: Prior) => void): HTMLElement {
  const { report } = prior;
  return h("article", { class: "prior-item" },
    h("header", {}, h("span", { class: "type" }, modality(prior.modality)), h("b", {}, exam(prior)), h("span", { class: "tx2" }, fullDate(prior.acquired_at)), h("span", { class: "caption grow num" }, report?.author ?? "")),
    prior.same_person && h("p", { class: "caption" }, `${siteName(prior.originating_site)} · ${samePerson(prior.same_person)}`),
    !report && h("p", {}, t("page.reader.prior_unreported")),
    report && h("p", {}, h("span", { class: "tx3" }, t("ui.report.impression")), "\n", report.sections["impression"] ?? "—"),
    report && h("p", {}, h("span", { class: "tx3" }, t("ui.report.findings")), "\n", report.sections["findings"] ?? "—"),
    report && h("div", { class: "pair" }, h("button", { class: "link", type: "button", onclick: () => take(prior) }, t("ui.report.take_prior")), h("a", { class: "link", href: `/api/reports/${report.report_uid}/pdf`, target: "_blank", rel: "noopener" }, t("page.reader.open_pdf"))));
}

/** The newest prior with a report: its conclusion stands under the editors. */
export function quotedPrior(detail: Detail): Prior | null {
  return detail.priors.find((prior) => prior.report && prior.kind === detail.kind) ?? detail.priors.find((prior) => prior.report) ?? null;
}

export function showQuote(prior: Prior | null, isWritable: boolean): void {
  byId("prior-quote").hidden = !prior;
  if (!prior?.report) return;
  fill(byId("prior-quote-head"), `${t("ui.report.prior_head", { date: fullDate(prior.acquired_at) })} · ${prior.report.author}`);
  fill(byId("prior-quote-text"), prior.report.sections["impression"] || "—");
  byId("prior-quote-take").hidden = !isWritable;
}

/** `2 年前`: how long before the present study, and the date stays beside it. */
export function ageOf(at: string, than: string): string {
  const days = Math.max(0, Math.round((Date.parse(than) - Date.parse(at)) / 86_400_000));
  if (days < 1) return t("page.reader.same_day");
  if (days < 60) return t("page.reader.days_ago", { n: days });
  return days < 730 ? t("page.reader.months_ago", { n: Math.round(days / 30.4) }) : t("page.reader.years_ago", { n: Math.floor(days / 365.25) });
}

/** A signed report: each channel with its state, and the link to what was signed. */
export async function showReturn(detail: Detail): Promise<void> {
  const place = byId("return-state");
  const isSigned = SIGNED.includes(detail.status) || detail.report?.pdf != null || detail.report_uid !== null;
  if (!detail.report_uid || !isSigned) return void (place.hidden = true);
  const { deliveries } = await server.get<{ deliveries: Delivery[] }>(`/api/reports/${detail.report_uid}/deliveries`);
  place.hidden = deliveries.length === 0 && !detail.report?.pdf;
  const signers = detail.report?.signed_at ? [detail.report.author, detail.report.verifier].filter(Boolean).join(" / ") : "";
  fill(byId("return-list"),
    detail.report?.signed_at && h("li", {}, h("span", { class: "tx2" }, `${signers} · ${moment(detail.report.signed_at)}`), detail.report.pdf && h("a", { class: "link", href: detail.report.pdf, target: "_blank", rel: "noopener" }, t("page.reader.open_pdf"))),
    ...deliveries.map((one) => h("li", {}, h("span", { class: "tx2" }, `${t(`ui.channel.${one.channel}`)}${deliveries.some((other) => other.document_version !== one.document_version) ? ` v${one.document_version}` : ""}`), deliveryTrack(one.state), h("span", { class: "caption grow num" }, deliveryMoment(one) || errorWords(one.last_error)))));
}

export function priorHeading(prior: Prior, detail: Detail): { word: string; text: string } {
  const age = ageOf(prior.acquired_at, detail.acquired_at ?? detail.received_at);
  // On a narrow screen two pictures side by side leave room for the date alone; the age stands on the prior's card.
  return { word: t("page.reader.prior"), text: innerWidth < 1500 && detail.kind === "image" ? fullDate(prior.acquired_at) : `${fullDate(prior.acquired_at)} · ${age}` };
}

/** A code that nobody put into words is shown as itself. */
function errorWords(code: string | null): string {
  if (!code) return "";
  const words = t(`transfer.${code}`);
  return words === `transfer.${code}` ? code : words;
}
