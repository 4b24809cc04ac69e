/** One picture on the screen: a series, a slice of it, how it is shown, and what was measured on it. */
import { Corners, type Labels } from "./corners.ts";
import { slicesOf, type Instance, type Series, type Slice, type Voi, type VoiWindow } from "./display.ts";
import { describe } from "./describe.ts";
import { element } from "./dom.ts";
import type { Demand, FrameStore } from "./frames.ts";
import { apply, fitZoom, inverse, type Matrix, type Point, type View, viewMatrix } from "./geometry.ts";
import { MarkLayer, Marks } from "./mark_layer.ts";
import type { Measurement } from "./marks.ts";
import { Painter } from "./paint.ts";
import { connectPointer } from "./pointer.ts";
import { type Preset, presetsOf, resolveVoi, type VoiChoice } from "./presets.ts";
import { qualityOf, qualityWords } from "./quality.ts";
import { Ribbon } from "./ribbon.ts";
import type { Quality, Slot } from "./slot.ts";
import { failureTile } from "./tile.ts";
import type { ToolName } from "./tools/tool.ts";

export interface ViewportOptions {
  store: FrameStore;
  labels: Labels;
  /** 0 for the study being read, 1 for priors: their frames come later. */
  priority?: number;
  /** Measurements shared with other viewports; this one's own when absent. */
  marks?: Marks;
  /** Bilinear between enlarged pixels (true), or squares. */
  smoothing?: boolean;
}

export interface ViewportEvents {
  /** Index, window, view or polarity changed. */
  change: Viewport;
  /** The mark of the slice on screen or of any slice of the series changed. */
  quality: { quality: Quality; lossless: number; count: number };
  measurements: Measurement[];
  tool: ToolName;
}

const MIN_ZOOM = 0.02;
const MAX_ZOOM = 32;
const FIRST_PIXELS = "teleread:first-pixels";

export class Viewport {
  readonly canvas = element("canvas");
  series: Series | null = null;
  slices: Slice[] = [];
  index = 0;
  inverted = false;
  choice: VoiChoice = { kind: "file", index: 0 };
  tool: ToolName = "window";
  view: View = { zoom: 1, pan: [0, 0], turns: 0, flipped: false };
  labels: Labels;
  readonly marks: Marks;
  readonly #markLayer: MarkLayer;
  readonly #events = new EventTarget();
  readonly #painter: Painter;
  readonly #corners: Corners;
  readonly #tile = element("div", "state");
  readonly #ribbon = new Ribbon((index) => this.setIndex(index));
  readonly #demand: Demand = { frames: [], current: 0, priority: 0 };
  /** Window and polarity chosen for a series stay with it. */
  readonly #remembered = new Map<string, { choice: VoiChoice; inverted: boolean }>();
  readonly #stop: (() => void)[] = [];
  readonly #smoothing: boolean;
  #fitted = true;
  #hurried = false;
  #scheduled = 0;
  #saved: { view: View; fitted: boolean } | null = null;
  #tileText = "";
  #lastQuality = "";

  constructor(readonly root: HTMLElement, private readonly options: ViewportOptions) {
    this.labels = options.labels;
    this.marks = options.marks ?? new Marks();
    this.#markLayer = new MarkLayer(this.marks);
    this.#smoothing = options.smoothing ?? true;
    this.#demand.priority = options.priority ?? 0;
    root.classList.add("viewport");
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    this.#tile.hidden = true;
    root.replaceChildren(this.canvas, this.#markLayer.root, this.#ribbon.root, this.#tile);
    this.#corners = new Corners(root);
    this.#painter = new Painter(this.canvas);
    this.#ribbon.resize(0);
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(root);
    this.#stop.push(() => observer.disconnect(), options.store.listen((url) => this.#frameChanged(url)), this.marks.listen(() => this.#measured()), connectPointer(this));
    this.#resize();
  }

  on<K extends keyof ViewportEvents>(name: K, listener: (detail: ViewportEvents[K]) => void): () => void {
    const handler = (event: Event): void => listener((event as CustomEvent<ViewportEvents[K]>).detail);
    this.#events.addEventListener(name, handler);
    return () => this.#events.removeEventListener(name, handler);
  }

  #emit<K extends keyof ViewportEvents>(name: K, detail: ViewportEvents[K]): void {
    this.#events.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // What is shown
  get slice(): Slice | null {
    return this.slices[this.index] ?? null;
  }

  get count(): number {
    return this.slices.length;
  }

  get voi(): Voi | null {
    return this.slice && resolveVoi(this.choice, this.slice.instance);
  }

  get pixelRatio(): number {
    return window.devicePixelRatio || 1;
  }

  get presets(): Preset[] {
    return presetsOf(this.series?.modality ?? "", this.slice?.instance);
  }

  get quality(): Quality {
    return this.slice ? qualityOf(this.slice.instance, this.#slot(this.index)) : "loading";
  }

  /** How many slices are lossless: the check before signing asks. */
  get lossless(): number {
    return this.slices.filter((_, index) => this.#slot(index)?.quality === "lossless").length;
  }

  setSeries(series: Series, index = 0): void {
    this.canvas.dispatchEvent(new PointerEvent("pointercancel")); // a gesture under way was meant for the other one
    this.#remember();
    const kept = this.#remembered.get(series.series_instance_uid);
    this.series = series;
    this.slices = slicesOf(series);
    this.index = Math.min(Math.max(index, 0), Math.max(0, this.slices.length - 1));
    this.choice = kept?.choice ?? { kind: "file", index: 0 };
    this.inverted = kept?.inverted ?? false;
    this.view = { zoom: 1, pan: [0, 0], turns: 0, flipped: false };
    this.#fitted = true;
    this.#painter.forget();
    this.#corners.clear();
    this.options.store.release(this.#demand);
    this.#load();
  }

  #load(): void {
    this.#ribbon.resize(this.slices.length);
    this.#demand.frames = this.slices.map((slice) => slice.frame);
    this.#demand.current = this.index;
    this.options.store.want(this.#demand);
    this.#changed();
  }

  /** New facts about the same series (late slices, a frame now ready): the slice on screen stays. */
  updateSeries(series: Series): void {
    const shown = this.slice;
    this.series = series;
    this.slices = slicesOf(series);
    const uid = shown?.instance.sop_instance_uid;
    this.index = Math.max(0, this.slices.findIndex((s) => s.instance.sop_instance_uid === uid && s.frame_number === shown?.frame_number));
    this.#load();
  }

  setIndex(index: number): void {
    const wanted = Math.min(Math.max(index, 0), this.slices.length - 1);
    if (wanted === this.index || this.slices.length === 0) return;
    this.index = wanted;
    this.#demand.current = wanted;
    this.options.store.want(this.#demand);
    this.#changed();
  }

  setLabels(labels: Labels): void {
    this.labels = labels;
    this.invalidate();
  }

  setActive(active: boolean): void {
    this.root.classList.toggle("active", active);
  }

  toggleOverlays(): void {
    this.root.classList.toggle("bare");
  }

  // How it is shown
  setWindow(voi: VoiWindow): void {
    this.choose({ kind: "set", voi });
  }

  choose(choice: VoiChoice): void {
    this.choice = choice;
    this.#changed();
  }

  preset(digit: number): void {
    const preset = this.presets.find((candidate) => candidate.digit === digit);
    if (preset) this.choose(preset.choice);
  }

  invert(): void {
    this.inverted = !this.inverted;
    this.#changed();
  }

  rotate(): void {
    this.view = { ...this.view, turns: (this.view.turns + 1) % 4 };
    if (this.#fitted) this.fit();
    else this.#changed();
  }

  flip(): void {
    this.view = { ...this.view, flipped: !this.view.flipped };
    this.#changed();
  }

  /** Window, polarity, zoom, place and turns as the file has them; measurements stay. */
  reset(): void {
    this.choice = { kind: "file", index: 0 };
    this.inverted = false;
    this.view = { ...this.view, turns: 0, flipped: false };
    this.fit();
  }

  fit(): void {
    this.#fitted = true;
    const image = this.#imageSize();
    const zoom = image && this.canvas.width > 0 ? fitZoom(this.canvas, image, this.view.turns) : 1;
    this.view = { ...this.view, zoom, pan: [0, 0] };
    this.#changed();
  }

  /** One image pixel on one pixel of the screen. */
  originalSize(): void {
    this.zoomAt([this.canvas.width / 2, this.canvas.height / 2], 1);
  }

  /** Space: original size while held, then back. */
  holdOriginalSize(held: boolean): void {
    if (held && !this.#saved) {
      this.#saved = { view: this.view, fitted: this.#fitted };
      this.originalSize();
    } else if (!held && this.#saved) {
      this.view = this.#saved.view;
      this.#fitted = this.#saved.fitted;
      this.#saved = null;
      this.#changed();
    }
  }

  setView(view: View): void {
    this.#fitted = false;
    this.view = { ...view, zoom: Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, view.zoom)) };
    this.#changed();
  }

  /** Zooms so that the image point under `at` stays there. */
  zoomAt(at: Point, zoom: number): void {
    const point = this.toImage(at);
    this.setView({ ...this.view, zoom });
    const matrix = this.matrix;
    if (!point || !matrix) return;
    const now = apply(matrix, point);
    this.setView({ ...this.view, pan: [this.view.pan[0] + at[0] - now[0], this.view.pan[1] + at[1] - now[1]] });
  }

  setTool(tool: ToolName): void {
    this.tool = tool;
    this.root.dataset["tool"] = tool;
    this.#emit("tool", tool);
  }

  /** A hand is on the picture: speed before finish until it lets go. */
  setHurried(hurried: boolean): void {
    this.#hurried = hurried;
    this.invalidate();
  }

  // Where things are
  get matrix(): Matrix | null {
    const image = this.#imageSize();
    return image && viewMatrix(this.view, this.canvas, image);
  }

  /** Column and row under a canvas point, in device pixels. */
  toImage(at: Point): Point | null {
    const matrix = this.matrix;
    return matrix && apply(inverse(matrix), at);
  }

  contains([column, row]: Point): boolean {
    const instance = this.slice?.instance;
    return !!instance && column >= 0 && row >= 0 && column <= instance.columns && row <= instance.rows;
  }

  // Painting
  /** Paints with the next frame of the screen, however often it is asked for before. */
  invalidate(): void {
    this.#scheduled ||= requestAnimationFrame(() => this.#paint());
  }

  close(): void {
    cancelAnimationFrame(this.#scheduled);
    this.options.store.release(this.#demand);
    for (const stop of this.#stop) stop();
    this.#painter.forget();
    this.root.replaceChildren();
    this.root.classList.remove("viewport", "active", "bare");
  }

  #remember(): void {
    if (this.series) this.#remembered.set(this.series.series_instance_uid, { choice: this.choice, inverted: this.inverted });
  }

  #slot(index: number): Slot | null {
    const frame = this.slices[index]?.frame;
    return frame ? this.options.store.slot(frame) : null;
  }

  #imageSize(): { columns: number; rows: number; aspect: number } | null {
    const instance = this.slice?.instance;
    if (!instance?.rows || !instance.columns) return null;
    return { columns: instance.columns, rows: instance.rows, aspect: instance.pixel_aspect || 1 };
  }

  #resize(): void {
    const box = this.root.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * this.pixelRatio), Math.round(box.height * this.pixelRatio)];
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    if (this.#fitted) this.fit();
    // At once: a canvas is empty after a change of size, and one blank frame is a flash.
    this.#paint();
  }

  #frameChanged(url: string): void {
    if (this.slices.some((slice) => slice.frame?.url === url)) this.invalidate();
  }

  #measured(): void {
    this.invalidate();
    this.#emit("measurements", [...this.marks.list]);
  }

  #changed(): void {
    this.invalidate();
    this.#emit("change", this);
  }

  #paint(): void {
    cancelAnimationFrame(this.#scheduled);
    this.#scheduled = 0;
    const { slice, voi, series } = this;
    if (!slice || !voi || !series) return this.#painter.clear();
    const image = this.#imageSize();
    if (this.#fitted && image) this.view = { ...this.view, zoom: fitZoom(this.canvas, image, this.view.turns), pan: [0, 0] };
    const slot = this.#slot(this.index);
    const quality = this.quality;
    if (slot?.raster && quality !== "failed") this.#paintPicture(slice.instance, slot, voi);
    else this.#painter.clear();
    this.#showTile(slice, slot, quality);
    this.#markLayer.draw(slice, this.matrix, this.pixelRatio);
    const words = qualityWords(quality, slice.instance, slot);
    this.#corners.update(this.labels, { series, slice, index: this.index, count: this.count, voi, inverted: this.inverted, view: this.view, quality, words });
    this.#ribbon.update(this.index, (index) => qualityOf((this.slices[index] as Slice).instance, this.#slot(index)));
    this.#report(slice, quality, voi);
  }

  #paintPicture(instance: Instance, slot: Slot, voi: Voi): void {
    if (!slot.raster) return;
    const picture = { instance, raster: slot.raster, voi, inverted: this.inverted };
    this.#painter.draw(picture, this.view, { hurried: this.#hurried, smoothing: this.#smoothing });
    if (performance.getEntriesByName(FIRST_PIXELS).length === 0) performance.mark(FIRST_PIXELS);
  }

  #showTile(slice: Slice, slot: Slot | null, quality: Quality): void {
    const text = quality === "failed" ? `${slice.instance.sop_instance_uid} ${slice.frame_number} ${slot?.error}` : "";
    if (text === this.#tileText) return;
    this.#tileText = text;
    this.#tile.hidden = !text;
    const retry = (): void => slice.frame ? this.options.store.retry(slice.frame) : undefined;
    this.#tile.replaceChildren(...(text ? failureTile(slice, slot?.error ?? null, this.count - 1, retry) : []));
  }

  #report(slice: Slice, quality: Quality, voi: Voi): void {
    describe(this, slice, quality, voi);
    const lossless = this.lossless;
    const mark = `${quality} ${lossless} ${this.count}`;
    if (mark === this.#lastQuality) return;
    this.#lastQuality = mark;
    this.#emit("quality", { quality, lossless, count: this.count });
  }
}
