/** The pictures beside a report: one viewport with the series below it, or the ECG on its paper. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { bindImageKeys, type DisplayStudy, EcgSheet, type Engine, type Series, startEngine, Viewport } from "../engine/engine.ts";
import { date, exam, modality, moment, sexAndAge, siteName } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import type { WorklistItem } from "../ui/item.ts";
import { rejectedLines } from "../ui/rejected.ts";
import { words } from "../ui/toast.ts";
import type { Detail } from "./detail.ts";
import { errorState, skeleton } from "./states.ts";

interface EcgDrawing {
  svg: string;
  speed_mm_per_s: number;
  gain_mm_per_mv: number;
  sampling_rate_hz: number;
  recorded_s: number;
}

const AGAIN_MS = 1500;
const MOST_SERIES = 8;

export class ReportImages {
  #engine: Engine | null = null;
  #viewport: Viewport | null = null;
  #sheet: EcgSheet | null = null;
  #uid = "";
  #opening = 0;

  constructor() {
    byId("open-images").addEventListener("click", (event) => {
      event.preventDefault();
      this.enlarge(!byId("report-images").classList.contains("large"));
    });
    addEventListener("keydown", (event) => event.key === "Escape" && byId("dialogs").children.length === 0 && this.enlarge(false));
    bindImageKeys(() => this.#viewport && byId("report-images").contains(document.activeElement) ? this.#viewport : null);
  }

  /** The same study again changes nothing: an event must not move what somebody is looking at. */
  async show(item: WorklistItem): Promise<void> {
    const key = `${item.study_instance_uid} ${item.n_instances} ${item.input_readiness}`;
    if (key === this.#uid) return;
    const opening = ++this.#opening;
    this.#clear();
    this.#uid = key;
    byId("report-images").hidden = false;
    document.querySelector(".report-columns")?.classList.toggle("ecg", item.kind === "ecg");
    fill(byId("main-picture"), skeleton(3));
    this.#showHistory(item, opening).catch((error: unknown) => opening === this.#opening && fill(byId("report-history"), h("li", { class: "red" }, words(error))));
    try {
      if (item.kind === "ecg") await this.#showEcg(item, opening);
      else await this.#showPictures(item, opening);
    } catch (error) {
      if (opening !== this.#opening) return;
      this.#uid = "";
      fill(byId("main-picture"), errorState(error, () => void this.show(item)));
    }
  }

  hide(): void {
    this.#opening += 1;
    this.#clear();
    this.enlarge(false);
    byId("report-images").hidden = true;
  }

  /** The pictures take the place of the words, and give it back with Esc. */
  enlarge(isLarge: boolean): void {
    const place = byId("report-images");
    if (place.classList.contains("large") === isLarge) return;
    place.classList.toggle("large", isLarge);
    byId("report").hidden = isLarge;
    fill(byId("open-images"), icon(isLarge ? "file" : "expand"), t(isLarge ? "page.images.back" : "page.images.enlarge"));
    if (isLarge) (this.#viewport?.root ?? this.#sheet?.root)?.focus();
  }

  #clear(): void {
    this.#viewport?.close();
    this.#sheet?.close();
    this.#viewport = this.#sheet = null;
    this.#uid = "";
    const place = byId("main-picture");
    place.className = "main-picture viewport";
    place.removeAttribute("data-paper");
    fill(place);
    fill(byId("key-pictures"));
    fill(byId("report-history"));
  }

  async #showPictures(item: WorklistItem, opening: number): Promise<void> {
    const study = await server.get<DisplayStudy>(`/api/studies/${item.study_instance_uid}/display`);
    if (opening !== this.#opening) return;
    const shown = study.series.filter((series) => series.instances.some((instance) => instance.state !== "none"));
    const [first] = shown;
    if (!first) return fill(byId("main-picture"), h("div", { class: "state" }, icon("image", 24), h("b", {}, t("page.images.none"))));
    this.#engine ??= startEngine();
    const labels = {
      name: item.patient.name, detail: sexAndAge(item.patient), patientId: item.patient.patient_id ?? "", site: siteName(item.originating_site),
      heading: null,
    };
    this.#viewport = new Viewport(byId("main-picture"), { store: this.#engine.store, labels });
    this.#viewport.setActive(true);
    this.#open(first);
    fill(byId("key-pictures"), ...shown.slice(0, MOST_SERIES).map((series) => this.#card(series, series === first)));
    if (shown.some((series) => series.instances.some((instance) => instance.state === "pending"))) this.#lookAgain(item, opening);
  }

  /** Pictures that are still being made are looked for until they are there. */
  #lookAgain(item: WorklistItem, opening: number): void {
    setTimeout(() => {
      if (opening !== this.#opening) return;
      this.#uid = "";
      void this.show(item);
    }, AGAIN_MS);
  }

  /** A stack opens in its middle, where the anatomy is. */
  #open(series: Series): void {
    const count = series.instances.length;
    this.#viewport?.setSeries(series, count > 3 ? Math.floor(count / 2) : 0);
  }

  #card(series: Series, isFirst: boolean): HTMLElement {
    const middle = series.instances[Math.floor(series.instances.length / 2)];
    const name = series.description || `${t("page.images.series")} ${series.number ?? ""}`;
    const card = h("button", { type: "button", "aria-pressed": String(isFirst), title: name },
      h("div", { class: "thumb" }, middle?.state === "ready" && h("img", { src: `/api/thumbnails/${middle.sop_instance_uid}`, alt: "" })),
      t("ui.images.n", { n: series.instances.length }));
    card.addEventListener("click", () => {
      for (const other of byId("key-pictures").children) other.setAttribute("aria-pressed", String(other === card));
      this.#open(series);
    });
    return card;
  }

  async #showEcg(item: WorklistItem, opening: number): Promise<void> {
    const drawing = await server.get<EcgDrawing>(`/api/studies/${item.study_instance_uid}/ecg?palette=paper`);
    if (opening !== this.#opening) return;
    const place = byId("main-picture");
    place.className = "main-picture";
    place.dataset["paper"] = "light";
    place.setAttribute("aria-label", `${item.patient.name} ${exam(item)}`);
    fill(place);
    this.#sheet = new EcgSheet(place);
    this.#sheet.show(drawing.svg);
    fill(byId("key-pictures"), h("p", { class: "ecg-scale caption" },
      `${drawing.speed_mm_per_s}\u00a0mm/s · ${drawing.gain_mm_per_mv}\u00a0mm/mV · ${drawing.sampling_rate_hz}\u00a0Hz · ${drawing.recorded_s.toFixed(1)}\u00a0s`));
  }

  async #showHistory(item: WorklistItem, opening: number): Promise<void> {
    const place = byId("report-history");
    const { priors, hidden_priors: hidden } = await server.get<Pick<Detail, "priors" | "hidden_priors">>(`/api/workitems/${item.workitem_uid}`);
    if (opening !== this.#opening) return;
    const lines = priors.map((prior) => h("li", {},
      h("span", {}, `${date(prior.acquired_at)} `, h("span", { class: "type" }, modality(prior.modality)), ` ${exam(prior)}`),
      prior.report ? h("a", { href: `/reports/${prior.report.report_uid}` }, t("ui.portal.open")) : h("span", { class: "tx3" }, t("page.images.no_report")), ...rejectedLines(prior.rejections)));
    lines.push(...hidden.map((one) => h("li", {}, h("span", {}, `${date(one.acquired_at)} `, h("span", { class: "type" }, modality(one.modality)), ` ${exam(one)}`), ...rejectedLines(one.rejections))));
    fill(place, ...(lines.length > 0 ? lines : [h("li", { class: "tx3" }, t("page.images.no_history", { time: moment(item.acquired_at ?? item.received_at) }))]));
  }
}
