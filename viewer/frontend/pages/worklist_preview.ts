/** What is known of the selected examination, beside the list; a drawer on a narrow screen. */
import { language, t } from "../i18n.ts";
import { server } from "../server.ts";
import { countdown } from "../ui/countdown.ts";
import { actionWords, deliveryTrack } from "../ui/deliverytrack.ts";
import { date, exam, modality, moment, sexAndAge, siteName, time } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import { arrivingWords } from "../ui/images.ts";
import { type Me, SIGNED, type WorklistItem } from "../ui/item.ts";
import { rejectedBanners, rejectedLines } from "../ui/rejected.ts";
import { isBarred, laneChip } from "../ui/row.ts";
import { words } from "../ui/toast.ts";
import type { Delivery, Detail, Prior, StudySeries } from "./detail.ts";
import { doseWords, evidenceWords } from "./evidence.ts";
import { suggestedOrder } from "./suggested_order.ts";
import { requestText } from "./request_text.ts";
import { isMine, isOpen, mayReassign, mayTake, mayTakeOver } from "./worklist_order.ts";

const ASK_AFTER_MS = 90;
/** From here on the preview stands beside the list. */
export const WIDE = "(min-width: 1600px)";

export class Preview {
  readonly #panel = byId("preview");
  readonly #body = byId("preview-body");
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown = "";
  #asked = 0;

  constructor(private readonly person: Me) {}

  toggle(): void {
    const isWide = matchMedia(WIDE).matches;
    const isOn = isWide ? !this.#panel.classList.toggle("shut") : this.#panel.classList.toggle("open");
    if (isWide) byId("worklist").classList.toggle("wide", !isOn);
  }

  /** The drawer shuts; true when there was one to shut. */
  close(): boolean {
    if (matchMedia(WIDE).matches || !this.#panel.classList.contains("open")) return false;
    this.#panel.classList.remove("open");
    return true;
  }

  async show(item: WorklistItem | null, isAgain = false): Promise<void> {
    this.actions(item);
    clearTimeout(this.#timer);
    if (!item) {
      this.#shown = "";
      return fill(this.#body, h("div", { class: "state" }, icon("layers", 24), h("b", {}, t("ui.worklist.preview.empty"))));
    }
    if (this.#shown !== item.workitem_uid) fill(this.#body, head(item), ...notices(item), request(item), why(item, this.person));
    this.#shown = item.workitem_uid;
    // Whoever runs through the list with the arrow asks for the last one only.
    await new Promise((resolve) => (this.#timer = setTimeout(resolve, isAgain ? 300 : ASK_AFTER_MS)));
    await this.#load(item);
  }

  async #load(item: WorklistItem): Promise<void> {
    const asked = ++this.#asked;
    try {
      const detail = await server.get<Detail>(`/api/workitems/${item.workitem_uid}`);
      const deliveries = item.report_uid && SIGNED.includes(item.status)
        ? (await server.get<{ deliveries: Delivery[] }>(`/api/reports/${item.report_uid}/deliveries`)).deliveries : [];
      if (asked === this.#asked && this.#shown === item.workitem_uid) this.#fill(detail, deliveries);
    } catch (error) {
      if (asked === this.#asked) this.#body.append(h("section", {}, h("p", { class: "red" }, words(error))));
    }
  }

  #fill(detail: Detail, deliveries: Delivery[]): void {
    const top = this.#body.scrollTop;
    fill(this.#body, head(detail), ...notices(detail), thumbnails(detail), request(detail),
      detail.suggested_order && suggestedOrder(detail, detail.suggested_order, () => void this.#load(detail)),
      SIGNED.includes(detail.status) || detail.status === "to_verify" ? conclusion(detail, deliveries) : why(detail, this.person),
      priors(detail));
    this.#body.scrollTop = top;
  }

  actions(item: WorklistItem | null): void {
    byId("preview-actions").hidden = !item;
    if (!item) return;
    const claim = byId<HTMLButtonElement>("claim");
    const takes = mayTake(item, this.person);
    const label = !takes ? t("page.reader.open_to_look") : isMine(item, this.person) ? t("page.reader.go_on") : item.step === "verification" ? t("page.reader.claim_verify") : t("ui.worklist.claim");
    if (claim.firstChild?.textContent !== label) fill(claim, label, h("kbd", {}, "Enter"));
    claim.classList.toggle("primary", takes);
    byId("reassign").hidden = !mayReassign(item, this.person);
    byId("take-over").hidden = !mayTakeOver(item, this.person);
    byId("release").hidden = !(isOpen(item) && isMine(item, this.person));
  }
}

function head(item: WorklistItem): HTMLElement {
  const facts = [`${modality(item.modality)} ${exam(item)}`, siteName(item.originating_site), `${t("ui.read.accession")} ${item.accession_number}`];
  return h("header", {},
    h("div", { class: "line" }, h("b", {}, item.patient.name || "—"), h("span", { class: "tx2" }, sexAndAge(item.patient)), laneChip(item.lane), countdown(item, "bare")),
    h("div", { class: "tx2" }, facts.join(" · ")));
}

/** What must not be overlooked stands above the pictures. */
function notices(item: WorklistItem & { conflicts?: Detail["conflicts"] }): Child[] {
  const made: Child[] = [];
  if (item.n_conflicts > 0) {
    const reasons = [...new Set((item.conflicts ?? []).map((one) => t(`quarantine.${one.reason}`)))];
    made.push(h("div", { class: "banner red note" }, icon("alert"), h("p", {}, h("b", {}, t("ui.worklist.conflict")), " ", reasons.join(" · ") || t("ui.worklist.preview.conflict"))));
  }
  if (item.late_images_at) made.push(h("div", { class: "banner red note" }, icon("alert"), h("p", {}, h("b", {}, t("page.reader.late_title")), ` ${moment(item.late_images_at)}`)));
  made.push(...rejectedBanners(item.rejections, "note"));
  if (item.patient.name_is_doubtful) made.push(h("div", { class: "banner amber note" }, icon("info"), h("p", {}, t("page.reader.name_doubtful"))));
  if (item.input_readiness !== "READY") made.push(h("div", { class: "banner amber note" }, icon("download"), h("p", {}, arrivingWords(item))));
  return made;
}

function thumbnails(detail: Detail): HTMLElement {
  const series = [...detail.study.series].sort((a, b) => b.n_instances - a.n_instances)[0];
  if (detail.kind === "ecg" || !series) {
    return h("div", { class: "thumbs-line ecg" }, icon("sheet", 24), h("span", { class: "caption" }, t(detail.kind === "ecg" ? "page.reader.ecg_preview" : "ui.read.no_image")));
  }
  const chosen = spread(detail.study.series, series);
  const ready = detail.study.series.flatMap((one) => one.instances).filter((one) => one.derived_state === "ready").length;
  const failed = detail.study.series.flatMap((one) => one.instances).filter((one) => one.derived_state === "failed").length;
  return h("div", { class: "pictures" },
    h("div", { class: "thumbs", "data-n": chosen.length }, ...chosen.map((one) => h("span", { class: "thumb" },
      one.state === "ready" ? h("img", { src: `/api/thumbnails/${one.uid}`, alt: `${detail.patient.name} ${exam(detail)} ${one.label}`, loading: "lazy" }) : h("span", { class: "caption" }, t(`page.reader.thumb.${one.state}`)),
      h("span", { class: "label" }, one.label)))),
    h("p", { class: "thumbs-line" },
      h("span", { class: "tx2" }, [series.description || exam(detail), t("ui.images.n", { n: detail.n_instances })].join(" · ")),
      h("span", { class: failed ? "red" : ready === detail.n_instances ? "green" : "amber" }, t(failed ? "page.reader.prepared_failed" : "page.reader.prepared", { n: ready, of: detail.n_instances, failed }))));
}

/** Three pictures spread over the biggest series, or one of each series of a radiograph. */
function spread(all: StudySeries[], biggest: StudySeries): { uid: string; state: string; label: string }[] {
  const films = biggest.n_instances <= 1 ? all.flatMap((one) => one.instances) : biggest.instances;
  const shares = films.length <= 3 ? films.map((_, index) => index) : [0.3, 0.5, 0.7].map((share) => Math.floor(share * films.length));
  return shares.flatMap((index) => {
    const one = films[index];
    return one ? [{ uid: one.sop_instance_uid, state: one.derived_state, label: `${index + 1}/${films.length}` }] : [];
  });
}

function request(item: WorklistItem): HTMLElement {
  const { order } = item;
  if (order.made_from_object) return section(t("ui.worklist.preview.order"), h("p", { class: "amber" }, t("ui.worklist.preview.no_order")));
  const meta = [order.question && `${t("ui.worklist.preview.purpose")}${language() === "en" ? ": " : "："}${order.question}`, order.requesting_doctor && `${t("ui.worklist.preview.doctor")} ${order.requesting_doctor}`];
  return section(t("ui.worklist.preview.order"),
    h("p", { class: `request ${item.lane}` }, ...requestText(order.complaint || "—")),
    h("p", { class: "tx2" }, meta.filter(Boolean).join(" · ")));
}

function why(item: WorklistItem | Detail, person: Me): HTMLElement {
  const detail = "study" in item ? item : null;
  const dose = detail ? doseWords(detail.study) : "";
  const assigned = item.assigned_to_id === person.accountId ? t("ui.status.assigned_to_me") : item.assigned_to ? t("ui.status.assigned_to", { name: item.assigned_to }) : t("page.reader.why_open");
  const lines = [
    h("span", {}, h("b", { class: "tx1" }, t(`ui.lane.${item.lane}`)), [...item.lane === item.order.priority ? [] : [t(`ui.priority.${item.order.priority}`)], t(`ui.worklist.target.${item.lane}`)].map((word) => ` · ${word}`).join("")),
    t("page.reader.why_due", { due: time(item.due_at), arrived: moment(item.received_at) }),
    item.input_readiness !== "READY" ? arrivingWords(item) : (detail && evidenceWords(detail)) || t("page.reader.why_complete", { n: item.n_instances }),
    ...(dose ? [`${t("ui.read.dose")} ${dose}`] : []),
    isBarred(item, person) ? t("page.reader.why_own") : item.claimed_by ? t("ui.worklist.claimed_by", { name: item.claimed_by }) : assigned,
  ];
  return section(t("ui.worklist.preview.why"), h("ol", {}, ...lines.map((line) => h("li", {}, line))));
}

/** A signed report: what it says, and how far it is on its way back. */
function conclusion(detail: Detail, deliveries: Delivery[]): HTMLElement {
  const text = detail.report?.sections["impression"] ?? "";
  return h("section", {}, h("h3", {}, h("span", {}, t("ui.report.impression")), detail.report && h("span", {}, [detail.report.author, detail.report.verifier].filter(Boolean).join(" / "))),
    h("p", { class: "order-text" }, text || "—"),
    deliveries.length > 0 && h("ul", { class: "return-lines" }, ...deliveries.map((one) => h("li", {}, h("span", { class: "tx2" }, t(`ui.channel.${one.channel}`)), deliveryTrack(one.state), h("span", { class: "caption" }, deliveryMoment(one))))));
}

export function deliveryMoment(one: Delivery): string {
  const at = one.acknowledged_at ?? one.opened_at ?? one.accepted_at;
  const who = one.acknowledged_by ?? one.opened_by;
  return [who, at ? moment(at) : "", one.action_taken && actionWords(one.action_taken)].filter(Boolean).join(" · ");
}

function priors(detail: Detail): HTMLElement {
  const hidden = detail.hidden_priors.map((one) => h("div", { class: "prior-line" },
    h("div", { class: "line" }, h("span", { class: "type" }, modality(one.modality)), h("span", {}, exam(one)), h("span", { class: "tx2" }, date(one.acquired_at))), ...rejectedLines(one.rejections)));
  if (detail.priors.length + hidden.length === 0) return section(t("ui.worklist.preview.priors"), h("p", { class: "tx3" }, t("ui.worklist.preview.no_priors")));
  return section(t("ui.worklist.preview.priors"), ...detail.priors.map(priorLine), ...hidden);
}

function priorLine(prior: Prior): HTMLElement {
  return h("div", { class: "prior-line" },
    h("div", { class: "line" }, h("span", { class: "type" }, modality(prior.modality)), h("span", {}, exam(prior)), h("span", { class: "tx2" }, date(prior.acquired_at)), h("span", { class: "caption grow num" }, prior.report?.author ?? "")),
    ...rejectedLines(prior.rejections),
    h("p", { class: "tx2 quote" }, prior.report?.sections["impression"] ?? t("page.reader.prior_unreported")));
}

function section(title: string, ...children: Child[]): HTMLElement {
  return h("section", {}, h("h3", {}, title), ...children);
}
