/** An ECG drawn in millimetres (an SVG whose viewBox is mm), fitted to the width or at true size, moved and enlarged. */
import { t } from "../i18n.ts";

export type SheetScale = "fit" | "true" | "free";

/** A CSS millimetre is nominal: nobody has held a ruler to this screen. */
const NOMINAL_PX_PER_MM = 96 / 25.4;

export class EcgSheet {
  scale: SheetScale = "fit";
  pxPerMm = NOMINAL_PX_PER_MM;
  onChange: (sheet: EcgSheet) => void = () => undefined;
  #drawing: SVGSVGElement | null = null;
  #size = { width: 0, height: 0 };
  readonly #controller = new AbortController();
  readonly #observer: ResizeObserver;

  constructor(readonly root: HTMLElement) {
    root.classList.add("ecg-sheet");
    root.tabIndex = 0;
    this.#observer = new ResizeObserver(() => this.scale === "fit" && this.fit());
    this.#observer.observe(root);
    this.#connect();
  }

  get drawing(): SVGSVGElement | null {
    return this.#drawing;
  }

  /** Takes the drawing's text; throws where it is no SVG with a viewBox. */
  show(text: string): void {
    const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    const box = (parsed.getAttribute("viewBox") ?? "").trim().split(/[\s,]+/).map(Number);
    const [, , width = 0, height = 0] = box;
    if (parsed.localName !== "svg" || !(width > 0 && height > 0)) throw new Error(t("engine.why.frame_damaged"));
    for (const script of parsed.querySelectorAll("script, foreignObject")) script.remove();
    this.#drawing = document.importNode(parsed, true) as unknown as SVGSVGElement;
    this.#size = { width, height };
    this.root.replaceChildren(this.#drawing);
    if (this.scale === "true") this.trueSize();
    else this.fit();
  }

  fit(): void {
    if (this.#drawing) this.#apply("fit", this.root.clientWidth / this.#size.width);
  }

  trueSize(): void {
    this.#apply("true", NOMINAL_PX_PER_MM);
  }

  /** Enlarges around a point of the element (CSS pixels); its middle when absent. */
  zoom(factor: number, at = { x: this.root.clientWidth / 2, y: this.root.clientHeight / 2 }): void {
    const before = this.pxPerMm;
    this.#apply("free", Math.min(60, Math.max(0.5, before * factor)));
    const ratio = this.pxPerMm / before;
    this.root.scrollLeft = (this.root.scrollLeft + at.x) * ratio - at.x;
    this.root.scrollTop = (this.root.scrollTop + at.y) * ratio - at.y;
  }

  /** Where a page point lies on the sheet, in mm. */
  toMillimetres(clientX: number, clientY: number): { x: number; y: number } {
    const box = (this.#drawing ?? this.root).getBoundingClientRect();
    return { x: (clientX - box.left) / this.pxPerMm, y: (clientY - box.top) / this.pxPerMm };
  }

  close(): void {
    this.#controller.abort();
    this.#observer.disconnect();
    this.root.replaceChildren();
    this.root.classList.remove("ecg-sheet");
  }

  #apply(scale: SheetScale, pxPerMm: number): void {
    this.scale = scale;
    this.pxPerMm = pxPerMm;
    this.#drawing?.setAttribute("width", String(this.#size.width * pxPerMm));
    this.#drawing?.setAttribute("height", String(this.#size.height * pxPerMm));
    this.root.dataset["scale"] = scale;
    this.root.dataset["pxPerMm"] = pxPerMm.toFixed(3);
    this.onChange(this);
  }

  #connect(): void {
    const options = { signal: this.#controller.signal };
    const { root } = this;
    let from: { x: number; y: number; left: number; top: number } | null = null;
    root.addEventListener("pointerdown", (event) => {
      if (event.button > 1) return;
      from = { x: event.clientX, y: event.clientY, left: root.scrollLeft, top: root.scrollTop };
      root.classList.add("dragging");
      if (event.isTrusted) root.setPointerCapture(event.pointerId);
    }, options);
    root.addEventListener("pointermove", (event) => {
      if (!from) return;
      root.scrollLeft = from.left + from.x - event.clientX;
      root.scrollTop = from.top + from.y - event.clientY;
    }, options);
    for (const name of ["pointerup", "pointercancel"] as const) {
      root.addEventListener(name, () => {
        from = null;
        root.classList.remove("dragging");
      }, options);
    }
    root.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const box = root.getBoundingClientRect();
      this.zoom(2 ** (-event.deltaY / 400), { x: event.clientX - box.left, y: event.clientY - box.top });
    }, { ...options, passive: false });
  }
}
