/** The pictures of a study: viewports, layouts, series, the prior beside, and pictures that still arrive. */
import { t } from "../i18n.ts";
import { bindImageKeys, type DisplayStudy, type Engine, type Labels, Marks, perform, startEngine, type ToolName, Viewport } from "../engine/engine.ts";
import { ApiError, server } from "../server.ts";
import { fullDate, sexAndAge, siteName, time } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { failToast, words } from "../ui/toast.ts";
import { type Detail, isFilm, type Prior } from "./detail.ts";
import { arrange, firstLayout, type Hang, hangsOf, isPending, type Layout, LAYOUTS, PANES } from "./read_hanging.ts";
import { priorHeading } from "./read_panes.ts";
import { showCards } from "./read_cards.ts";

interface Pane {
  viewport: Viewport;
  hang: Hang | null;
}

const AGAIN_MS = 1000;
const TOOLS: readonly string[] = ["window", "zoom", "pan", "stack", "length"];

export class Images {
  readonly engine: Engine = startEngine();
  panes: Pane[] = [];
  current: Hang[] = [];
  priors: Hang[] = [];
  layout: Layout = "1x1";
  tool: ToolName = "window";
  onChange: () => void = () => undefined;
  detail: Detail | null = null;
  /** Of all pictures of the study: a change of layout takes none away. */
  readonly marks = new Marks();
  /** Keys of what has hung at least once. */
  readonly opened = new Set<string>();
  #active = 0;
  #hasChosenLayout = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #loader = new OneAtATime(() => this.#load());
  readonly #priorOf = new Map<string, Prior>();
  readonly #place = byId("viewports");

  constructor(readonly studyUid: string) {
    bindImageKeys(() => (document.querySelector("#dialogs > *") ? null : this.active));
    this.setTool(this.tool);
    this.marks.listen(() => this.onChange());
    byId("tools").addEventListener("click", (event) => this.#press((event.target as Element).closest<HTMLElement>(".tool")?.dataset["tool"] ?? ""));
    byId("layouts").addEventListener("click", (event) => {
      const layout = (event.target as Element).closest<HTMLElement>("button")?.dataset["layout"];
      if (layout) this.setLayout(layout as Layout);
    });
  }

  get active(): Viewport | null {
    return this.panes[this.#active]?.viewport ?? this.panes[0]?.viewport ?? null;
  }

  /** Asks for the display data; what hangs stays, what is new or ready now is added. */
  load(): Promise<void> {
    return this.#loader.ask();
  }

  async #load(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const display = await server.get<DisplayStudy>(`/api/studies/${this.studyUid}/display`);
      this.current = hangsOf(display, false);
      this.#hang();
      if (isPending(display)) this.#timer = setTimeout(() => void this.load(), AGAIN_MS);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 0 || error.status >= 500) this.#timer = setTimeout(() => void this.load(), 8000);
      if (this.current.length === 0) this.#state("error", "alert", t("ui.read.server_silent"), words(error), () => void this.load());
    }
  }

  /** The newest prior of the same kind of examination hangs beside. */
  async showPriors(detail: Detail): Promise<void> {
    const isNew = this.detail === null;
    this.detail = detail;
    for (const pane of this.panes) pane.viewport.setLabels(this.#labels(pane.hang));
    this.#cards();
    if (!isNew) return;
    for (const prior of detail.priors) this.#priorOf.set(prior.study_instance_uid, prior);
    const beside = detail.priors.find((prior) => isFilm(prior.modality) === isFilm(detail.modality) && prior.kind === "image");
    if (beside) await this.hangPrior(beside);
  }

  async hangPrior(prior: Prior): Promise<void> {
    const display = await server.get<DisplayStudy>(`/api/studies/${prior.study_instance_uid}/display`)
      .catch((error: unknown) => void failToast(t("page.reader.prior_failed"), error));
    if (!display) return;
    this.priors = [...this.priors.filter((hang) => hang.studyUid !== prior.study_instance_uid), ...hangsOf(display, true)].sort((a, b) => Number(b.studyUid === prior.study_instance_uid) - Number(a.studyUid === prior.study_instance_uid));
    if (!this.#hasChosenLayout) this.layout = "1x1";
    this.#hang(true);
  }

  setLayout(layout: Layout): void {
    this.#hasChosenLayout = true;
    this.layout = layout;
    this.#hang(true);
  }

  nextLayout(): void {
    this.setLayout(LAYOUTS[(LAYOUTS.indexOf(this.layout) + 1) % LAYOUTS.length] ?? "1x1");
  }

  /** Puts a series into the active viewport. */
  show(hang: Hang): void {
    const pane = this.panes[this.#active] ?? this.panes[0];
    if (pane) this.#put(pane, hang);
    this.#cards();
    pane?.viewport.root.focus();
  }

  /** Frames of this study that are open and not lossless, pieces nobody opened, frames that failed. */
  quality(): { notLossless: number; unopened: number; failed: number } {
    let [notLossless, failed] = [0, 0];
    for (const hang of this.current) {
      failed += hang.series.instances.filter((instance) => instance.state === "failed").length;
      if (!this.opened.has(hang.key)) continue;
      for (const frame of hang.series.instances.flatMap((instance) => (instance.state === "ready" ? instance.frames : []))) {
        if (this.engine.store.slot(frame).quality !== "lossless") notLossless++;
      }
    }
    return { notLossless, failed, unopened: this.current.filter((hang) => !this.opened.has(hang.key)).length };
  }

  #hang(isAnew = false): void {
    if (this.current.length === 0) return this.#state("", "image", t("ui.read.no_image"), "", null);
    if (!this.#hasChosenLayout) this.layout = firstLayout(this.current, this.priors);
    const hadPanes = this.panes.length === PANES[this.layout];
    this.#setPanes(PANES[this.layout]);
    this.#place.dataset["layout"] = this.layout;
    const wanted = arrange(this.layout, this.current, this.priors);
    const known = new Map([...this.current, ...this.priors].map((hang) => [hang.key, hang]));
    this.panes.forEach((pane, index) => {
      const now = pane.hang ? known.get(pane.hang.key) : undefined;
      if (now && (hadPanes || index === 0) && !(isAnew && wanted[index]?.isPrior)) this.#update(pane, now);
      else this.#put(pane, wanted[index] ?? null);
    });
    this.#cards();
  }

  #setPanes(n: number): void {
    this.#place.querySelector(".state.page")?.remove();
    while (this.panes.length > n) {
      const pane = this.panes.pop();
      pane?.viewport.close();
      pane?.viewport.root.remove();
    }
    while (this.panes.length < n) this.#addPane();
    this.activate(Math.min(this.#active, n - 1));
  }

  #addPane(): void {
    const root = h("div");
    this.#place.append(root);
    const viewport = new Viewport(root, { store: this.engine.store, labels: this.#labels(null), marks: this.marks });
    const pane: Pane = { viewport, hang: null };
    this.panes.push(pane);
    viewport.setTool(this.tool);
    viewport.on("tool", (tool) => tool !== this.tool && this.setTool(tool));
    viewport.on("quality", () => this.onChange());
    for (const name of ["pointerdown", "focusin"]) root.addEventListener(name, () => this.activate(this.panes.indexOf(pane)));
  }

  activate(index: number): void {
    this.#active = Math.max(0, index);
    this.panes.forEach((pane, at) => pane.viewport.setActive(at === this.#active && this.panes.length > 1));
    this.onChange();
  }

  #put(pane: Pane, hang: Hang | null): void {
    pane.hang = hang;
    pane.viewport.root.classList.toggle("vacant", !hang);
    if (!hang) return;
    if (!hang.isPrior) this.opened.add(hang.key);
    pane.viewport.setLabels(this.#labels(hang));
    const middle = isFilm(hang.series.modality) ? 0 : Math.floor(hang.series.instances.length / 2);
    pane.viewport.setSeries(hang.series, middle);
  }

  #update(pane: Pane, hang: Hang): void {
    const before = JSON.stringify(pane.hang?.series);
    pane.hang = hang;
    pane.viewport.setLabels(this.#labels(hang));
    if (JSON.stringify(hang.series) !== before) pane.viewport.updateSeries(hang.series);
  }

  #labels(hang: Hang | null): Labels {
    const { detail } = this;
    if (!detail) return { name: "", detail: "", patientId: "", site: "" };
    const prior = hang?.isPrior ? this.#priorOf.get(hang.studyUid) : undefined;
    const at = detail.acquired_at ?? detail.received_at;
    return {
      name: detail.patient.name, detail: sexAndAge(detail.patient), patientId: detail.patient.patient_id ?? "", site: siteName(detail.originating_site),
      heading: prior ? priorHeading(prior, detail) : this.priors.length ? { word: t("ui.read.current"), text: `${fullDate(at)} ${time(at)}` } : null,
    };
  }

  #cards(): void {
    showCards(this, this.detail);
    this.onChange();
  }

  #press(name: string): void {
    const { active } = this;
    if (name === "layout") this.nextLayout();
    else if (name === "fullscreen") toggleFullscreen();
    else if (TOOLS.includes(name)) this.setTool(name as ToolName);
    else if (active && (name === "invert" || name === "rotate" || name === "flip" || name === "reset")) perform(active, name);
  }

  setTool(tool: ToolName): void {
    this.tool = tool;
    for (const pane of this.panes) if (pane.viewport.tool !== tool) pane.viewport.setTool(tool);
    for (const button of byId("tools").querySelectorAll<HTMLElement>("[data-tool]")) {
      if (TOOLS.includes(button.dataset["tool"] ?? "")) button.setAttribute("aria-pressed", String(button.dataset["tool"] === tool));
    }
  }

  #state(tone: string, name: string, title: string, note: string, retry: (() => void) | null): void {
    if (this.panes.length) return;
    fill(this.#place, h("div", { class: `state page ${tone}` }, icon(name, 24), h("b", {}, title), note && h("p", {}, note), retry && h("button", { class: "btn", type: "button", onclick: retry }, t("ui.retry"))));
  }
}

export function toggleFullscreen(): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void document.documentElement.requestFullscreen().catch(() => failToast(t("page.reader.fullscreen_failed"), null));
}
