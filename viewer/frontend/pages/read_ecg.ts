/** The ECG drawn to scale, its toolbar, and the prior ECG below it at the same scale. */
import { t } from "../i18n.ts";
import { EcgSheet } from "../engine/engine.ts";
import { server } from "../server.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import { words } from "../ui/toast.ts";
import type { Detail, Prior } from "./detail.ts";
import { priorHeading } from "./read_panes.ts";

interface Drawn {
  svg: string;
  width_mm: number;
  sampling_rate_hz: number;
  recorded_s: number;
  acquired_at: string | null;
  shown_s: number;
  leads_not_shown: string[];
  derived_leads: string[];
  filter_low_hz: number | null;
  filter_high_hz: number | null;
  notch_hz: number | null;
  device: string;
}

const LAYOUTS = ["3x4+1R", "6x2", "12x1"] as const;
const SPEEDS = ["12.5", "25", "50"] as const;
const GAINS = ["5", "10", "20"] as const;

export class EcgStage {
  layout = 0;
  speed = 1;
  gain = 1;
  isPaper = false;
  readonly #sheet = new EcgSheet(byId("ecg-sheet"));
  readonly #priorSheet = new EcgSheet(byId("ecg-prior-sheet"));
  #prior: Prior | null = null;
  #isPriorHidden = false;
  #asked = 0;

  constructor(readonly studyUid: string) {
    byId("ecg-toolbar").hidden = false;
    byId("ecg-stage").hidden = false;
    byId("viewports").hidden = true;
    this.#choices("ecg-layout", LAYOUTS.map((one) => one.replace("x", "×")), (index) => (this.layout = index));
    this.#choices("ecg-speed", SPEEDS, (index) => (this.speed = index), "mm/s");
    this.#choices("ecg-gain", GAINS, (index) => (this.gain = index), "mm/mV");
    byId("ecg-true-size").addEventListener("click", () => this.trueSize());
    byId("ecg-paper").addEventListener("click", () => this.paper());
    byId("tools").addEventListener("click", (event) => (event.target as Element).closest('[data-tool="reset"]') && this.trueSize());
    this.#sheet.onChange = () => {
      this.#scaleWords();
      this.#matchPrior();
    };
  }

  #choices(id: string, labels: readonly string[], choose: (index: number) => void, unit = ""): void {
    const place = byId(id);
    fill(place, ...labels.map((label, index) => h("button", { type: "button", "data-index": index, onclick: () => { choose(index); void this.load(); } }, label)), unit && h("span", { class: "unit" }, unit));
  }

  async load(): Promise<void> {
    this.#pressed();
    const asked = ++this.#asked;
    try {
      const drawn = await this.#ask(this.studyUid);
      if (asked !== this.#asked) return;
      this.#sheet.show(drawn.svg);
      byId("ecg-state").hidden = true;
      byId("ecg-sheet").hidden = false;
      fill(byId("ecg-scale"), this.#facts(drawn));
    } catch (error) {
      if (asked === this.#asked) this.#failed(error);
    }
    await this.#loadPrior(asked);
  }

  #ask(studyUid: string): Promise<Drawn> {
    const query = new URLSearchParams({ layout: LAYOUTS[this.layout] ?? "3x4+1R", speed: SPEEDS[this.speed] ?? "25", gain: GAINS[this.gain] ?? "10", palette: this.isPaper ? "paper" : "dark" });
    return server.get<Drawn>(`/api/studies/${studyUid}/ecg?${query}`);
  }

  /** Without a scale nothing is drawn: a guessed amplitude would be a wrong one. */
  #failed(error: unknown): void {
    const place = byId("ecg-state");
    place.hidden = false;
    byId("ecg-sheet").hidden = true;
    fill(byId("ecg-scale"));
    fill(place, h("div", { class: "state error" }, icon("alert", 24), h("b", {}, t("page.reader.ecg_failed")), h("p", {}, words(error)), h("p", {}, t("page.reader.ecg_failed_note")), h("button", { class: "btn", type: "button", onclick: () => void this.load() }, t("ui.retry"))));
  }

  showPriors(detail: Detail): void {
    if (this.#prior) return;
    this.#prior = detail.priors.find((prior) => prior.kind === "ecg") ?? null;
    if (!this.#prior) return;
    const heading = priorHeading(this.#prior, detail);
    fill(byId("ecg-prior-head"), h("span", {}, h("b", {}, heading.word), ` ${heading.text}`), h("span", { class: "tx3", id: "ecg-prior-note" }, t("page.reader.same_scale")));
    void this.#loadPrior(this.#asked);
  }

  async #loadPrior(asked: number): Promise<void> {
    byId("ecg-prior").hidden = !this.#prior || this.#isPriorHidden;
    if (!this.#prior || this.#isPriorHidden) return;
    let failure = "";
    try {
      const drawn = await this.#ask(this.#prior.study_instance_uid);
      if (asked !== this.#asked) return;
      this.#priorSheet.show(drawn.svg);
      this.#matchPrior();
    } catch (error) {
      if (asked !== this.#asked) return;
      failure = `${t("page.reader.prior_failed")} · ${words(error)}`;
    }
    byId("ecg-prior-sheet").hidden = failure !== "";
    fill(byId("ecg-prior-note"), failure ? h("span", { class: "red" }, failure) : t("page.reader.same_scale"));
  }

  /** `50 Hz 陷波 关 · 1000 Hz · 10.0 秒`, and leads that could not be drawn. */
  #facts(drawn: Drawn): HTMLElement {
    const parts = [
      drawn.filter_low_hz !== null || drawn.filter_high_hz !== null ? t("page.reader.ecg_filter", { low: drawn.filter_low_hz ?? "?", high: drawn.filter_high_hz ?? "?" }) : t("page.reader.ecg_no_filter"),
      drawn.notch_hz ? t("page.reader.ecg_notch", { hz: drawn.notch_hz }) : "",
      `${drawn.sampling_rate_hz}\u00a0Hz`, t("page.reader.ecg_seconds", { shown: drawn.shown_s.toFixed(1), recorded: drawn.recorded_s.toFixed(1) }), drawn.device,
    ];
    const missing = drawn.leads_not_shown.length ? t("page.reader.ecg_not_shown", { leads: drawn.leads_not_shown.join(" ") }) : "";
    const noTime = drawn.acquired_at ? "" : t("page.reader.recording_time_unknown");
    return h("span", {}, parts.filter(Boolean).join(" · "), noTime && " · ", noTime && h("b", { class: "amber" }, noTime), missing && " ", missing && h("b", { class: "amber" }, missing));
  }

  #scaleWords(): void {
    const factor = this.#sheet.pxPerMm / (96 / 25.4);
    const button = byId("ecg-true-size");
    fill(button, this.#sheet.scale === "true" ? t("page.reader.ecg_fit") : t("page.reader.ecg_true", { factor: factor.toFixed(2) }), h("kbd", {}, "0"));
    button.setAttribute("aria-pressed", String(this.#sheet.scale === "true"));
  }

  /** A millimetre is as long on the prior as on the present sheet, at every size. */
  #matchPrior(): void {
    const factor = this.#sheet.pxPerMm / this.#priorSheet.pxPerMm;
    if (this.#priorSheet.drawing && (this.#priorSheet.scale !== "free" || Math.abs(factor - 1) > 1e-4)) this.#priorSheet.zoom(factor);
  }

  trueSize(): void {
    if (!this.#sheet.drawing) return;
    if (this.#sheet.scale === "true") this.#sheet.fit();
    else this.#sheet.trueSize();
  }

  paper(): void {
    this.isPaper = !this.isPaper;
    byId("ecg-stage").classList.toggle("paper", this.isPaper);
    void this.load();
  }

  #pressed(): void {
    const marks: [string, number][] = [["ecg-layout", this.layout], ["ecg-speed", this.speed], ["ecg-gain", this.gain]];
    for (const [id, at] of marks) for (const button of byId(id).querySelectorAll<HTMLElement>("button")) button.setAttribute("aria-pressed", String(button.dataset["index"] === String(at)));
    byId("ecg-paper").setAttribute("aria-pressed", String(this.isPaper));
  }

  /** True when the key was one of the sheet's. */
  key(code: string, key: string): boolean {
    const step = (name: "speed" | "gain", by: number): void => { this[name] = Math.min(2, Math.max(0, this[name] + by)); void this.load(); };
    if (code === "KeyL") { this.layout = (this.layout + 1) % LAYOUTS.length; void this.load(); }
    else if (key === "+" || code === "Equal" || code === "NumpadAdd") step("gain", 1);
    else if (code === "Minus" || code === "NumpadSubtract") step("gain", -1);
    else if (code === "Comma") step("speed", -1);
    else if (code === "Period") step("speed", 1);
    else if (code === "Digit0") this.trueSize();
    else if (code === "KeyH") { this.#isPriorHidden = !this.#isPriorHidden; void this.#loadPrior(this.#asked); }
    else return false;
    return true;
  }
}
