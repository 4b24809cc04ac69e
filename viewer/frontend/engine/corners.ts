/** The words around the picture: who, what, where; how it is shown; how good it is. */
import { t } from "../i18n.ts";
import { formatNumber, formatWindow, NO_BREAK_SPACE, spacingText, THIN_SPACE } from "../units.ts";
import { planeOf, type Instance, type Series, type Slice, type Voi } from "./display.ts";
import { element } from "./dom.ts";
import { turnedEdges, type View } from "./geometry.ts";
import { fillQuality } from "./quality.ts";
import type { Quality } from "./slot.ts";

/** What the page knows and the engine does not; shown as given. */
export interface Labels {
  /** The whole name: never shortened. */
  name: string;
  /** Sex and age. */
  detail: string;
  patientId: string;
  site: string;
  /** Top middle: `本次` or `历史` in bold, and the date and age of the study. */
  heading?: { word: string; text: string } | null;
}

export interface CornerState {
  series: Series;
  slice: Slice;
  index: number;
  count: number;
  voi: Voi;
  inverted: boolean;
  view: View;
  quality: Quality;
  words: string;
}

export class Corners {
  readonly #tl = element("div", "corner tl");
  readonly #tc = element("div", "corner tc");
  readonly #tr = element("div", "corner tr");
  readonly #bl = element("div", "corner bl");
  readonly #br = element("div", "corner br");
  readonly #mark = element("div", "quality loading");
  readonly #edges = { left: edge("left"), right: edge("right"), top: edge("top"), bottom: edge("bottom") };
  #shown = "";

  constructor(parent: HTMLElement) {
    this.#br.append(this.#mark);
    parent.append(this.#tl, this.#tc, this.#tr, this.#bl, this.#br, ...Object.values(this.#edges));
  }

  clear(): void {
    for (const corner of [this.#tl, this.#tc, this.#tr, this.#bl]) corner.replaceChildren();
    for (const letter of Object.values(this.#edges)) letter.textContent = "";
    this.#mark.replaceChildren();
    this.#mark.className = "quality";
    this.#br.hidden = true;
    this.#shown = "";
  }

  update(labels: Labels, state: CornerState): void {
    const lines = {
      tl: [labels.patientId, ...pictureLines(state)],
      tr: [labels.site, ...acquisitionLines(state)],
      bl: displayLines(state),
    };
    // Compared as text first: most frames of a drag change one line of thirty.
    const { quality, words, view } = state;
    const text = JSON.stringify([labels, lines, quality, words, view.turns, view.flipped, state.slice.instance.orientation]);
    if (text === this.#shown) return;
    this.#shown = text;
    const name = element("div", "", element("b", "", labels.name), labels.detail ? ` ${labels.detail}` : "");
    this.#tl.replaceChildren(name, ...optionalLines(lines.tl));
    const plane = planeOf(state.slice.instance);
    if (plane) this.#tl.children[2]?.prepend(element("i", `plane ${plane}`));
    this.#tr.replaceChildren(...optionalLines(lines.tr));
    this.#bl.replaceChildren(...optionalLines(lines.bl));
    this.#tc.replaceChildren(...(labels.heading ? [element("b", "", labels.heading.word), ` ${labels.heading.text}`] : []));
    this.#br.hidden = false;
    fillQuality(this.#mark, quality, words);
    this.#letters(state);
  }

  #letters({ slice, view }: CornerState): void {
    const edges = slice.instance.orientation ?? { left: "", right: "", top: "", bottom: "" };
    const turned = turnedEdges(edges, view);
    for (const side of ["left", "right", "top", "bottom"] as const) {
      this.#edges[side].textContent = [...turned[side]].map((letter) => t(`engine.edge.${letter}`)).join("");
    }
  }
}

function edge(side: string): HTMLElement {
  return element("div", `edge ${side}`);
}

function optionalLines(lines: (string | null)[]): HTMLElement[] {
  return lines.filter((line): line is string => !!line).map((line) => element("div", "optional", line));
}

/** Plane and series, slice and position for a stack; body part and view for a single picture. */
function pictureLines({ series, slice, index, count }: CornerState): string[] {
  const { instance } = slice;
  const plane = planeOf(instance);
  const number = series.number === null ? "" : t("engine.series", { number: series.number });
  const what = series.description || series.body_part;
  if (!plane) {
    const view = [instance.laterality, instance.view_position].filter(Boolean).join(" ");
    return [[what, view].filter(Boolean).join(" · "), count > 1 ? t("engine.slice", { slice: index + 1, count }) : ""];
  }
  const position = instance.position_mm === null ? "" : t("engine.position", { value: `${formatNumber(instance.position_mm, 1)}${NO_BREAK_SPACE}mm` });
  const series_line = [t(`engine.plane.${plane}`), number && `${number} ${what}`.trim()].filter(Boolean).join(" · ");
  return [series_line, [t("engine.slice", { slice: index + 1, count }), position].filter(Boolean).join(" · ")];
}

function acquisitionLines({ slice, count, index }: CornerState): string[] {
  const { station, acquired_at, kvp } = slice.instance;
  const tube = kvp === null ? "" : `${formatNumber(kvp)}${NO_BREAK_SPACE}kV`;
  const single = !planeOf(slice.instance) && count === 1 ? `${index + 1} / ${count}` : "";
  return [station ?? "", (acquired_at ?? "").slice(0, 16).replace("T", " "), [tube, single].filter(Boolean).join(" · ")];
}

export function windowText(voi: Voi): string {
  if (voi.kind === "table") return t("engine.voi_table", { name: voi.name }).trim();
  const [center, width] = [formatWindow(voi.center, voi.width), formatWindow(voi.width, voi.width)];
  const shape = voi.function === "SIGMOID" ? ` ${t("engine.sigmoid")}` : "";
  return `W ${width} · L ${center}${voi.name ? ` ${voi.name}` : ""}${shape}`;
}

function displayLines({ slice, voi, inverted, view }: CornerState): string[] {
  const { instance } = slice;
  const size = sizeText(instance);
  const zoom = t("engine.zoom", { zoom: `${view.zoom.toFixed(2)}×`, size });
  const window = instance.samples_per_pixel > 1 ? t("engine.colour") : windowText(voi);
  return [inverted ? `${window} · ${t("engine.inverted")}` : window, zoom, spacingText(instance.spacing)];
}

function sizeText({ columns, rows }: Instance): string {
  return `${formatNumber(columns)}${THIN_SPACE}×${THIN_SPACE}${formatNumber(rows)}`;
}
